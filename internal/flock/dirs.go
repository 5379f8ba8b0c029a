package flock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Dirs locks several folders in the order given, which has to be certbot's (logs,
// configuration, work, the server's) for nobody to wait for each other. A folder
// that comes twice, also by another path, is locked once. Either all are locked,
// and release frees them, or none is.
func Dirs(ctx context.Context, dirs []string, o Options) (release func() error, err error) {
	deadline := time.Now().Add(o.Timeout)
	var locks []*Held
	free := func() error {
		var errs []error
		for _, h := range slices.Backward(locks) {
			errs = append(errs, h.Release())
		}
		return errors.Join(errs...)
	}
	var seen []os.FileInfo
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock: %w", err), free())
		}
		if slices.ContainsFunc(seen, func(i os.FileInfo) bool { return os.SameFile(i, info) }) {
			continue
		}
		seen = append(seen, info)
		h, err := lockDir(ctx, dir, o, deadline)
		if err != nil {
			return nil, errors.Join(err, free())
		}
		locks = append(locks, h)
	}
	return free, nil
}

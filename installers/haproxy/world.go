package haproxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// world is HAProxy as it was found: its configuration and its process.
type world struct {
	*conf
	o   *Options
	run *running // nil: not to be seen
}

// look reads the configuration.
func (o *Options) look() (*world, error) {
	files, err := confFiles(o.Config)
	if err != nil {
		return nil, err
	}
	w := &world{o: o, run: find(o.Program, o.Config)}
	var texts []string
	for _, path := range files {
		raw, err := readFile(path, maxConf)
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(raw))
	}
	w.conf = parse(texts, w.run.lookup(o.Getenv))
	return w, nil
}

// masters are the addresses of master sockets that may be HAProxy's.
func (w *world) masters() []string {
	switch {
	case w.o.MasterSocket != "":
		return []string{socketAddr(w.o.MasterSocket)}
	case w.run != nil && w.run.master != "":
		return []string{w.run.master}
	case w.run == nil && w.o.Config[0] == defaultConfig:
		if _, err := os.Stat(defaultMaster); err == nil {
			return []string{defaultMaster}
		}
	}
	return nil
}

// candidates are the sockets by which HAProxy can be told something, the best one first.
func (w *world) candidates() []*cli {
	var list []*cli
	add := func(addr string, master bool) {
		list = append(list, &cli{addr: addr, master: master, dial: w.o.Dial})
	}
	switch {
	case w.o.StatsSocket != "":
		add(socketAddr(w.o.StatsSocket), false)
		return list
	case w.o.MasterSocket == "":
		for _, s := range w.sockets {
			add(s, false)
		}
	}
	for _, m := range w.masters() {
		add(m, true)
	}
	return list
}

// errNoSocket is for a HAProxy without one.
var errNoSocket = errors.New("the configuration has no stats socket with level admin, and there is no master socket")

// answering is the first socket behind which there is a HAProxy.
func (w *world) answering(ctx context.Context) (*cli, info, error) {
	var errs []error
	for _, c := range w.candidates() {
		var i info
		err := c.settle(ctx, func() (err error) {
			i, err = c.info(ctx)
			return err
		})
		if err == nil {
			return c, i, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, info{}, errNoSocket
	}
	return nil, info{}, errors.Join(errs...)
}

// pause passes some time.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// realPath is a path without symbolic links in its folders.
func realPath(path string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", fmt.Errorf("folder of %s: %w", path, err)
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}

package main

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// spoolEvery is how often the door looks whether a certificate that is delivered has
// changed. Each file starts a run of the steward, so that changes are gathered.
const spoolEvery = 2 * time.Second

// spool names each host whose certificate has changed and is delivered elsewhere, as a
// file in the spool folder: a path unit sees it, and starts edge deliver apply. The
// first time all are named, so that nothing is missed that changed while no door, or
// no steward, was there.
func (d *door) spool(ctx context.Context) {
	told := map[string][sha256.Size]byte{}
	tick := time.NewTicker(spoolEvery)
	defer tick.Stop()
	for {
		d.spoolChanged(told)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *door) spoolChanged(told map[string][sha256.Size]byte) {
	live := d.live.Load()
	if live == nil {
		return
	}
	for _, w := range wants(live.cfg) {
		if !w.site {
			continue
		}
		b, err := d.manager.Bundle(w.name)
		if err != nil {
			continue // there is none yet
		}
		leaf, _ := pem.Decode(b.Chain)
		if leaf == nil {
			continue
		}
		sum := sha256.Sum256(leaf.Bytes)
		if told[w.name] == sum {
			continue
		}
		if err := spoolName(filepath.Join(live.cfg.Storage.Dir, spoolFolder), w.name); err != nil {
			d.log.Error("the steward was not told of a new certificate; edge renew delivers it", "site", w.name, "error", err)
		}
		told[w.name] = sum
	}
}

// spoolName leaves a name for the steward. A file that is there already says the same.
func spoolName(dir, name string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// recordPath is the note of what was found. Its folder is for root only: what is in
// it decides what --undo turns on.
const recordPath = "/var/lib/edge-steward/takeover.json"

// record is how things were before they were changed.
type record struct {
	Version int         `json:"version"`
	Taken   time.Time   `json:"taken"`
	Units   []unitState `json:"units"`
	Cron    *cronRecord `json:"cron,omitempty"` // its jobs are commented out
}

type cronRecord struct {
	Path string `json:"path"`
}

// add notes a timer's state. The first note counts: it is of before the takeover.
func (r *record) add(u unitState) {
	if !slices.ContainsFunc(r.Units, func(o unitState) bool { return o.Name == u.Name }) {
		r.Units = append(r.Units, u)
	}
}

// load returns the record, nil where there is none.
func (t *takeover) load() (*record, error) {
	path := t.path(recordPath)
	data, err := readCron(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = t.private(filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("takeover certbot: %w", err)
	}
	rec := new(record)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(rec); err != nil {
		return nil, fmt.Errorf("takeover certbot: %s: %w; turn timers on by hand and remove the file", recordPath, err)
	}
	for _, u := range rec.Units {
		if u.Name != ourTimer && !slices.Contains(theirTimers, u.Name) {
			return nil, fmt.Errorf("takeover certbot: %s: %q is no timer of certbot's; it was not written by edge", recordPath, u.Name)
		}
	}
	if rec.Version != 1 || rec.Cron != nil && rec.Cron.Path != cronJob {
		return nil, fmt.Errorf("takeover certbot: %s: version %d was written by another edge; use that one", recordPath, rec.Version)
	}
	return rec, nil
}

// save writes the record before anything is changed.
func (t *takeover) save(rec *record) error {
	if t.dry {
		return nil
	}
	path := t.path(recordPath)
	dir := filepath.Dir(path)
	data, err := json.MarshalIndent(rec, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(dir), 0o755)
	}
	if err == nil {
		err = t.files.Mkdir(dir, 0o700)
	}
	if err == nil {
		err = t.private(dir)
	}
	if err == nil {
		err = t.files.WriteFile(path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("takeover certbot: note what was found, before anything is changed: %w", err)
	}
	return nil
}

// private refuses a folder that others own or can write.
func (t *takeover) private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if st := info.Sys().(*syscall.Stat_t); !info.IsDir() || int(st.Uid) != t.uid || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s has to be a folder of root's that nobody else can write (found %v, uid %d)", dir, info.Mode(), st.Uid)
	}
	return nil
}

package installers

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
)

// follow notes in the checkpoints that are kept what a plan of which none is kept has
// written over their files. Each renewal writes the files of keys anew: for a rollback they
// are as they were left, and nobody changed them.
func (t *Runner) follow(p *Plan) error {
	names, err := t.names()
	errs := []error{err}
	for _, name := range names {
		errs = append(errs, t.followIn(t.dir(dirBackups, name), p.Changes))
	}
	return errors.Join(errs...)
}

func (t *Runner) followIn(dir string, changes []Change) error {
	if err := errors.Join(trustedPlace(filepath.Dir(dir)), trusted(dir)); err != nil {
		return err
	}
	r, err := readRecord(dir)
	if errors.Is(err, errNoRecord) {
		return nil // certbot's says nothing of what was written
	}
	if err != nil || !r.follow(changes) {
		return err
	}
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return t.Durable.WriteFile(filepath.Join(dir, fileRecord), raw, 0o600)
}

func (r *record) follow(changes []Change) (changed bool) {
	for _, c := range changes {
		if c.Op != Rewrite || !c.Secret || bytes.Equal(c.Old, c.New) {
			continue
		}
		before, now := digest(c.Old), digest(c.New)
		for i, a := range r.Added {
			if a.Path == c.Path && a.Wrote == before {
				r.Added[i].Wrote, changed = now, true
			}
		}
		for i, f := range r.Files {
			if f.Path == c.Path && f.Wrote == before {
				r.Files[i].Wrote, changed = now, true
			}
		}
	}
	return changed
}

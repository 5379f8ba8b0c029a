package conf

import (
	"fmt"
	"maps"
	"slices"

	"edge/internal/diff"
)

// Change is a file whose bytes differ from those on disk.
type Change struct {
	// Path is where the bytes are, without symbolic links.
	Path     string
	Old, New string
	// Created says that there was no such file; Old is empty then.
	Created bool
}

// Diff returns the change as a unified diff, empty when nothing differs.
func (c Change) Diff() string {
	from := c.Path
	if c.Created {
		from = "/dev/null"
	}
	return diff.Unified(from, c.Path, c.Old, c.New)
}

// With returns the configuration as it would be with the edits done. Nothing is written.
// Files that are not edited keep their trees. Conditions and includes are decided anew.
func (s *Set) With(e *Edits) (*Set, error) { return s.WithEnv(e, s.env) }

// WithEnv is With for a server that has been given other modules.
func (s *Set) WithEnv(e *Edits, env Env) (*Set, error) {
	if e.err != nil {
		return nil, e.err
	}
	disk := &disk{s.disk.Copy()}
	for f := range e.files {
		if s.byReal[f.Real] != f {
			return nil, fmt.Errorf("edit %s: the file is not of this configuration", f.Path)
		}
		next, err := f.With(e)
		if err != nil {
			return nil, err
		}
		disk.Over[f.Real] = next.Src
	}
	for path, src := range e.added {
		if disk.Exists(path) {
			return nil, fmt.Errorf("add the file %s: it exists", path)
		}
		real, err := disk.Place(path)
		if err != nil {
			return nil, fmt.Errorf("add the file %s: %w", path, err)
		}
		disk.Over[real] = src
	}
	for path, target := range e.links {
		if disk.Exists(path) {
			return nil, fmt.Errorf("add the link %s: it exists", path)
		}
		real, err := disk.Place(path)
		if err != nil {
			return nil, fmt.Errorf("add the link %s: %w", path, err)
		}
		disk.Links[real] = target
	}
	return load(s.Main.Path, env, disk, s.byReal)
}

// Changes returns what has to be written for the configuration to be on disk, ordered
// by path. Links that are to be made are not among it.
func (s *Set) Changes() []Change {
	var out []Change
	for _, path := range slices.Sorted(maps.Keys(s.disk.Over)) {
		old, existed := s.disk.Was[path]
		if now := s.disk.Over[path]; now != old || !existed {
			out = append(out, Change{path, old, now, !existed})
		}
	}
	return out
}

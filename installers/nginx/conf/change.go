package conf

import (
	"fmt"
	"maps"
	"slices"
)

// Change is a file whose bytes differ from those on disk.
type Change struct {
	// Path is where the bytes are, without symbolic links.
	Path     string
	Old, New string
	// Created says that there was no such file; Old is empty then.
	Created bool
}

// With returns the configuration as it would be with the edits done. Nothing is written.
// Files that are not edited keep their trees. Includes are looked up anew.
func (s *Set) With(e *Edits) (*Set, error) {
	if e.err != nil {
		return nil, e.err
	}
	over := map[string]string{}
	for f := range e.files {
		if s.byReal[f.Real] != f {
			return nil, fmt.Errorf("edit %s: the file is not of this configuration", f.Path)
		}
		next, err := f.With(e)
		if err != nil {
			return nil, err
		}
		over[f.Real] = next.Src
	}
	disk := &disk{s.disk.Copy()}
	maps.Copy(disk.Over, over)
	for path, src := range e.added {
		if disk.Exists(path) {
			return nil, fmt.Errorf("add the file %s: it exists", path)
		}
		disk.Over[path] = src
		real, err := disk.Real(path)
		if err != nil {
			return nil, fmt.Errorf("add the file %s: %w", path, err)
		}
		delete(disk.Over, path)
		disk.Over[real] = src
	}
	return load(s.Main.Path, disk, s.byReal)
}

// Changes returns what has to be written for the configuration to be on disk, ordered
// by path.
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

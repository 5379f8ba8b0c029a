// Package overlay is the file system with what is going to be written laid over it, so
// that a configuration can be read as it will be before a byte of it is changed. What was
// read once is remembered: a plan is made for that, whoever writes meanwhile.
package overlay

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Files are those of a file system, with more laid over them. Not safe for concurrent
// use.
type Files struct {
	Over  map[string]string // content, by real path
	Links map[string]string // symbolic links to files, by path in a real folder
	// Was is what the file system held when a file was first read, by real path.
	Was   map[string]string
	limit int64
}

// New returns the file system as it is. Of files, no more than limit bytes and one are
// read: whoever parses them says that they are too large.
func New(limit int64) *Files {
	return &Files{map[string]string{}, map[string]string{}, map[string]string{}, limit}
}

// Real resolves symbolic links. A file that is only to be written has its real folder.
func (d *Files) Real(name string) (string, error) {
	real, err := filepath.EvalSymlinks(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	dir, derr := filepath.EvalSymlinks(filepath.Dir(name))
	if derr != nil {
		return "", err
	}
	real = filepath.Join(dir, filepath.Base(name))
	if target, ok := d.Links[real]; ok {
		return d.Real(target)
	}
	if _, ok := d.Over[real]; ok {
		return real, nil
	}
	return "", err
}

// Read returns the bytes under a name, and where they really are.
func (d *Files) Read(name string) (real, src string, err error) {
	if real, err = d.Real(name); err != nil {
		return "", "", err
	}
	if src, ok := d.Over[real]; ok {
		return real, src, nil
	}
	if src, ok := d.Was[real]; ok {
		return real, src, nil
	}
	src, err = readRegular(real, d.limit)
	if err == nil {
		d.Was[real] = src
	}
	return real, src, err
}

func readRegular(name string, limit int64) (string, error) {
	// Without O_NONBLOCK a FIFO would hold us for ever.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", name)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	return string(b), err
}

// Exists says whether there is anything under a name, also a link that leads nowhere.
func (d *Files) Exists(name string) bool {
	if _, err := os.Lstat(name); err == nil {
		return true
	}
	_, err := d.Real(name)
	return err == nil
}

// Place returns where a file would be that is not there yet.
func (d *Files) Place(name string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(name))
	return filepath.Join(dir, filepath.Base(name)), err
}

// List returns the names in a folder, sorted; none for what is none or cannot be read.
func (d *Files) List(dir string) []string {
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return names
	}
	for _, files := range []map[string]string{d.Over, d.Links} {
		for file := range files {
			if filepath.Dir(file) == real && !slices.Contains(names, filepath.Base(file)) {
				names = append(names, filepath.Base(file))
			}
		}
	}
	slices.Sort(names)
	return names
}

// Copy returns the same, to lay more over.
func (d *Files) Copy() *Files {
	return &Files{maps.Clone(d.Over), maps.Clone(d.Links), maps.Clone(d.Was), d.limit}
}

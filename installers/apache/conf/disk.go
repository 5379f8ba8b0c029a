package conf

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

// disk is the file system, with what is to be written laid over it.
type disk struct {
	over  map[string]string // by real path
	links map[string]string // symbolic links to files, by path in a real folder
	// was is what the file system held when a file was first read, by real path.
	was map[string]string
}

// real resolves symbolic links. A file that is only to be written has its real folder.
func (d *disk) real(name string) (string, error) {
	real, err := filepath.EvalSymlinks(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	dir, derr := filepath.EvalSymlinks(filepath.Dir(name))
	if derr != nil {
		return "", err
	}
	real = filepath.Join(dir, filepath.Base(name))
	if target, ok := d.links[real]; ok {
		return d.real(target)
	}
	if _, ok := d.over[real]; ok {
		return real, nil
	}
	return "", err
}

// read returns the bytes that httpd would read under a name, and where they are.
func (d *disk) read(name string) (real, src string, err error) {
	if real, err = d.real(name); err != nil {
		return "", "", err
	}
	if src, ok := d.over[real]; ok {
		return real, src, nil
	}
	if src, ok := d.was[real]; ok {
		return real, src, nil
	}
	src, err = readRegular(real)
	if err == nil {
		d.was[real] = src
	}
	return real, src, err
}

func readRegular(name string) (string, error) {
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
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	return string(b), err
}

func (d *disk) exists(name string) bool {
	if _, err := os.Lstat(name); err == nil {
		return true
	}
	_, err := d.real(name)
	return err == nil
}

// place returns where a file would be that is not there yet.
func (d *disk) place(name string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(name))
	return filepath.Join(dir, filepath.Base(name)), err
}

// list returns the names in a folder, none for what is none or cannot be read.
func (d *disk) list(dir string) []string {
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return names
	}
	for _, files := range []map[string]string{d.over, d.links} {
		for file := range files {
			if filepath.Dir(file) == real && !slices.Contains(names, filepath.Base(file)) {
				names = append(names, filepath.Base(file))
			}
		}
	}
	slices.Sort(names)
	return names
}

// copy returns a disk to lay more over.
func (d *disk) copy() *disk {
	return &disk{over: maps.Clone(d.over), links: maps.Clone(d.links), was: maps.Clone(d.was)}
}

// isDir says whether a name is that of a folder.
func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

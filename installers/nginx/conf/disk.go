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
	over map[string]string // by real path
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
	if _, ok := d.over[real]; ok {
		return real, nil
	}
	return "", err
}

// read returns the bytes that nginx would read under a name, and where they are.
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

// list returns the names in a folder, none for what is none or cannot be read.
func (d *disk) list(dir string) []string {
	var names []string
	entries, _ := os.ReadDir(dir) // glob(3) without GLOB_ERR goes on as well
	for _, e := range entries {
		names = append(names, e.Name())
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return names
	}
	for file := range d.over {
		if filepath.Dir(file) == real && !slices.Contains(names, filepath.Base(file)) {
			names = append(names, filepath.Base(file))
		}
	}
	return names
}

// with returns a disk with more laid over it.
func (d *disk) with(over map[string]string) *disk {
	next := &disk{over: maps.Clone(d.over), was: maps.Clone(d.was)}
	maps.Copy(next.over, over)
	return next
}

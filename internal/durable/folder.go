package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Mkdir makes a folder with exactly this mode. A folder that is there stays as it
// is, and is no error.
func (w Writer) Mkdir(path string, mode fs.FileMode) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if err := w.before(Mkdir, path); err != nil {
		return err
	}
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	// The umask may have taken bits away.
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return w.syncDir(filepath.Dir(path), path)
}

// Rmdir removes an empty folder for good. One that is not there is no error; one
// that is not empty is, and stays.
func (w Writer) Rmdir(path string) error {
	if err := w.before(Rmdir, path); err != nil {
		return err
	}
	// os.Remove would remove a file as well.
	if info, err := os.Lstat(path); err != nil || !info.IsDir() {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return &fs.PathError{Op: "rmdir", Path: path, Err: errors.Join(err, errors.New("not a folder"))}
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return w.syncDir(filepath.Dir(path), path)
}

// Pointer is a symbolic link to be.
type Pointer struct{ Path, Target string }

// Relink gives each path a symbolic link to its target, in place of whatever file or
// link is there. A reader never finds a path missing. All are made first and then put
// in place one after the other with nothing in between, since a reader of several may
// see some that are old and some that are new. The links are on the disk, in every
// folder, when Relink returns without error.
func (w Writer) Relink(links []Pointer) error {
	made := make([]string, 0, len(links))
	defer func() {
		for _, tmp := range made {
			_ = os.Remove(tmp) // the error of the step says more
		}
	}()
	for _, l := range links {
		if err := w.before(Symlink, l.Path); err != nil {
			return err
		}
		tmp, err := tempLink(l)
		if err != nil {
			return err
		}
		made = append(made, tmp)
	}
	for _, l := range links {
		if err := w.rename(made[0], l.Path); err != nil {
			return err
		}
		made = made[1:]
	}
	var dirs []string
	for _, l := range links {
		if dir := filepath.Dir(l.Path); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
			if err := w.syncDir(dir, l.Path); err != nil {
				return err
			}
		}
	}
	return nil
}

// tempLink makes the link under a name that is not taken.
func tempLink(l Pointer) (string, error) {
	dir, prefix := filepath.Dir(l.Path), tempPrefix(l.Path)
	for n := 0; ; n++ {
		tmp := filepath.Join(dir, prefix+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(n))
		err := os.Symlink(l.Target, tmp)
		if !errors.Is(err, fs.ErrExist) || n == 1000 {
			return tmp, err
		}
	}
}

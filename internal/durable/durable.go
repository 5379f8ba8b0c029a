package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Step names one thing that a Writer asks of the file system.
type Step string

// The steps, in the order in which WriteFile takes them.
const (
	Create  Step = "create"   // the temporary file
	Write   Step = "write"    // all of the content
	Sync    Step = "sync"     // the content reaches the disk
	Rename  Step = "rename"   // the new content takes the place of the old
	SyncDir Step = "sync-dir" // the rename reaches the disk
	Unlink  Step = "unlink"   // Remove only
)

// Writer writes and removes files. The zero value is ready to use, and safe for
// concurrent use.
type Writer struct {
	// Before, where set, is called ahead of every step with the file's final
	// path. An error from it stands for the failure of that step (a failing
	// Write leaves half of the content in the temporary file, as a full disk
	// does). Tests count the calls, to fail or die at each in turn.
	Before func(step Step, path string) error
}

// WriteFile gives path the content data. Whatever fails, and wherever the
// process or the machine stops, path afterwards has its old content (or none,
// where it did not exist) or the new, whole. An error of the last step alone
// means that the new content is there, but might not survive a power cut.
func (w Writer) WriteFile(path string, data []byte, mode fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	if err := w.before(Create, path); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && f != nil {
			// The error of the step says more than that of tidying up.
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := w.before(Write, path); err != nil {
		_, _ = f.Write(data[:len(data)/2])
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := w.before(Sync, path); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := w.before(Rename, path); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	f = nil // renamed: nothing to tidy up any more
	return w.syncDir(dir, path)
}

// Remove deletes the file at path for good. A file that is not there is no error.
func (w Writer) Remove(path string) error {
	if err := w.before(Unlink, path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return w.syncDir(filepath.Dir(path), path)
}

func (w Writer) syncDir(dir, path string) error {
	if err := w.before(SyncDir, path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() // read-only: nothing can be lost
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

func (w Writer) before(step Step, path string) error {
	if w.Before == nil {
		return nil
	}
	if err := w.Before(step, path); err != nil {
		return &fs.PathError{Op: string(step), Path: path, Err: err}
	}
	return nil
}

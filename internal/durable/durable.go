package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
)

// The steps of the other operations.
const (
	Unlink  Step = "unlink"  // Remove
	Link    Step = "link"    // CreateFile: in place of Rename
	Symlink Step = "symlink" // Relink: the temporary link
	Mkdir   Step = "mkdir"
	Rmdir   Step = "rmdir"
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
func (w Writer) WriteFile(path string, data []byte, mode fs.FileMode) error {
	return w.write(path, data, Attr{Mode: mode}, w.rename)
}

// WriteFileAs is WriteFile with an owner. The file has it before it has its name.
func (w Writer) WriteFileAs(path string, data []byte, attr Attr) error {
	return w.write(path, data, attr, w.rename)
}

// CreateFile is WriteFileAs for a path that must not exist: else the error wraps
// fs.ErrExist, and what is there stays.
func (w Writer) CreateFile(path string, data []byte, attr Attr) error {
	return w.write(path, data, attr, w.link)
}

// Attr are what a file that is written has beside its content.
type Attr struct {
	Mode  fs.FileMode // whatever the umask
	Owner *Owner      // nil: the process, and the group that its files have
	// Finish, where set, gives the temporary file, whose content, owner and mode are
	// done, whatever else it is to have: times, extended attributes.
	Finish func(*os.File) error
}

// Owner is a user and a group; -1 leaves one as it is.
type Owner struct{ UID, GID int }

func (w Writer) write(path string, data []byte, attr Attr, place func(tmp, path string) error) (err error) {
	dir := filepath.Dir(path)
	if err := w.before(Create, path); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, tempPrefix(path)+"*")
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
	// In this order: a change of the owner may take bits of the mode away.
	if attr.Owner != nil {
		if err := f.Chown(attr.Owner.UID, attr.Owner.GID); err != nil {
			return err
		}
	}
	if err := f.Chmod(attr.Mode); err != nil {
		return err
	}
	if attr.Finish != nil {
		if err := attr.Finish(f); err != nil {
			return err
		}
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
	if err := place(f.Name(), path); err != nil {
		return err
	}
	f = nil // in its place: nothing to tidy up any more
	return w.syncDir(dir, path)
}

func (w Writer) rename(tmp, path string) error {
	if err := w.before(Rename, path); err != nil {
		return err
	}
	// Not os.Rename, which refuses an empty folder that is in the way.
	if err := syscall.Rename(tmp, path); err != nil {
		return &os.LinkError{Op: "rename", Old: tmp, New: path, Err: err}
	}
	return nil
}

func (w Writer) link(tmp, path string) error {
	if err := w.before(Link, path); err != nil {
		return err
	}
	if err := os.Link(tmp, path); err != nil {
		return err
	}
	return os.Remove(tmp)
}

// maxTemp bounds how much of a name a temporary one repeats: names have 255 bytes.
const maxTemp = 200

// tempPrefix is what the names of temporary files for path begin with.
func tempPrefix(path string) string {
	base := filepath.Base(path)
	return "." + base[:min(len(base), maxTemp)] + ".tmp-"
}

// IsTemp reports whether name, in the folder of path, is that of a temporary file
// for path: a process that was killed left it behind.
func IsTemp(name, path string) bool { return strings.HasPrefix(name, tempPrefix(path)) }

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

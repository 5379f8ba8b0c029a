package durable

import "path/filepath"

// Move gives a file or folder another path on the same file system. A file replaces a
// file there; a folder there that has something in it is an error. Wherever it stops,
// the thing has one of the paths.
func (w Writer) Move(from, to string) error {
	if err := w.rename(from, to); err != nil {
		return err
	}
	if err := w.syncDir(filepath.Dir(to), to); err != nil {
		return err
	}
	if filepath.Dir(from) == filepath.Dir(to) {
		return nil
	}
	return w.syncDir(filepath.Dir(from), to)
}

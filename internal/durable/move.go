package durable

import "path/filepath"

// Move gives a file or folder another path on the same file system, in place of a
// file or an empty folder there. Wherever it stops, the thing has one of the paths.
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

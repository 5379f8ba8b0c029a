package lineage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// UnparsableError is that of Delete for a renewal file that cannot be read. The file
// is gone.
type UnparsableError struct {
	ConfPath, LiveDir, ArchiveDir string
	Err                           error
}

func (e *UnparsableError) Error() string { return "error parsing " + e.ConfPath }

// Unwrap returns the cause.
func (e *UnparsableError) Unwrap() error { return e.Err }

// Advice is what certbot tells people about the rest.
func (e *UnparsableError) Advice() string {
	return fmt.Sprintf("Could not parse %s. You may wish to manually delete the contents of %s and %s.", e.ConfPath, e.LiveDir, e.ArchiveDir)
}

// Delete removes the lineage.
func (l *Lineage) Delete() (left []string, err error) { return l.tree.Delete(l.name) }

// Delete removes a lineage, also a broken one: its renewal file, its links, README,
// and its versions. Where certbot removes the archive folder with whatever is in it,
// wherever the renewal file says that it is, this removes files that are named as
// versions, and only in the tree or where the lineage's own links point to; nothing
// that another lineage uses; and folders only when they are empty then. What stays for
// these reasons is left.
//
// The error is a *NotFoundError, an *UnparsableError, or a *PendingError.
func (t *Tree) Delete(name string) (left []string, err error) {
	if checkName(name) != nil {
		return nil, &NotFoundError{name, t.ConfPath(name)}
	}
	path := t.ConfPath(name)
	raw, _, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) && !lexists(path) {
		return nil, &NotFoundError{name, path}
	}
	c, parseErr := readConf(path)
	if err != nil || parseErr != nil {
		if err := t.w.Remove(path); err != nil {
			return nil, err
		}
		return nil, &UnparsableError{path, filepath.Join(t.liveDir(), name), filepath.Join(t.archiveDir(), name), errors.Join(err, parseErr)}
	}
	j := &job{name: name, Action: actionDelete, Base: digest(raw)}
	if j.Archive, _, err = c.path("archive_dir"); err != nil || j.Archive == "" {
		j.Archive = filepath.Join(t.archiveDir(), name)
	}
	for _, kind := range Kinds() {
		if j.Links[kind], _, err = c.path(kind.String()); err != nil || j.Links[kind] == "" {
			j.Links[kind] = filepath.Join(t.liveDir(), name, kind.live())
		}
	}
	// Once the links are gone, nothing says that the folder is the lineage's own.
	j.Own = t.owns(j)
	if err := t.makeBase(); err != nil {
		return nil, err
	}
	if err := t.begin(j); err != nil {
		return nil, fmt.Errorf("delete lineage %s: %w", name, err)
	}
	if err := t.finish(j); err != nil {
		return nil, err
	}
	for _, p := range append([]string{j.Archive}, j.Links[:]...) {
		if lexists(p) {
			left = append(left, p)
		}
	}
	return left, nil
}

// owns reports whether the versions in the job's archive folder are the lineage's to
// remove: the folder is in the tree, or the links point into it.
func (t *Tree) owns(j *job) bool {
	if inside(j.Archive, t.archiveDir()) {
		return true
	}
	for _, path := range j.Links {
		if target, err := linkTarget(path); err == nil && sameFile(filepath.Dir(target), j.Archive) {
			return true
		}
	}
	return false
}

// inside reports whether path is below root, with links followed.
func inside(path, root string) bool {
	path, errP := filepath.EvalSymlinks(path)
	root, errR := filepath.EvalSymlinks(root)
	return errP == nil && errR == nil && strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/")
}

// applyDelete has the renewal file first: for certbot there is no lineage any more.
func (t *Tree) applyDelete(j *job) error {
	confPath := t.ConfPath(j.name)
	switch raw, _, err := readFile(confPath); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case digest(raw) != j.Base:
		return errObsolete
	default:
		if err := t.w.Remove(confPath); err != nil {
			return err
		}
	}
	others, err := t.users(j.name)
	if err != nil {
		return err
	}
	live := map[string]bool{}
	for _, kind := range Kinds() {
		path := j.Links[kind]
		live[filepath.Dir(path)] = true
		if others.link(path) || !t.removableLink(path, kind) {
			continue
		}
		if err := t.w.Remove(path); err != nil {
			return err
		}
	}
	if dir := filepath.Dir(j.Links[Cert]); len(live) == 1 {
		if err := t.removeLive(dir); err != nil {
			return err
		}
	}
	if !j.Own || others.archive(j.Archive) {
		return nil
	}
	return t.removeArchive(j.Archive)
}

// removableLink reports whether something may be removed that a renewal file calls a
// link. In the live folder that is whatever has the right name; elsewhere only what is
// a link to a version.
func (t *Tree) removableLink(path string, kind Kind) bool {
	if inside(filepath.Dir(path), t.liveDir()) {
		return filepath.Base(path) == kind.live()
	}
	target, err := linkTarget(path)
	if err != nil {
		return false
	}
	k, _, ok := parseArchived(filepath.Base(target))
	return ok && k == kind
}

// removeLive removes README, what crashes left, and the folder, if it is empty then.
func (t *Tree) removeLive(dir string) error {
	if sameFile(dir, t.liveDir()) {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kept := 0
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !t.isReadme(path) && !isLitter(dir, e) {
			kept++
			continue
		}
		if err := t.w.Remove(path); err != nil {
			return err
		}
	}
	if kept > 0 {
		return nil
	}
	return t.w.Rmdir(dir)
}

// isReadme reports whether a file is the text about a live folder. Within the tree it
// is whatever has the name.
func (t *Tree) isReadme(path string) bool {
	if filepath.Base(path) != readmeName {
		return false
	}
	if inside(filepath.Dir(path), t.liveDir()) {
		return true
	}
	data, _, err := readFile(path)
	return err == nil && bytes.Equal(data, liveReadme())
}

// removeArchive removes versions, what crashes left, and the folder, if it is empty
// then. As with certbot, a folder that is a link stays.
func (t *Tree) removeArchive(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !info.IsDir() {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	kept := 0
	for _, e := range entries {
		if _, _, ok := parseArchived(e.Name()); (!ok || e.IsDir()) && !isLitter(dir, e) {
			kept++
			continue
		}
		if err := t.w.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	if kept > 0 || sameFile(dir, t.archiveDir()) {
		return nil
	}
	return t.w.Rmdir(dir)
}

package lineage

import (
	"errors"
	"fmt"
	"io/fs"
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
	raw, info, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotFoundError{name, path}
	}
	if err != nil {
		return nil, fmt.Errorf("delete lineage %s: %w", name, err)
	}
	c, err := parseConf(path, raw, info)
	if err != nil {
		if err := t.w.Remove(path); err != nil {
			return nil, err
		}
		return nil, &UnparsableError{path, filepath.Join(t.liveDir(), name), filepath.Join(t.archiveDir(), name), err}
	}
	j := t.deletion(name, c)
	if err := t.makeBase(); err != nil {
		return nil, err
	}
	if err := t.begin(j); err != nil {
		return nil, fmt.Errorf("delete lineage %s: %w", name, err)
	}
	if err := t.finish(j); err != nil {
		return nil, err
	}
	if err := t.HooksRan(name); err != nil {
		t.log.Warn(err.Error()) // Repair sees that there is no lineage
	}
	for _, p := range append([]string{j.Archive}, j.Links[:]...) {
		if lexists(p) {
			left = append(left, p)
		}
	}
	return left, nil
}

// deletion is the job for a lineage. What its renewal file does not say is where it
// usually is.
func (t *Tree) deletion(name string, c *conf) *job {
	j := &job{name: name, Action: actionDelete, Base: digest(c.raw)}
	var err error
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
	return j
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

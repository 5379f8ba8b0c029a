package lineage

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

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
	dir, shared := filepath.Dir(j.Links[Cert]), false
	for _, kind := range Kinds() {
		path := j.Links[kind]
		used := others.link(path)
		shared = shared || used || filepath.Dir(path) != dir
		if used || !t.removableLink(path, kind) {
			continue
		}
		if err := t.discard(path); err != nil {
			return err
		}
	}
	if !shared {
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
	return t.empty(dir, func(e fs.DirEntry) bool { return t.isReadme(filepath.Join(dir, e.Name())) })
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
	if err != nil || !info.IsDir() {
		return ignoreStuck(err)
	}
	return t.empty(dir, func(e fs.DirEntry) bool {
		_, _, ok := parseArchived(e.Name())
		return ok && !e.IsDir()
	})
}

// empty removes what is the lineage's own from a folder, and the folder, if nothing
// else is in it and it is not one that lineages share.
func (t *Tree) empty(dir string, own func(fs.DirEntry) bool) error {
	entries, err := readDir(dir)
	if err != nil {
		return ignoreStuck(err)
	}
	kept := sameFile(dir, t.archiveDir()) || sameFile(dir, t.liveDir())
	for _, e := range entries {
		if !own(e) && !isLitter(dir, e) {
			kept = true
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := t.discard(path); err != nil {
			return err
		}
		kept = kept || lexists(path)
	}
	if kept {
		return nil
	}
	return ignoreStuck(t.w.Rmdir(dir))
}

// discard removes a file, if that is possible at all. As with certbot, one that cannot
// be removed does not keep the rest from going.
func (t *Tree) discard(path string) error { return ignoreStuck(t.w.Remove(path)) }

// ignoreStuck leaves errors that another attempt may not have. The others can be had
// from what a renewal file says, and would keep the job from ever ending.
func ignoreStuck(err error) error {
	for _, passing := range []error{
		syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.ESTALE, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	} {
		if errors.Is(err, passing) {
			return err
		}
	}
	return nil
}

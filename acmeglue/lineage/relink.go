package lineage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"edge/internal/durable"
)

// restorePrevious does what certbot does when it was stopped while it changed the
// links: if all four that say where they were are there, they are put back.
func (l *Lineage) restorePrevious() (bool, error) {
	var back []durable.Pointer
	for _, kind := range Kinds() {
		path := l.links[kind].path
		previous := filepath.Join(filepath.Dir(path), "previous_"+kind.live())
		text, err := os.Readlink(previous)
		if err != nil || !exists(previous) || replaceable(path) != nil {
			return false, nil
		}
		if now, err := os.Readlink(path); err != nil || now != text {
			back = append(back, durable.Pointer{Path: path, Target: text})
		}
	}
	if len(back) == 0 {
		return false, nil
	}
	return true, l.tree.w.Relink(back)
}

// relink puts the newest version in use that is whole, where the links are older, of
// different versions, or missing. It returns the versions that they were at (0: none),
// and the one that they are at now, or 0 where nothing was done. Links that somebody
// has pointed elsewhere are left alone.
func (l *Lineage) relink() (old [4]int, now int, err error) {
	for i := range l.links {
		path := l.links[i].path
		target, err := linkTarget(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return old, 0, nil // not a link: Load says so
		}
		l.links[i].target = target
	}
	l.settleArchive()
	for _, kind := range Kinds() {
		target := l.links[kind].target
		if target == "" {
			continue
		}
		n := l.linked(kind)
		if n == 0 || exists(target) && !sameFile(filepath.Dir(target), l.archive) {
			return old, 0, nil
		}
		if exists(target) {
			old[kind] = n
		}
	}
	have, err := readVersions(l.archive)
	if err != nil {
		return old, 0, ignoreMissing(err)
	}
	complete := have.complete()
	for i := len(complete) - 1; i >= 0; i-- {
		n := complete[i]
		if old == [4]int{n, n, n, n} {
			return old, 0, nil // as it should be
		}
		if l.wholeVersion(n) != nil {
			continue
		}
		var wrong []durable.Pointer
		for _, kind := range Kinds() {
			if old[kind] == n {
				continue
			}
			text, err := l.linkText(kind, n)
			if err != nil {
				return old, 0, err
			}
			wrong = append(wrong, durable.Pointer{Path: l.links[kind].path, Target: text})
		}
		return old, n, l.tree.w.Relink(wrong)
	}
	return old, 0, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// wholeVersion reports why the four files of a version do not belong together.
func (l *Lineage) wholeVersion(n int) error {
	var files [4][]byte
	for _, kind := range Kinds() {
		data, _, err := readFile(filepath.Join(l.archive, kind.archived(n)))
		if err != nil {
			return err
		}
		files[kind] = data
	}
	return whole(files)
}

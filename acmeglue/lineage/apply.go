package lineage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"edge/internal/durable"
)

// errObsolete says that a job was overtaken: while it waited, somebody else changed
// the lineage that it is about.
var errObsolete = errors.New("the lineage was changed by somebody else since")

// Modes of what is made, whatever the umask.
const (
	fileMode   = 0o644
	keyMode    = 0o600
	openDir    = 0o755 // renewal, folders of lineages
	privateDir = 0o700 // archive, live
)

// apply does what a job says, as far as it is not done.
func (t *Tree) apply(j *job) error {
	switch j.Action {
	case actionCreate:
		return t.applyCreate(j)
	case actionRenew:
		return t.applyRenew(j)
	default:
		return t.applyDelete(j)
	}
}

// applyCreate has the renewal file last: for certbot there is no lineage before.
func (t *Tree) applyCreate(j *job) error {
	confPath := t.ConfPath(j.name)
	switch there, _, err := readFile(confPath); {
	case err == nil && bytes.Equal(there, j.Conf):
		return nil // it comes last
	case err == nil:
		return errObsolete
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	live := filepath.Dir(j.Links[0])
	for _, dir := range []string{j.Archive, live} {
		if err := t.w.Mkdir(dir, openDir); err != nil {
			return err
		}
	}
	if err := t.applyFiles(j); err != nil {
		return err
	}
	if err := t.applyLinks(j); err != nil {
		return err
	}
	if readme := filepath.Join(live, readmeName); !lexists(readme) {
		if err := t.w.WriteFile(readme, liveReadme(), fileMode); err != nil {
			return err
		}
	}
	return t.w.CreateFile(confPath, j.Conf, durable.Attr{Mode: fileMode})
}

// applyRenew is in certbot's order: files, renewal file, links.
func (t *Tree) applyRenew(j *job) error {
	confPath := t.ConfPath(j.name)
	now, info, err := readFile(confPath)
	if errors.Is(err, fs.ErrNotExist) || t.newestLink(j) > j.Version {
		return errObsolete
	}
	if err != nil {
		return err
	}
	if err := t.applyFiles(j); err != nil {
		return err
	}
	// Somebody else's changes of the file stay.
	if digest(now) == j.Base && !bytes.Equal(now, j.Conf) {
		if err := t.w.WriteFileAs(confPath, j.Conf, attrOf(info)); err != nil {
			return err
		}
	}
	return t.applyLinks(j)
}

// newestLink is the highest version that a link of the lineage points to, or 0.
func (t *Tree) newestLink(j *job) int {
	newest := 0
	for _, path := range j.Links {
		if target, err := linkTarget(path); err == nil {
			_, n, _ := parseArchived(filepath.Base(target))
			newest = max(newest, n)
		}
	}
	return newest
}

// applyFiles puts the version into the archive. Nothing there is ever overwritten.
func (t *Tree) applyFiles(j *job) error {
	// The key first, as certbot does: a version without one is never taken for whole.
	for _, kind := range [...]Kind{PrivKey, Cert, Chain, FullChain} {
		path := filepath.Join(j.Archive, kind.archived(j.Version))
		switch there, _, err := readFile(path); {
		case err == nil && bytes.Equal(there, j.Files[kind]):
			continue
		case err == nil:
			return errObsolete
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		attr := durable.Attr{Mode: fileMode}
		if kind == PrivKey {
			attr = durable.Attr{Mode: j.KeyMode, Owner: j.Owner}
		}
		if err := t.w.CreateFile(path, j.Files[kind], attr); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tree) applyLinks(j *job) error {
	var wrong []durable.Pointer
	for _, kind := range Kinds() {
		if text, err := os.Readlink(j.Links[kind]); err != nil || text != j.Targets[kind] {
			if err := replaceable(j.Links[kind]); err != nil {
				return err
			}
			wrong = append(wrong, durable.Pointer{Path: j.Links[kind], Target: j.Targets[kind]})
		}
	}
	return t.w.Relink(wrong)
}

// replaceable refuses to put a link in the place of anything but a link: it could be
// the only copy of a key.
func replaceable(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("expected %s to be a symlink", path)
	}
	return nil
}

// drop forgets a job that was overtaken, and takes its traces away: files of its
// version that are its own and that no link of the lineage points to.
func (t *Tree) drop(j *job) error {
	var errs []error
	if j.Action != actionDelete && t.newestLink(j) != j.Version {
		for _, kind := range Kinds() {
			path := filepath.Join(j.Archive, kind.archived(j.Version))
			if there, _, err := readFile(path); err == nil && bytes.Equal(there, j.Files[kind]) {
				errs = append(errs, t.w.Remove(path))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return t.w.Remove(t.jobPath(j.name))
}

package lineage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// keepVersions is how many versions stay beside the one in use (certbot 2.7 and later).
const keepVersions = 5

// RenewOptions say what the new version is.
type RenewOptions struct {
	// Chain is leaf first, PEM, with at least one certificate behind the leaf.
	Chain []byte
	// Key is PEM. Nil: the certificate is for the key that the lineage has.
	Key []byte
	// Params are for the renewal file. Nil: it says what it said.
	Params *Params
	// OweHooks: Repair asks for deploy hooks until Tree.HooksRan has been called.
	OweHooks bool
}

// Renew makes a new version and puts it in use; the key's file gets the group and the
// mode that the last one had. Then old versions are removed. An error means that
// nothing has changed, unless it is a *PendingError: then it will.
func (l *Lineage) Renew(o RenewOptions) (version int, err error) {
	fail := func(err error) (int, error) { return 0, fmt.Errorf("renew lineage %s: %w", l.name, err) }
	if lexists(l.tree.jobPath(l.name)) {
		return fail(errors.New("a change that was begun has to be finished first"))
	}
	if err := l.reload(); err != nil {
		return fail(err)
	}
	j, err := l.renewal(o)
	if err != nil {
		return fail(err)
	}
	if err := l.writable(j); err != nil {
		return fail(err)
	}
	if o.OweHooks {
		if err := l.tree.owe(l.name, j.Version); err != nil {
			return fail(err)
		}
	}
	if err := l.tree.begin(j); err != nil {
		return fail(err)
	}
	if err := l.tree.finish(j); err != nil {
		return 0, err
	}
	if err := l.reload(); err != nil {
		return fail(err)
	}
	// What stays does no harm, and the next renewal tries again.
	if err := l.prune(); err != nil {
		l.tree.log.Warn("old versions of the lineage were not removed", "lineage", l.name, "error", err)
	}
	return j.Version, nil
}

// renewal is the job for a new version.
func (l *Lineage) renewal(o RenewOptions) (*job, error) {
	keyData, keyInfo, err := readFile(l.links[PrivKey].target)
	if err != nil {
		return nil, err
	}
	if o.Key == nil {
		o.Key = keyData
	}
	files, err := split(o.Chain, o.Key)
	if err != nil {
		return nil, err
	}
	have, err := readVersions(l.archive)
	if err != nil {
		return nil, err
	}
	j := &job{
		name: l.name, Action: actionRenew, Version: have.next(), Archive: l.archive, Files: files,
		Base: digest(l.conf.raw), KeyMode: carriedMode(keyInfo.Mode()), Owner: groupOf(keyInfo),
	}
	for _, kind := range Kinds() {
		j.Links[kind] = l.links[kind].path
		if j.Targets[kind], err = l.linkText(kind, j.Version); err != nil {
			return nil, err
		}
	}
	j.Conf, err = l.conf.changed(l, o.Params)
	return j, err
}

// linkText is what a link is to say for a version: the way to the archive that it says
// now, as long as that is right, else a relative one.
func (l *Lineage) linkText(kind Kind, version int) (string, error) {
	link := l.links[kind]
	if text, err := os.Readlink(link.path); err == nil && sameFile(filepath.Dir(link.target), l.archive) {
		return filepath.Join(filepath.Dir(text), kind.archived(version)), nil
	}
	dir, err := filepath.Rel(filepath.Dir(link.path), l.archive)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, kind.archived(version)), nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// writable finds out before anything is written down what would stop the job for good.
func (l *Lineage) writable(j *job) error {
	if err := l.tree.makeBase(); err != nil { // the job needs the archive's own folder
		return err
	}
	if err := probe(j.Archive, j.KeyMode, j.Owner); err != nil {
		return err
	}
	for _, path := range append([]string{l.conf.file}, j.Links[:]...) {
		if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
			return &fs.PathError{Op: "write to", Path: filepath.Dir(path), Err: err}
		}
	}
	return nil
}

// reload reads the lineage anew.
func (l *Lineage) reload() error {
	fresh, err := l.tree.Load(l.name)
	if err != nil {
		return err
	}
	*l = *fresh
	return nil
}

// prune removes versions that are older than the ones to keep.
func (l *Lineage) prune() error {
	have, err := readVersions(l.archive)
	if err != nil {
		return err
	}
	oldest := l.Version() - keepVersions
	var old []int
	for n := range have {
		if n < oldest {
			old = append(old, n)
		}
	}
	if len(old) == 0 {
		return nil
	}
	// Others may be at one of these versions.
	if users, err := l.tree.users(l.name); err != nil || users.archive(l.archive) {
		return err
	}
	pinned := l.pinned(have, oldest)
	for _, n := range old {
		for _, kind := range Kinds() {
			if path := filepath.Join(l.archive, kind.archived(n)); have[n][kind] && !pinned[filepath.Base(path)] {
				if err := l.tree.w.Remove(path); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// pinned are the names of old files that versions to keep are links to: that is how
// certbot before 2.7 reuses a key.
func (l *Lineage) pinned(have versions, oldest int) map[string]bool {
	out := map[string]bool{}
	for n := range have {
		for _, kind := range Kinds() {
			if n < oldest || !have[n][kind] {
				continue
			}
			if target, err := linkTarget(filepath.Join(l.archive, kind.archived(n))); err == nil {
				out[filepath.Base(target)] = true
			}
		}
	}
	return out
}

package lineage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"edge"
	"edge/internal/durable"
)

// CreateOptions say what to make.
type CreateOptions struct {
	// Name is the one that is wanted. Where there is such a lineage already, it is
	// NAME-0001 and so on, unless Exact is set: then the error wraps fs.ErrExist.
	Name  string
	Exact bool
	// Chain is leaf first, PEM, with at least one certificate behind the leaf.
	Chain []byte
	Key   []byte // PEM
	// Params are for the renewal file.
	Params *Params
	// KeyMode is that of the key's file. Only what it says about the group, and
	// that others may read, is taken; the zero value is 0600.
	KeyMode fs.FileMode
	// KeyGroup is the group of the key's file, a name or a number. "": as it comes.
	KeyGroup string
	// OweHooks: Repair asks for deploy hooks until Tree.HooksRan has been called.
	OweHooks bool
}

// maxNames ends the search for a name that is not taken.
const maxNames = 10_000

// Create makes a lineage. An error means that there is none, unless it is a
// *PendingError: then there will be one.
func (t *Tree) Create(o CreateOptions) (*Lineage, error) {
	if err := edge.CheckLineageName(o.Name); err != nil {
		return nil, err
	}
	files, err := split(o.Chain, o.Key)
	if err != nil {
		return nil, fmt.Errorf("create lineage %s: %w", o.Name, err)
	}
	owner, err := groupOwner(o.KeyGroup)
	if err != nil {
		return nil, fmt.Errorf("create lineage %s: %w", o.Name, err)
	}
	if err := t.makeBase(); err != nil {
		return nil, err
	}
	name, err := t.freeName(o.Name, o.Exact)
	if err != nil {
		return nil, err
	}
	j := t.newJob(name, files)
	j.KeyMode, j.Owner = carriedMode(o.KeyMode), owner
	l := &Lineage{tree: t, name: name, archive: j.Archive}
	for i, path := range j.Links {
		l.links[i].path = path
	}
	if j.Conf, err = newConf(l, o.Params); err != nil {
		return nil, err
	}
	if err := probe(t.archiveDir(), j.KeyMode, j.Owner); err != nil {
		return nil, fmt.Errorf("create lineage %s: %w", name, err)
	}
	if o.OweHooks {
		if err := t.owe(name, j.Version); err != nil {
			return nil, fmt.Errorf("create lineage %s: %w", name, err)
		}
	}
	if err := t.begin(j); err != nil {
		return nil, fmt.Errorf("create lineage %s: %w", name, err)
	}
	if err := t.finish(j); err != nil {
		return nil, err
	}
	return t.Load(name)
}

// newJob is the first version of a lineage in the usual places.
func (t *Tree) newJob(name string, files [4][]byte) *job {
	j := &job{name: name, Action: actionCreate, Version: 1, Archive: filepath.Join(t.archiveDir(), name), Files: files}
	for _, kind := range Kinds() {
		j.Links[kind] = filepath.Join(t.liveDir(), name, kind.live())
		j.Targets[kind] = filepath.Join("..", "..", "archive", name, kind.archived(1))
	}
	return j
}

// makeBase makes the folders that all lineages share, with certbot's modes.
func (t *Tree) makeBase() error {
	for _, d := range []struct {
		path string
		mode fs.FileMode
	}{{t.dirs.Config, openDir}, {t.renewalDir(), openDir}, {t.archiveDir(), privateDir}, {t.liveDir(), privateDir}} {
		if err := t.w.Mkdir(d.path, d.mode); err != nil {
			return err
		}
	}
	if path := filepath.Join(t.liveDir(), readmeName); !lexists(path) {
		return t.w.WriteFile(path, baseReadme(), fileMode)
	}
	return nil
}

// freeName finds the first name without a renewal file. As with certbot, folders that
// are there without one are an error: somebody may need what is in them.
func (t *Tree) freeName(wanted string, exact bool) (string, error) {
	name := wanted
	for n := 1; lexists(t.ConfPath(name)) || lexists(t.jobPath(name)); n++ {
		if exact || n == maxNames {
			return "", fmt.Errorf("create lineage %s: %w", wanted, &fs.PathError{Op: "create", Path: t.ConfPath(name), Err: fs.ErrExist})
		}
		name = fmt.Sprintf("%s-%04d", wanted, n)
	}
	for what, dir := range map[string]string{"archive": filepath.Join(t.archiveDir(), name), "live": filepath.Join(t.liveDir(), name)} {
		empty, err := emptyDir(dir)
		if err != nil {
			return "", err
		}
		if !empty {
			return "", errors.New(what + " directory exists for " + name)
		}
	}
	return name, nil
}

// emptyDir reports whether there is nothing at a path, or a folder with nothing in it.
func emptyDir(dir string) (bool, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return !lexists(dir), nil
	}
	if err != nil || !info.IsDir() {
		return false, err
	}
	entries, err := readDir(dir)
	return len(entries) == 0, err
}

// carriedMode is what certbot lets the file of a new key have of the mode of the old.
func carriedMode(old fs.FileMode) fs.FileMode { return keyMode | old&0o074 }

func groupOwner(group string) (*durable.Owner, error) {
	if group == "" {
		return nil, nil
	}
	id := group
	if _, err := strconv.Atoi(group); err != nil {
		g, err := user.LookupGroup(group)
		if err != nil {
			return nil, err
		}
		id = g.Gid
	}
	gid, err := strconv.Atoi(id)
	if err != nil || gid < 0 {
		return nil, fmt.Errorf("group %.40q: not a number of a group", group)
	}
	return &durable.Owner{UID: -1, GID: gid}, nil
}

// probe finds out before anything is written down whether a key can be written as it
// has to be: a job that cannot be done would stay.
func probe(dir string, mode fs.FileMode, owner *durable.Owner) error {
	f, err := os.CreateTemp(dir, "."+PrivKey.live()+".tmp-*")
	if err != nil {
		return err
	}
	if owner != nil {
		err = f.Chown(owner.UID, owner.GID)
	}
	return errors.Join(err, f.Chmod(mode), f.Close(), os.Remove(f.Name()))
}

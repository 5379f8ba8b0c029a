package lineage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"edge/internal/configobj"
	"edge/internal/durable"
)

// Load reads a lineage and looks at its links, as certbot does before it does
// anything with one. It never writes. The error is a *NotFoundError or a
// *BrokenError.
func (t *Tree) Load(name string) (*Lineage, error) {
	path := t.ConfPath(name)
	if checkName(name) != nil || !exists(path) {
		return nil, &NotFoundError{name, path}
	}
	broken := func(problem string, err error) error {
		return &BrokenError{Name: name, ConfPath: path, Problem: problem, Err: err}
	}
	c, err := readConf(path)
	if err != nil {
		return nil, broken("error parsing "+path, err)
	}
	l := &Lineage{tree: t, name: name, conf: c}
	root := c.doc.Root()
	for _, key := range root.Keys() {
		// certbot expands all values of this level when it loads the file.
		if _, _, err := root.Lookup(key); err != nil {
			return nil, broken("error parsing "+path, err)
		}
	}
	for i, kind := range Kinds() {
		link, ok, err := c.path(kind.String())
		if err != nil {
			return nil, broken("error parsing "+path, err)
		}
		if !ok {
			return nil, broken("renewal config file "+path+" is missing a required file reference", errors.New("no "+kind.String()))
		}
		l.links[i].path = link
	}
	if l.archive, _, err = c.path("archive_dir"); err != nil {
		return nil, broken("error parsing "+path, err)
	}
	if problem, err := l.readLinks(); problem != "" {
		return nil, broken(problem, err)
	}
	l.settleArchive()
	return l, nil
}

// readLinks finds out where the links point to. The problem is in certbot's words,
// the cause in the system's: who is not root learns that he may not look.
func (l *Lineage) readLinks() (problem string, cause error) {
	for i := range l.links {
		path := l.links[i].path
		target, err := linkTarget(path)
		if err != nil {
			return "expected " + path + " to be a symlink", err
		}
		if _, err := os.Stat(target); err != nil {
			return "target " + target + " of symlink " + path + " does not exist", err
		}
		l.links[i].target = target
	}
	return "", nil
}

// settleArchive finds the archive folder of files that do not name one: those of
// certbot before 0.9. certbot takes the default one, which a renamed lineage does
// not have.
func (l *Lineage) settleArchive() {
	if l.archive != "" {
		return
	}
	l.archive = filepath.Join(l.tree.archiveDir(), l.name)
	if target := l.links[0].target; target != "" && !exists(l.archive) {
		l.archive = filepath.Dir(target)
	}
}

// linkTarget is the absolute path that a link points to, found without following
// other links, as certbot does it.
func linkTarget(link string) (string, error) {
	target, err := os.Readlink(link)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(link), target)
	}
	return filepath.Clean(target), nil
}

// conf is a renewal file.
type conf struct {
	file string
	raw  []byte
	attr durable.Attr // that a new version of the file keeps
	doc  *configobj.Document
}

func readConf(path string) (*conf, error) {
	raw, info, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return parseConf(path, raw, info)
}

func parseConf(path string, raw []byte, info fs.FileInfo) (*conf, error) {
	doc, err := configobj.Parse(raw)
	if err != nil {
		return nil, err
	}
	return &conf{file: path, raw: raw, attr: attrOf(info), doc: doc}, nil
}

// path is the value of a key that has to be an absolute path.
func (c *conf) path(key string) (path string, ok bool, err error) {
	v, ok, err := c.doc.Root().Lookup(key)
	if err != nil || !ok {
		return "", false, err
	}
	if v.List || !filepath.IsAbs(v.Items[0]) {
		return "", true, &fs.PathError{Op: "read " + key + " in", Path: c.file, Err: errors.New("not an absolute path")}
	}
	return filepath.Clean(v.Items[0]), true, nil
}

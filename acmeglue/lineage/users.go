package lineage

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
)

// usage says which folders and links other lineages have.
type usage struct {
	archives []string // folders
	links    []string
	unread   [][]byte // renewal files that cannot be read: they may use anything they name
}

// users reads the renewal files of all lineages but one.
func (t *Tree) users(except string) (*usage, error) {
	names, err := t.Names()
	if err != nil {
		return nil, err
	}
	u := &usage{}
	for _, name := range names {
		if name == except {
			continue
		}
		c, err := readConf(t.ConfPath(name))
		if err != nil {
			raw, _, err := readFile(t.ConfPath(name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			u.unread = append(u.unread, raw)
			continue
		}
		u.add(t, name, c)
	}
	return u, nil
}

func (u *usage) add(t *Tree, name string, c *conf) {
	archive, ok, err := c.path("archive_dir")
	if err != nil {
		u.unread = append(u.unread, c.raw)
		return
	}
	if !ok {
		archive = filepath.Join(t.archiveDir(), name)
	}
	u.archives = append(u.archives, archive)
	for _, kind := range Kinds() {
		link, ok, err := c.path(kind.String())
		if err != nil {
			u.unread = append(u.unread, c.raw)
			return
		}
		if !ok {
			continue
		}
		u.links = append(u.links, link)
		if target, err := linkTarget(link); err == nil {
			u.archives = append(u.archives, filepath.Dir(target))
		}
	}
}

// archive reports whether another lineage has its versions in a folder.
func (u *usage) archive(dir string) bool {
	return slices.ContainsFunc(u.archives, func(a string) bool { return a == dir || sameFile(a, dir) }) || u.named(dir)
}

// link reports whether another lineage has this link.
func (u *usage) link(path string) bool { return slices.Contains(u.links, path) || u.named(path) }

func (u *usage) named(path string) bool {
	return slices.ContainsFunc(u.unread, func(raw []byte) bool { return bytes.Contains(raw, []byte(path)) })
}

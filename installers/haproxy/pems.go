package haproxy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// use is one way in which a bind line comes to a certificate.
type use struct {
	bind   *bind
	list   string   // folder or crt-list; empty: the file itself is named
	line   *crtLine // of the crt-list, nil where there is none
	stored bool     // by way of a crt-store
	acme   bool
}

// loaded is a PEM file that HAProxy loads, or looks for.
type loaded struct {
	path string
	uses []use
}

// list is a folder or a crt-list of the configuration.
type list struct {
	path  string
	file  bool // a crt-list
	binds []*bind
	lines []crtLine
}

// pems is all that the configuration loads certificates from.
type pems struct {
	files []*loaded
	lists []*list
	odd   []string // what cannot be found: relative paths
}

func (p *pems) file(path string) *loaded {
	i := slices.IndexFunc(p.files, func(l *loaded) bool { return l.path == path })
	if i < 0 {
		return nil
	}
	return p.files[i]
}

func (p *pems) add(path string, u use) {
	l := p.file(path)
	if l == nil {
		l = &loaded{path: path}
		p.files = append(p.files, l)
	}
	l.uses = append(l.uses, u)
}

// list returns the one of that path, with a bind line more.
func (p *pems) list(path string, file bool, b *bind) *list {
	i := slices.IndexFunc(p.lists, func(l *list) bool { return l.path == path })
	if i < 0 {
		p.lists = append(p.lists, &list{path: path, file: file})
		i = len(p.lists) - 1
	}
	p.lists[i].binds = append(p.lists[i].binds, b)
	return p.lists[i]
}

// pems looks at the disk for what bind lines name.
func (w *world) pems() (*pems, error) {
	p := &pems{}
	for _, b := range w.binds {
		if !b.ssl {
			continue
		}
		for _, s := range b.certs {
			if err := w.source(p, b, s); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (w *world) source(p *pems, b *bind, s source) error {
	path, u := s.path, use{bind: b, acme: b.acme}
	if st, ok := w.store[path]; ok {
		path, u.stored, u.acme = st.path, true, u.acme || st.acme
	}
	if !filepath.IsAbs(path) {
		p.odd = append(p.odd, path)
		return nil
	}
	path = filepath.Clean(path)
	if s.list {
		return w.crtList(p, b, path)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return folder(p, b, path)
	} else if err == nil {
		p.add(path, u)
		return nil
	}
	bundle := false
	for _, kind := range []string{".rsa", ".ecdsa", ".dsa"} {
		if _, err := os.Stat(path + kind); err == nil {
			bundle = true
			p.add(path+kind, u)
		}
	}
	if !bundle {
		p.add(path, u)
	}
	return nil
}

func (w *world) crtList(p *pems, b *bind, path string) error {
	raw, err := readFile(path, maxConf)
	if err != nil {
		return err
	}
	l := p.list(path, true, b)
	l.lines = parseCrtList(string(raw))
	for i := range l.lines {
		line := &l.lines[i]
		file := below(w.base, line.file)
		st, is := w.store[file]
		if is {
			file = st.path
		}
		if !filepath.IsAbs(file) {
			p.odd = append(p.odd, file)
			continue
		}
		p.add(file, use{bind: b, list: path, line: line, stored: is, acme: b.acme || line.acme || is && st.acme})
	}
	return nil
}

func folder(p *pems, b *bind, path string) error {
	p.list(path, false, b)
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		reserved := slices.ContainsFunc(reservedSuffixes(), func(s string) bool { return strings.HasSuffix(e.Name(), s) })
		if e.Name()[0] != '.' && !reserved && !e.IsDir() {
			p.add(filepath.Join(path, e.Name()), use{bind: b, list: path, acme: b.acme})
		}
	}
	return nil
}

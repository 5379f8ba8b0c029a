package postfix

import (
	"slices"
	"strings"
)

// sniMap is the source of the table that has a PEM file for each name.
type sniMap struct {
	src     []byte
	entries []sniEntry
}

type sniEntry struct {
	logical
	key, path string // in lower case; where its PEM file is, or several
}

func parseSNI(src []byte) (*sniMap, error) {
	lines, err := logicals(src)
	if err != nil {
		return nil, err
	}
	m := &sniMap{src: src}
	for _, l := range lines {
		key, path := strings.Trim(l.text, blank), ""
		if at := strings.IndexAny(key, blank); at >= 0 {
			key, path = key[:at], strings.Trim(key[at:], blank)
		}
		m.entries = append(m.entries, sniEntry{l, strings.ToLower(key), path})
	}
	return m, nil
}

// key is how a name is written in the table: ".example.org" is for all below it.
func sniKey(host string) string { return strings.ToLower(strings.TrimPrefix(host, "*")) }

// sniHeader is what a new source begins with.
const sniHeader = "# Written by edge: the names that clients ask for, and the files that are shown to them.\n# After a change: postmap -F\n"

// put has exactly these names lead to a path, and leaves the others as they are.
func (m *sniMap) put(path string, keys []string) error {
	left := slices.Clone(keys)
	var edits []edit
	for _, e := range m.entries {
		at := slices.Index(left, e.key)
		if e.path != path || at >= 0 {
			if e.path == path {
				left = slices.Delete(left, at, at+1)
			}
			continue
		}
		for _, l := range e.parts {
			edits = append(edits, edit{span{l.from, min(l.to+1, len(m.src))}, ""})
		}
	}
	var add strings.Builder
	if n := len(m.src); n > 0 && m.src[n-1] != '\n' {
		add.WriteByte('\n')
	} else if n == 0 {
		add.WriteString(sniHeader)
	}
	for _, k := range left {
		add.WriteString(k + " " + path + "\n")
	}
	if len(left) > 0 {
		edits = append(edits, edit{span{len(m.src), len(m.src)}, add.String()})
	}
	next, err := parseSNI(apply(m.src, edits))
	if err == nil {
		*m = *next
	}
	return err
}

// drop takes the names of a path away.
func (m *sniMap) drop(path string) error { return m.put(path, nil) }

// paths are those of its files, without those that several entries share.
func (m *sniMap) paths() []string {
	var list []string
	for _, e := range m.entries {
		if !slices.Contains(list, e.path) {
			list = append(list, e.path)
		}
	}
	return list
}

// moved is the source with other paths.
func (m *sniMap) moved(to func(path string) string) []byte {
	var b strings.Builder
	for _, e := range m.entries {
		b.WriteString(e.key + " " + to(e.path) + "\n")
	}
	return []byte(b.String())
}

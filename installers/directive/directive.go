// Package directive is for configurations of a directive a line, of which the last one
// counts: Redis's, PostgreSQL's. How a line is taken apart is in the server's package; here
// is how files include each other, and how a directive gets another value while every
// other byte stays.
package directive

import (
	"fmt"
	"slices"
	"strings"

	"edge/installers/pemfile"
)

// Line is a directive in a file.
type Line struct {
	From, To    int // bytes of the file that it is
	Name, Value string

	file int // its number in Set.Files
}

// Set is a configuration with all that it includes, in the order in which the server
// reads it.
type Set struct {
	Paths []string // of files, the main one first; links resolved
	Files [][]byte
	Lines []Line
}

// Reader takes a file apart, and follows a line that includes others: included is false for
// all other lines. More reads a file that is included.
type Reader struct {
	Parse   func(raw []byte) ([]Line, error)
	Include func(l Line, path string, more func(path string) error) (included bool, err error)
}

const (
	maxFiles = 100
	maxDepth = 10
)

// Load reads a configuration file and those that it includes.
func (r Reader) Load(path string) (*Set, error) {
	s := &Set{}
	return s, s.read(r, path, 0)
}

func (s *Set) read(r Reader, path string, depth int) error {
	if depth > maxDepth || len(s.Files) >= maxFiles {
		return fmt.Errorf("%s: too many files are included", path)
	}
	real, err := pemfile.Real(path)
	if err != nil {
		return err
	}
	raw, err := pemfile.Read(real)
	if err != nil {
		return err
	}
	n := len(s.Files)
	s.Paths, s.Files = append(s.Paths, real), append(s.Files, raw)
	lines, err := r.Parse(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", real, err)
	}
	for _, l := range lines {
		l.file = n
		included, err := r.Include(l, real, func(path string) error { return s.read(r, path, depth+1) })
		switch {
		case err != nil:
			return fmt.Errorf("%s: %s %q: %w", real, l.Name, l.Value, err)
		case !included:
			s.Lines = append(s.Lines, l)
		}
	}
	return nil
}

// Last is the directive of a name that counts, nil where there is none. Names have no case.
func (s *Set) Last(name string) *Line {
	for i := len(s.Lines) - 1; i >= 0; i-- {
		if strings.EqualFold(s.Lines[i].Name, name) {
			return &s.Lines[i]
		}
	}
	return nil
}

// Value is that of the directive that counts, "" where there is none.
func (s *Set) Value(name string) string {
	if l := s.Last(name); l != nil {
		return l.Value
	}
	return ""
}

// Of are the directives of one file.
func (s *Set) Of(file int) []Line {
	return slices.DeleteFunc(slices.Clone(s.Lines), func(l Line) bool { return l.file != file })
}

// Setting is a directive to be.
type Setting struct{ Name, Value string }

// Put returns the files that change when directives get values, by their numbers; write is
// how a directive is written. One that is not there comes at the end of the first file.
func (s *Set) Put(list []Setting, write func(Setting) string) map[int][]byte {
	out := map[int][]byte{}
	of := func(n int) []byte {
		if out[n] == nil {
			return slices.Clone(s.Files[n])
		}
		return out[n]
	}
	type edit struct {
		Line
		text string
	}
	var edits []edit
	missing := ""
	for _, one := range list {
		switch l := s.Last(one.Name); {
		case l == nil:
			missing += write(one) + "\n"
		case l.Value != one.Value:
			edits = append(edits, edit{*l, write(one)})
		}
	}
	slices.SortFunc(edits, func(a, b edit) int { return b.From - a.From }) // from the end, so that places stay right
	for _, e := range edits {
		raw := of(e.file)
		out[e.file] = slices.Concat(raw[:e.From], []byte(e.text), raw[e.To:])
	}
	if missing != "" {
		raw := of(0)
		if len(raw) > 0 && raw[len(raw)-1] != '\n' {
			raw = append(raw, '\n')
		}
		out[0] = append(raw, missing...)
	}
	return out
}

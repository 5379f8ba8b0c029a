package configobj

import (
	"bytes"
	"slices"
)

// MaxSize bounds what Parse reads, in bytes. A renewal file has one or two thousand.
const MaxSize = 256 << 10

const bom = "\ufeff"

// Document is a file. It is not safe for concurrent use.
type Document struct {
	bom     bool
	newline string   // of lines that are added
	initial []string // comments and empty lines before everything else
	final   []string // and after everything else
	indent  string   // of one level of sections, for lines that are added
	root    *Section
}

// Section is a part of a Document, or, as Root, all of it. Reading from a nil
// *Section finds nothing; Set on it is an error.
type Section struct {
	doc      *Document
	parent   *Section // nil for the root
	depth    int
	entry             // the header; empty for the root
	scalars  []*entry // these come before the sections, also in the file
	sections []*Section
	keys     map[string]*entry // scalars by name
	subs     map[string]*Section
}

// newSection returns an empty section within parent, to which add adds it.
func newSection(d *Document, parent *Section, header entry) *Section {
	s := &Section{doc: d, parent: parent, entry: header, keys: map[string]*entry{}, subs: map[string]*Section{}}
	if parent != nil {
		s.depth = parent.depth + 1
	}
	return s
}

func (s *Section) put(e *entry) {
	s.scalars = append(s.scalars, e)
	s.keys[e.name] = e
}

func (s *Section) add(sub *Section) {
	s.sections = append(s.sections, sub)
	s.subs[sub.name] = sub
}

// entry is a key with its value, or the header of a section, in its lines. Every
// line ends in its own newline, except for the last of the file, which may have none.
type entry struct {
	name   string
	value  Value
	above  []string // comments and empty lines
	before string   // the line as far as the value
	text   string   // the value as it is written; it may have several lines
	after  string   // space, comment, newline
}

// New returns an empty document.
func New() *Document {
	d := &Document{newline: "\n"}
	d.root = newSection(d, nil, entry{})
	return d
}

// Root has the keys and sections of the first level.
func (d *Document) Root() *Section { return d.root }

// Bytes is the file: what was parsed, where nothing was changed.
func (d *Document) Bytes() []byte {
	var out bytes.Buffer
	if d.bom {
		out.WriteString(bom)
	}
	start := out.Len()
	put := func(line string) {
		// The last line of the file may have had no newline, and is not the last any more.
		if b := out.Bytes(); line != "" && len(b) > start && b[len(b)-1] != '\n' {
			out.WriteString(d.newline)
		}
		out.WriteString(line)
	}
	for _, line := range d.initial {
		put(line)
	}
	d.root.write(put)
	for _, line := range d.final {
		put(line)
	}
	return out.Bytes()
}

func (e *entry) write(put func(line string)) {
	for _, line := range e.above {
		put(line)
	}
	put(e.before + e.text + e.after)
}

func (s *Section) write(put func(line string)) {
	s.entry.write(put)
	for _, e := range s.scalars {
		e.write(put)
	}
	for _, sub := range s.sections {
		sub.write(put)
	}
}

// Keys are those of the section in the order of the file, without its sections.
func (s *Section) Keys() []string {
	if s == nil {
		return nil
	}
	var names []string
	for _, e := range s.scalars {
		names = append(names, e.name)
	}
	return names
}

// Sections are the names of the sections within this one, in the order of the file.
func (s *Section) Sections() []string {
	if s == nil {
		return nil
	}
	var names []string
	for _, sub := range s.sections {
		names = append(names, sub.name)
	}
	return names
}

// Get returns a value as it is in the file, without interpolation.
func (s *Section) Get(key string) (Value, bool) {
	if e := s.find(key); e != nil {
		return Value{e.value.List, slices.Clone(e.value.Items)}, true
	}
	return Value{}, false
}

func (s *Section) find(key string) *entry {
	if s == nil {
		return nil
	}
	return s.keys[key]
}

// Section returns the section of that name within this one, or nil.
func (s *Section) Section(name string) *Section {
	if s == nil {
		return nil
	}
	return s.subs[name]
}

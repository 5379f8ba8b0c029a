package configobj

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Set gives a key a value. Where the key is there, its place and the comments above
// and behind it stay; where it has that value already, so do its bytes. A new key
// comes after the last one of the section. What cannot be written in a way that
// reads back is an error: several lines with both kinds of triple quotes, a carriage
// return before a newline, a list item of several lines, what is not UTF-8.
//
// Get returns the value as it was set. A reader that interpolates, as certbot is,
// may see something else: see NeedsInterpolation.
func (s *Section) Set(key string, v Value) error {
	if s == nil {
		return fmt.Errorf("set %q: there is no such section", key)
	}
	if !v.List && len(v.Items) != 1 {
		return fmt.Errorf("set %q: a string has one item, not %d", key, len(v.Items))
	}
	old := s.find(key)
	if old != nil && old.value.Equal(v) {
		return nil
	}
	if old == nil && s.Section(key) != nil {
		return fmt.Errorf("set %q: it is the name of a section", key)
	}
	e, err := s.compose(key, v, old)
	if err != nil {
		return fmt.Errorf("set %q: %w", key, err)
	}
	if old != nil {
		*old = *e
	} else {
		s.put(e)
	}
	return nil
}

var errUnwritable = errors.New("no way to write it reads back as it is")

// compose writes a key anew, with what old has around its value.
func (s *Section) compose(key string, v Value, old *entry) (*entry, error) {
	v.Items = slices.Clone(v.Items)
	around := entry{name: key, value: v, after: s.doc.newline}
	keys := oneLine(key)
	indent := s.doc.lineIndent(s.depth)
	if old != nil {
		around.above, around.after = old.above, old.after
		if strings.HasPrefix(around.after, "#") {
			around.after = " " + around.after
		}
		keys = []string{""}
		indent = old.before
		if old.text == "" && strings.HasSuffix(indent, " =") {
			indent += " "
		}
	}
	for _, k := range keys {
		for _, text := range forms(v) {
			e := around
			e.before, e.text = indent, text
			if old == nil {
				e.before += k + " = "
			}
			if e.readsBack() {
				return &e, nil
			}
		}
	}
	return nil, errUnwritable
}

// readsBack reports whether the entry, alone in a file, is what it should be.
func (e *entry) readsBack() bool {
	line := e.before + e.text + e.after
	if !utf8.ValidString(line) || strings.HasPrefix(line, bom) {
		return false
	}
	d, err := Parse([]byte(line))
	if err != nil || len(d.root.scalars) != 1 || len(d.root.sections)+len(d.initial)+len(d.final) != 0 {
		return false
	}
	got := d.root.scalars[0]
	return got.name == e.name && got.value.Equal(e.value) && got.after == e.after
}

func (d *Document) lineIndent(depth int) string { return strings.Repeat(d.indent, depth) }

// AddSection returns the section of that name, which is made, after the others
// within this one, where it is not there. It is nil where the name is that of a key,
// is empty, or cannot be written (a newline, both kinds of quotes).
func (s *Section) AddSection(name string) *Section {
	if sub := s.Section(name); sub != nil || s == nil || s.find(name) != nil {
		return sub
	}
	depth := s.depth + 1
	for _, form := range oneLine(name) {
		header := entry{name: name, after: s.doc.newline,
			before: s.doc.lineIndent(s.depth) + strings.Repeat("[", depth) + form + strings.Repeat("]", depth)}
		if !header.opens(depth) {
			continue
		}
		sub := newSection(s.doc, s, header)
		s.add(sub)
		return sub
	}
	return nil
}

// opens reports whether a section's header is read as what it should be. The depth
// matters: brackets in the name may count among those around it.
func (e *entry) opens(depth int) bool {
	var b strings.Builder
	for n := 1; n < depth; n++ {
		b.WriteString(strings.Repeat("[", n) + "x" + strings.Repeat("]", n) + "\n")
	}
	d, err := Parse([]byte(b.String() + e.before + e.after))
	if err != nil {
		return false
	}
	s := d.root
	for range depth {
		if len(s.sections) != 1 || len(s.scalars) > 0 {
			return false
		}
		s = s.sections[0]
	}
	return s.name == e.name && len(s.sections)+len(s.scalars) == 0
}

// Delete removes a key with the comments above and behind it.
func (s *Section) Delete(key string) {
	if s.find(key) != nil {
		s.scalars = slices.DeleteFunc(s.scalars, func(e *entry) bool { return e.name == key })
		delete(s.keys, key)
	}
}

// DeleteSection removes a section with all that is in it, and the comments above it.
func (s *Section) DeleteSection(name string) {
	if s.Section(name) != nil {
		s.sections = slices.DeleteFunc(s.sections, func(sub *Section) bool { return sub.name == name })
		delete(s.subs, name)
	}
}

// SetComment puts lines above a key or a section of this one, in place of those that
// are there. "" is an empty line; the others get a "# ", unless they begin with "#".
func (s *Section) SetComment(key string, lines []string) {
	e := s.find(key)
	if sub := s.Section(key); sub != nil {
		e = &sub.entry
	}
	if e != nil {
		e.above = s.doc.comments(s.doc.lineIndent(s.depth), lines)
	}
}

// SetInitialComment does the same for the lines before everything else.
func (d *Document) SetInitialComment(lines []string) { d.initial = d.comments("", lines) }

// comments makes lines of comments of them. What has several lines stays a comment
// in all of them.
func (d *Document) comments(indent string, lines []string) []string {
	var out []string
	for _, line := range lines {
		for part := range strings.SplitSeq(strings.ToValidUTF8(line, "\ufffd"), "\n") {
			part = trimSpace(part)
			if part != "" && part[0] != '#' {
				part = "# " + part
			}
			if part != "" {
				part = indent + part
			}
			out = append(out, part+d.newline)
		}
	}
	return out
}

package conf

import (
	"errors"
	"fmt"
	"strings"
)

// Edits collects changes to files; nothing happens before File.With or Set.With. Every
// change is meant for the tree as it was read, so that their order does not matter,
// but for what is inserted at the same place: that comes out in the order of the calls. Two changes
// of the same bytes, or one inside of what another removes, are an error. The first
// error is kept and returned by With. The zero value is ready to use.
//
// Text to insert is whole directives and comments, its lines ended by \n and indented by
// four spaces a block. It gets the indentation and the line ends of the file.
type Edits struct {
	files map[*File]*changes
	added map[string]string
	ops   int
	err   error
}

// changes are those of one file.
type changes struct {
	edits  []edit
	claims []edit // spans that no other operation may touch
}

// edit replaces the bytes of a span. Those of one operation share its number.
type edit struct {
	Span
	text string
	op   int
	side side
}

// side orders what is inserted at the same byte.
type side int

const (
	tail   side = iota // belongs to the directive that ends there
	top                // first in a block
	behind             // behind a directive
	front              // in front of one
	bottom             // last in a block
	head               // belongs to the directive that begins there
)

func (e *Edits) of(f *File) *changes {
	if e.files == nil {
		e.files = map[*File]*changes{}
	}
	if e.files[f] == nil {
		e.files[f] = &changes{}
	}
	return e.files[f]
}

// begin starts an operation on f that nothing else may interfere with inside of s.
func (e *Edits) begin(f *File, s Span) {
	e.ops++
	c := e.of(f)
	c.claims = append(c.claims, edit{Span: s, op: e.ops})
}

func (e *Edits) put(f *File, start, end int, text string) {
	c := e.of(f)
	c.edits = append(c.edits, edit{Span: Span{start, end}, text: text, op: e.ops})
}

func (e *Edits) insert(f *File, at int, side side, text string) {
	c := e.of(f)
	c.edits = append(c.edits, edit{Span{at, at}, text, e.ops, side})
}

func (e *Edits) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// Remove takes a directive out, and its line where nothing else is on it. A comment
// behind it stays.
func (e *Edits) Remove(d *Directive) {
	f, line := d.File, lineAround(d.File.Src, d.Span)
	e.begin(f, d.Span)
	e.put(f, d.Start, d.End, "")
	before, after := f.Src[line.Start:d.Start], f.Src[d.End:line.End]
	switch {
	case isBlank(before) && isBlank(after):
		e.put(f, line.Start, d.Start, "")
		e.put(f, d.End, pastNewline(f.Src, line.End), "")
	case isBlank(before): // something follows and takes its place
		e.put(f, d.End, line.End-len(strings.TrimLeft(after, " \t")), "")
	default:
		e.put(f, line.Start+len(strings.TrimRight(before, " \t")), d.Start, "")
	}
}

// RemoveLine is Remove, and a comment that follows on the same line goes as well.
func (e *Edits) RemoveLine(d *Directive) {
	c := trailing(d)
	if c == nil {
		e.Remove(d)
		return
	}
	f, line := d.File, lineAround(d.File.Src, Span{d.Start, c.End})
	e.begin(f, Span{d.Start, c.End})
	e.put(f, d.Start, c.End, "")
	before := f.Src[line.Start:d.Start]
	e.put(f, line.Start+len(strings.TrimRight(before, " \t")), d.Start, "")
	if isBlank(before) {
		e.put(f, c.End, pastNewline(f.Src, line.End), "")
	}
}

// CommentOut turns a directive, with its block if it has one, into comments, and adds a
// note behind it unless the note is empty.
func (e *Edits) CommentOut(d *Directive, note string) {
	if strings.ContainsAny(note, "\r\n") {
		e.fail(fmt.Errorf("comment out %s at %s: the note %q has more than one line", d.Name(), d.Place(), note))
		return
	}
	f := d.File
	e.begin(f, d.Span)
	e.insert(f, d.Start, head, "# ")
	for i := d.Start; i < d.End; i++ {
		if f.Src[i] == '\n' {
			e.insert(f, i+1, head, "# ")
		}
	}
	if note != "" {
		note = " # " + note
	}
	if d.hasCompany() {
		note += f.newline() + f.indentOf(d)
	}
	e.insert(f, d.End, tail, note)
}

// Replace puts text in the place of a directive and its block.
func (e *Edits) Replace(d *Directive, text string) {
	t, err := d.File.layOut(text, d.File.indentOf(d))
	if err != nil {
		e.fail(err)
		return
	}
	if t.comment && d.hasCompany() {
		t.text += d.File.newline() + d.File.indentOf(d)
	}
	e.begin(d.File, d.Span)
	e.put(d.File, d.Start, d.End, t.text)
}

// ReplaceWord changes one word of a directive, 0 being the name, into one that nginx
// reads as value.
func (e *Edits) ReplaceWord(d *Directive, i int, value string) {
	w, text := d.Words[i], Quote(value)
	if !endsWord(d.File.Src[w.End]) {
		text += " " // a quoted word may be followed by ) at once
	}
	e.begin(d.File, w.Span)
	e.put(d.File, w.Start, w.End, text)
}

// RemoveWord takes an argument out, i counting from 1, with the space before it.
func (e *Edits) RemoveWord(d *Directive, i int) {
	w, start := d.Words[i], d.Words[i].Start
	between := d.File.Src[d.Words[i-1].End:start]
	// A comment there needs its line end, and a ) that follows needs the space.
	if strings.Trim(between, " \t\r\n") == "" && endsWord(d.File.Src[w.End]) {
		start -= len(between)
	}
	e.begin(d.File, w.Span)
	e.put(d.File, start, w.End, "")
}

// AddWord puts an argument behind the last one.
func (e *Edits) AddWord(d *Directive, value string) {
	e.ops++
	end := d.Words[len(d.Words)-1].End
	text := " " + Quote(value)
	e.insert(d.File, end, tail, text)
}

// hasCompany says whether something else than a comment follows on the last line of a
// directive.
func (d *Directive) hasCompany() bool {
	rest := d.File.Src[d.End:lineAround(d.File.Src, d.Span).End]
	return !isBlank(rest) && trailing(d) == nil
}

// With returns the file with the edits done that are meant for it.
func (f *File) With(e *Edits) (*File, error) {
	if e.err != nil {
		return nil, e.err
	}
	src, err := f.apply(e.files[f], Span{0, len(f.Src)})
	if err != nil {
		return nil, err
	}
	next, err := Parse(f.Path, src)
	if err != nil {
		return nil, fmt.Errorf("after the edits: %w", err)
	}
	next.Real = f.Real
	return next, nil
}

var errOverlap = errors.New("two edits want to change the same bytes")

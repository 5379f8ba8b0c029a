package conf

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Edits collects changes to files; nothing happens before File.With or Set.With. Every
// change is meant for the tree as it was read, so that their order does not matter, but
// for what is inserted at the same place: that comes out in the order of the calls. Two
// changes of the same bytes, or one inside of what another removes, are an error. The
// first error is kept and returned by With. The zero value is ready to use.
//
// Text to insert is whole lines, without the last line end, indented as they shall be
// (File.Indent). They get the line ends of the file.
type Edits struct {
	files map[*File][]edit
	added map[string]string
	links map[string]string
	err   error
}

// edit replaces the bytes of a span.
type edit struct {
	Span
	text string
	side side
}

// side orders what is inserted at the same byte.
type side int

const (
	top    side = iota // first in a block
	behind             // behind a directive
	front              // in front of one
	bottom             // last in a block
	inside             // takes the place of bytes
)

func (e *Edits) put(f *File, s Span, side side, text string) {
	if e.files == nil {
		e.files = map[*File][]edit{}
	}
	e.files[f] = append(e.files[f], edit{s, text, side})
}

func (e *Edits) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// Remove takes the lines of a directive out.
func (e *Edits) Remove(d *Directive) { e.put(d.File, d.lines, inside, "") }

// Replace puts lines in the place of those of a directive and its block.
func (e *Edits) Replace(d *Directive, text string) {
	if t, ok := e.layOut(d.File, text); ok {
		e.put(d.File, d.lines, inside, d.File.ended(d.lines.Start, t, d.lines.End))
	}
}

// CommentOut turns the lines of a directive into comments, as certbot does it: "# "
// comes before the indentation.
func (e *Edits) CommentOut(d *Directive) {
	lines := strings.SplitAfter(d.File.Text(d.lines), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	e.put(d.File, d.lines, inside, "# "+strings.Join(lines, "# "))
}

// ReplaceWord changes one word of a directive, 0 being the name, into one that httpd
// reads as value.
func (e *Edits) ReplaceWord(d *Directive, i int, value string) {
	if strings.ContainsAny(value, "\n\x00") {
		e.fail(d.errorf("the word %q cannot be written into a configuration", value))
		return
	}
	w, text := d.Words[i], Quote(value)
	if w.End < d.End && !isSpace(d.File.Src[w.End]) && d.File.Src[w.End] != '>' {
		text += " " // a quoted word may be followed by another at once
	}
	e.put(d.File, w.Span, inside, text)
}

// InsertFirst puts lines at the beginning of a block, or of a file.
func (e *Edits) InsertFirst(b *Block, text string) {
	if t, ok := e.layOutIn(b, text); ok {
		e.insert(b.File, b.Open, top, t)
	}
}

// InsertLast puts lines at the end of a block, or of a file.
func (e *Edits) InsertLast(b *Block, text string) {
	if t, ok := e.layOutIn(b, text); ok {
		e.insert(b.File, b.end, bottom, t)
	}
}

// InsertBefore puts lines in front of a directive.
func (e *Edits) InsertBefore(d *Directive, text string) {
	if t, ok := e.layOut(d.File, text); ok {
		e.insert(d.File, d.lines.Start, front, t)
	}
}

// InsertAfter puts lines behind a directive.
func (e *Edits) InsertAfter(d *Directive, text string) {
	if t, ok := e.layOut(d.File, text); ok {
		e.insert(d.File, d.lines.End, behind, t)
	}
}

func (e *Edits) insert(f *File, at int, side side, text string) {
	if at == len(f.Src) && f.endsInBackslash() {
		e.fail(f.errorf(at, "the file ends with a backslash, which would join what comes behind it; end the line"))
		return
	}
	e.put(f, Span{at, at}, side, f.ended(at, text, at))
}

// endsInBackslash reports whether a line end that is added joins the last line to what
// comes behind it; httpd takes a CR for a part of that line end.
func (f *File) endsInBackslash() bool { return strings.HasSuffix(strings.TrimSuffix(f.Src, "\r"), `\`) }

// ended returns lines that are ready for a place: before them the line end that the
// last line of the file may lack, or that ends the line that a backslash joins to it.
func (f *File) ended(from int, text string, to int) string {
	newline := f.newline()
	before := f.Src[:from]
	if to == len(f.Src) && from > 0 && !strings.HasSuffix(before, "\n") {
		return newline + text
	}
	if to == len(f.Src) && (strings.HasSuffix(before, "\\\n") || strings.HasSuffix(before, "\\\r\n")) {
		text = newline + text // the file ends within a joined line
	}
	return text + newline
}

// layOut gives text the line ends of the file.
func (e *Edits) layOut(f *File, text string) (string, bool) {
	if _, err := Parse("the text to insert", text); err != nil {
		e.fail(fmt.Errorf("edit %s: %w", f.Path, err))
		return "", false
	}
	if _, joined := cutBackslash(text); joined || text == "" {
		e.fail(fmt.Errorf("edit %s: %q is no whole line", f.Path, text))
		return "", false
	}
	return strings.ReplaceAll(text, "\n", f.newline()), true
}

func (e *Edits) layOutIn(b *Block, text string) (string, bool) {
	if b.Opaque {
		e.fail(b.Owner.errorf("nothing can be inserted into <%s>", b.Owner.Name()))
		return "", false
	}
	return e.layOut(b.File, text)
}

// NewFile is a file that does not exist yet. The folder has to exist.
func (e *Edits) NewFile(path, src string) {
	if !filepath.IsAbs(path) {
		e.fail(fmt.Errorf("add the file %s: the name has to be absolute", path))
		return
	}
	if _, err := Parse(path, src); err != nil {
		e.fail(err)
		return
	}
	if e.added == nil {
		e.added = map[string]string{}
	}
	e.added[path] = src
}

// NewLink is a symbolic link to a file that does not exist yet.
func (e *Edits) NewLink(path, target string) {
	if !filepath.IsAbs(path) || !filepath.IsAbs(target) {
		e.fail(fmt.Errorf("add the link %s to %s: the names have to be absolute", path, target))
		return
	}
	if e.links == nil {
		e.links = map[string]string{}
	}
	e.links[path] = target
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

// apply returns the bytes of a span with the edits done.
func (f *File) apply(edits []edit, within Span) (string, error) {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.side, b.side))
	})
	var b strings.Builder
	pos := within.Start
	for _, e := range edits {
		if e.Start < pos || e.End > within.End {
			return "", f.errorf(e.Start, "%w", errOverlap)
		}
		b.WriteString(f.Src[pos:e.Start])
		b.WriteString(e.text)
		pos = e.End
	}
	b.WriteString(f.Src[pos:within.End])
	return b.String(), nil
}

// Copy returns the bytes of a section from its < up to the line of </Section>, with the
// edits done, which are those of its own file.
func (d *Directive) Copy(e *Edits) (string, error) {
	if e.err != nil {
		return "", e.err
	}
	for f := range e.files {
		if f != d.File {
			return "", d.errorf("a copy cannot change %s", f.Path)
		}
	}
	return d.File.apply(e.files[d.File], Span{d.Start, d.Block.end})
}

// findNewline is the line end of most of the lines.
func (f *File) findNewline() string {
	if 2*strings.Count(f.Src, "\r\n") > strings.Count(f.Src, "\n") {
		return "\r\n"
	}
	return "\n"
}

// Indent returns the space that the directives of a block begin with: that of the first
// of them, else that of the section and four spaces more.
func (f *File) Indent(b *Block) string {
	for d := range b.Directives() {
		return f.indentAt(d.Start)
	}
	if b.Owner == nil {
		return ""
	}
	return f.indentAt(b.Owner.Start) + "    "
}

func (f *File) indentAt(at int) string {
	return f.Src[strings.LastIndexByte(f.Src[:at], '\n')+1 : at]
}

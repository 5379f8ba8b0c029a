package conf

import (
	"fmt"
	"path/filepath"
	"strings"
)

// InsertFirst puts text at the beginning of a block, or of a file.
func (e *Edits) InsertFirst(b *Block, text string) {
	f := b.File
	t, ok := e.layOutIn(b, text)
	if !ok {
		return
	}
	at := b.Open + 1
	line := lineAround(f.Src, Span{at, at})
	rest := strings.Trim(f.Src[at:line.End], " \t\r")
	switch {
	case b.Owner == nil:
		e.insert(f, 0, top, t.text+f.newline())
	case rest == "" || rest[0] == '#':
		at = pastNewline(f.Src, line.End)
		e.insert(f, at, top, t.indented()+f.newline())
	case t.inline() && b.onOneLine():
		e.insert(f, at, top, " "+t.text)
	case rest[0] == '}' && isBlank(f.Src[at:b.Close]):
		e.insert(f, at, top, f.newline()+t.indented()+f.newline()+f.indentOf(b.Owner))
	default:
		e.insert(f, at, top, f.newline()+t.indented()+f.newline()+t.indent)
	}
}

// InsertLast puts text at the end of a block, or of a file.
func (e *Edits) InsertLast(b *Block, text string) {
	if t, ok := e.layOutIn(b, text); ok {
		e.last(b, t)
	}
}

func (e *Edits) last(b *Block, t layout) {
	f := b.File
	before, blank := f.startsLine(b.Close)
	switch {
	case b.Owner == nil && (f.Src == "" || strings.HasSuffix(f.Src, "\n")):
		e.insert(f, b.Close, bottom, t.indented()+f.newline())
	case b.Owner == nil:
		e.insert(f, b.Close, bottom, f.newline()+t.indented())
	case blank:
		at := b.Close - len(before)
		e.insert(f, at, bottom, t.indented()+f.newline())
	case t.inline() && b.onOneLine() && isSpace(f.Src[b.Close-1]):
		e.insert(f, b.Close, bottom, t.text+" ")
	case t.inline() && b.onOneLine():
		e.insert(f, b.Close, bottom, " "+t.text)
	default:
		e.insert(f, b.Close, bottom, f.newline()+t.indented()+f.newline()+f.indentOf(b.Owner))
	}
}

// InsertBefore puts text in front of a directive.
func (e *Edits) InsertBefore(d *Directive, text string) {
	f := d.File
	t, ok := e.layOut(f, text, f.indentOf(d))
	if !ok {
		return
	}
	indent, blank := f.startsLine(d.Start)
	switch {
	case blank:
		at := d.Start - len(indent)
		e.insert(f, at, front, t.indented()+f.newline())
	case t.inline():
		e.insert(f, d.Start, front, t.text+" ")
	default:
		e.insert(f, d.Start, front, f.newline()+t.indented()+f.newline()+t.indent)
	}
}

// InsertAfter puts text behind a directive, and behind a comment that follows it on the
// same line.
func (e *Edits) InsertAfter(d *Directive, text string) {
	if t, ok := e.layOut(d.File, text, d.File.indentOf(d)); ok {
		e.after(d, t)
	}
}

func (e *Edits) after(d *Directive, t layout) {
	f, line := d.File, lineAround(d.File.Src, d.Span)
	switch {
	case d.hasCompany() && t.inline():
		e.insert(f, d.End, behind, " "+t.text)
	case d.hasCompany():
		e.insert(f, d.End, behind, f.newline()+t.indented()+f.newline()+t.indent)
	case line.End == len(f.Src):
		e.insert(f, line.End, behind, f.newline()+t.indented())
	default:
		at := line.End + 1
		e.insert(f, at, behind, t.indented()+f.newline())
	}
}

// Duplicate puts a copy of a directive behind it, byte for byte but for the edits that
// change makes. Those are given for the directives of the original, which stays as it is.
func (e *Edits) Duplicate(d *Directive, change func(copy *Edits)) {
	if t, ok := e.copyOf(d, change); ok {
		e.after(d, t)
	}
}

// DuplicateLast is Duplicate with the copy at the end of the block that d stands in.
func (e *Edits) DuplicateLast(d *Directive, change func(copy *Edits)) {
	if t, ok := e.copyOf(d, change); ok {
		e.last(d.Parent, t)
	}
}

func (e *Edits) copyOf(d *Directive, change func(copy *Edits)) (t layout, ok bool) {
	e.ops++
	inner := &Edits{}
	change(inner)
	if inner.err != nil {
		e.fail(inner.err)
		return t, false
	}
	for f := range inner.files {
		if f != d.File {
			e.fail(fmt.Errorf("copy %s at %s: the copy cannot change %s", d.Name(), d.Place(), f.Path))
			return t, false
		}
	}
	text, err := d.File.apply(inner.files[d.File], d.Span)
	if err != nil {
		e.fail(err)
		return t, false
	}
	return layout{text: text, indent: d.File.indentOf(d), lines: true}, true
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

func (e *Edits) layOut(f *File, text, indent string) (layout, bool) {
	e.ops++
	t, err := f.layOut(text, indent)
	if err != nil {
		e.fail(err)
	}
	return t, err == nil
}

func (e *Edits) layOutIn(b *Block, text string) (layout, bool) {
	if b.Lua {
		e.fail(b.Owner.errorf("nothing can be inserted into a block of Lua"))
		return layout{}, false
	}
	return e.layOut(b.File, text, b.File.indentIn(b))
}

// onOneLine says whether a block begins and ends on the same line.
func (b *Block) onOneLine() bool {
	return b.Owner != nil && !strings.Contains(b.File.Src[b.Open:b.Close], "\n")
}

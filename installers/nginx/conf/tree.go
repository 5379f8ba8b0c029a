package conf

import (
	"fmt"
	"iter"
	"strings"
)

// Span is a range of bytes in a file: Start is the first, End the one after the last.
type Span struct{ Start, End int }

// Bounds returns the span itself; every Item has it.
func (s Span) Bounds() Span { return s }

// File is one parsed file. It is immutable: Edits make another one of it. Safe for
// concurrent use.
type File struct {
	// Path is the name by which nginx opens the file, Real the one without symbolic
	// links, where its bytes are; empty for a file that was parsed alone.
	Path, Real string
	// Src is every byte of the file.
	Src string
	// Root holds what stands outside of all blocks.
	Root *Block

	words int
	style func() style
}

// An Item stands in a block: a *Directive or a *Comment.
type Item interface{ Bounds() Span }

// Block is what stands between { and }, or a whole file.
type Block struct {
	File *File
	// Owner is the directive that the block belongs to, nil for a whole file.
	Owner *Directive
	// Open and Close are where { and } are; -1 and the length of the file for a whole
	// file.
	Open, Close int
	// Items are in the order of the file. A block of Lua has none.
	Items []Item
	// Lua says that the block is Lua source, which is not looked into.
	Lua bool
}

// Directive is a name, its arguments, and a block or a ; at the end.
type Directive struct {
	// Span reaches from the first byte of the name to the ; or } inclusive.
	Span
	File *File
	// Parent is the block that the directive stands in.
	Parent *Block
	// Words are the name and the arguments; there is at least the name.
	Words []Word
	// Block is nil for a directive that ends with a ;.
	Block *Block
	// Comments are those between the words and before the { or ;.
	Comments []*Comment
}

// Word is a name or an argument. Its span includes the quotes.
type Word struct {
	Span
	// Value is what nginx makes of it: without quotes, escapes decoded.
	Value string
}

// Comment reaches from # to the end of the line, exclusive.
type Comment struct{ Span }

// Name returns the name of the directive as nginx reads it.
func (d *Directive) Name() string { return d.Words[0].Value }

// Args returns the words after the name.
func (d *Directive) Args() []Word { return d.Words[1:] }

// Values returns the decoded arguments.
func (d *Directive) Values() []string {
	out := make([]string, 0, len(d.Words)-1)
	for _, w := range d.Args() {
		out = append(out, w.Value)
	}
	return out
}

// Text returns the bytes of the directive, its block included.
func (d *Directive) Text() string { return d.File.Text(d.Span) }

// Place returns "file:line:col" of the name.
func (d *Directive) Place() string { return d.File.Place(d.Start) }

// Text returns the bytes of a span.
func (f *File) Text(s Span) string { return f.Src[s.Start:s.End] }

// Place returns "file:line:col" of a byte. Lines and columns count from 1, columns in
// bytes.
func (f *File) Place(at int) string { return f.Path + ":" + lineCol(f.Src, at) }

func lineCol(src string, at int) string {
	line, col := position(src, at)
	return fmt.Sprintf("%d:%d", line, col)
}

func position(src string, at int) (line, col int) {
	before := src[:min(at, len(src))]
	return strings.Count(before, "\n") + 1, len(before) - strings.LastIndexByte(before, '\n')
}

// Directives ranges over the directives that stand in the block itself, includes as
// they are written; Set.Directives follows them.
func (b *Block) Directives() iter.Seq[*Directive] {
	return func(yield func(*Directive) bool) {
		for _, item := range b.Items {
			if d, ok := item.(*Directive); ok && !yield(d) {
				return
			}
		}
	}
}

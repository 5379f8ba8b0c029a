package conf

import (
	"fmt"
	"iter"
	"strings"
	"sync"
)

// Span is a range of bytes in a file: Start is the first, End the one after the last.
type Span struct{ Start, End int }

// Bounds returns the span itself; every Item has it.
func (s Span) Bounds() Span { return s }

// File is one parsed file. It is immutable: Edits make another one of it. Safe for
// concurrent use.
type File struct {
	// Path is the name by which httpd opens the file, Real the one without symbolic
	// links, where its bytes are; empty for a file that was parsed alone, and for what
	// a macro makes.
	Path, Real string
	// Src is every byte of the file.
	Src string
	// Root holds what stands outside of all sections.
	Root *Block

	words   int
	lines   func() []int  // where lines begin
	newline func() string // the line end of most of them
}

// An Item stands in a block: a *Directive or a *Comment.
type Item interface{ Bounds() Span }

// Block is what stands between <Section ...> and </Section>, or a whole file.
type Block struct {
	File *File
	// Owner is the directive that the block belongs to, nil for a whole file.
	Owner *Directive
	// Open is where the line after that of <Section ...> begins, Close where
	// </Section> is; 0 and the length of the file for a whole file.
	Open, Close int
	// Items are in the order of the file. An opaque block has none.
	Items []Item
	// Opaque says that the lines are kept for later (<Macro>) or are in another
	// language (<Perl>, Lua), and not looked into.
	Opaque bool

	end int // where the line of </Section> begins, joined lines included
}

// Directive is a line of words, or a section with its block.
type Directive struct {
	// Span reaches from the first byte of the name, or the <, to the last byte of the
	// line that is no space; of a section, of the line of </Section>.
	Span
	File *File
	// Parent is the block that the directive stands in.
	Parent *Block
	// Words are the name, without < of a section, and the arguments.
	Words []Word
	// Block is nil for a directive that is no section.
	Block *Block
	// Line is the one that httpd names in messages: the last of the lines that
	// backslashes join, that of <Section ...> for a section.
	Line int

	lines Span // all of the lines, with those that backslashes join and the last line end
}

// Word is a name or an argument. Its span includes the quotes.
type Word struct {
	Span
	// Value is what httpd makes of it, but for variables, which stay as ${NAME}.
	Value string
}

// Comment is a line that begins with #, with those that backslashes join to it.
type Comment struct{ Span }

// Name returns the name of the directive as it is written. httpd takes it in any case.
func (d *Directive) Name() string { return d.Words[0].Value }

// Is reports whether the directive has a name.
func (d *Directive) Is(name string) bool { return strings.EqualFold(d.Name(), name) }

// Args returns the words after the name.
func (d *Directive) Args() []Word { return d.Words[1:] }

// Text returns the bytes of the directive, its block included.
func (d *Directive) Text() string { return d.File.Text(d.Span) }

// Place returns "file:line:col" of the name.
func (d *Directive) Place() string { return d.File.Place(d.Start) }

// Text returns the bytes of a span.
func (f *File) Text(s Span) string { return f.Src[s.Start:s.End] }

// Place returns "file:line:col" of a byte. Lines and columns count from 1, columns in
// bytes.
func (f *File) Place(at int) string {
	line, col := f.position(at)
	return fmt.Sprintf("%s:%d:%d", f.Path, line, col)
}

func (f *File) position(at int) (line, col int) {
	starts := f.lines()
	lo, hi := 0, len(starts) // the last start that is not after at
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; starts[mid] <= at {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo + 1, at - starts[lo] + 1
}

func lineStarts(src string) func() []int {
	return sync.OnceValue(func() []int {
		starts := []int{0}
		for i := 0; i < len(src); i++ {
			if src[i] == '\n' {
				starts = append(starts, i+1)
			}
		}
		return starts
	})
}

// Directives ranges over the directives that stand in the block itself, conditions and
// includes as they are written; Set.Root has what becomes of them.
func (b *Block) Directives() iter.Seq[*Directive] {
	return func(yield func(*Directive) bool) {
		for _, item := range b.Items {
			if d, ok := item.(*Directive); ok && !yield(d) {
				return
			}
		}
	}
}

package conf

import (
	"fmt"
	"strings"
)

// lineAround returns the lines that a span touches, without the last line end.
func lineAround(src string, s Span) Span {
	start := strings.LastIndexByte(src[:s.Start], '\n') + 1
	end := strings.IndexByte(src[s.End:], '\n')
	if end < 0 {
		return Span{start, len(src)}
	}
	return Span{start, s.End + end}
}

func pastNewline(src string, at int) int { return min(at+1, len(src)) }

func isBlank(s string) bool { return strings.Trim(s, " \t\r") == "" }

// endsWord says whether a bare word ends before a byte.
func endsWord(c byte) bool { return isSpace(c) || c == ';' || c == '{' }

// style is how a file is written: its line ends, those of most of its lines, and by what
// it indents a block, four spaces where it does not show.
type style struct{ newline, unit string }

func (f *File) findStyle() style {
	s := style{"\n", f.unit()}
	if 2*strings.Count(f.Src, "\r\n") > strings.Count(f.Src, "\n") {
		s.newline = "\r\n"
	}
	return s
}

func (f *File) newline() string { return f.style().newline }

// startsLine says whether only space is before a byte on its line, and returns it.
func (f *File) startsLine(at int) (indent string, ok bool) {
	indent = f.Src[strings.LastIndexByte(f.Src[:at], '\n')+1 : at]
	return indent, strings.Trim(indent, " \t") == ""
}

// indentOf returns the indentation of the lines among which a directive stands.
func (f *File) indentOf(d *Directive) string {
	if indent, ok := f.startsLine(d.Start); ok {
		return indent
	}
	return f.indentIn(d.Parent)
}

// indentIn returns the indentation of what stands in a block.
func (f *File) indentIn(b *Block) string {
	for d := range b.Directives() {
		if indent, ok := f.startsLine(d.Start); ok {
			return indent
		}
	}
	if b.Owner == nil {
		return ""
	}
	return f.indentOf(b.Owner) + f.style().unit
}

func (f *File) unit() string {
	seen := map[string]int{}
	best := "    "
	var count func(b *Block)
	count = func(b *Block) {
		for d := range b.Directives() {
			if d.Block == nil {
				continue
			}
			outer, ok := f.startsLine(d.Start)
			for inner := range d.Block.Directives() {
				indent, starts := f.startsLine(inner.Start)
				if step, deeper := strings.CutPrefix(indent, outer); ok && starts && deeper && step != "" {
					if seen[step]++; seen[step] > seen[best] {
						best = step
					}
				}
				break
			}
			count(d.Block)
		}
	}
	count(f.Root)
	return best
}

// trailing returns the comment that follows a directive on its last line.
func trailing(d *Directive) *Comment {
	items := d.Parent.Items
	for i, item := range items {
		if item != Item(d) || i+1 == len(items) {
			continue
		}
		if c, ok := items[i+1].(*Comment); ok && isBlank(d.File.Src[d.End:c.Start]) {
			return c
		}
	}
	return nil
}

// Trailing returns the comment that follows the directive on its last line, nil if none
// does.
func (d *Directive) Trailing() *Comment { return trailing(d) }

// layout is text that is ready for a place in a file.
type layout struct {
	text    string // its lines after the first are indented
	indent  string
	lines   bool // there are several
	comment bool // it ends with one
}

func (t layout) indented() string { return t.indent + t.text }

// inline says whether the text may stand on a line with other things behind it.
func (t layout) inline() bool { return !t.lines && !t.comment }

// layOut prepares text, as Edits describes it, for lines that are indented by indent.
func (f *File) layOut(text, indent string) (layout, error) {
	text = strings.TrimSuffix(text, "\n")
	t, err := Parse("the text to insert", text)
	if err != nil {
		return layout{}, fmt.Errorf("edit %s: %w", f.Path, err)
	}
	if len(t.Root.Items) == 0 {
		return layout{}, fmt.Errorf("edit %s: there is no directive in %q", f.Path, text)
	}
	_, comment := t.Root.Items[len(t.Root.Items)-1].(*Comment)
	fixed := map[int]bool{}
	t.Root.markFixed(fixed)
	var b strings.Builder
	newline, unit := f.style().newline, f.style().unit
	pos := 0
	for i, line := range strings.Split(text, "\n") {
		switch {
		case i == 0:
		case fixed[pos]:
			b.WriteByte('\n')
		default:
			b.WriteString(newline)
			rest := strings.TrimLeft(line, " ")
			depth := len(line) - len(rest)
			pos += depth
			if line = rest; rest != "" {
				b.WriteString(indent + strings.Repeat(unit, depth/4) + strings.Repeat(" ", depth%4))
			}
		}
		b.WriteString(line)
		pos += len(line) + 1
	}
	return layout{b.String(), indent, strings.Contains(text, "\n"), comment}, nil
}

// markFixed notes the line starts that are inside of words or of Lua: a space there
// would change what nginx reads.
func (b *Block) markFixed(fixed map[int]bool) {
	mark := func(s Span) {
		for i := s.Start; i < s.End; i++ {
			if b.File.Src[i] == '\n' {
				fixed[i+1] = true
			}
		}
	}
	for d := range b.Directives() {
		for _, w := range d.Words {
			mark(w.Span)
		}
		switch {
		case d.Block == nil:
		case d.Block.Lua:
			mark(Span{d.Block.Open, d.Block.Close})
		default:
			d.Block.markFixed(fixed)
		}
	}
}

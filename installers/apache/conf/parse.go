package conf

import (
	"fmt"
	"strings"
	"sync"
)

// Bounds of one file. Configurations of people are far below.
const (
	maxFileBytes = 16 << 20
	maxWords     = 2 << 20
	maxNesting   = 200
)

// Error is what is wrong at a place of a file. Line and Col count from 1, Col in bytes.
type Error struct {
	File      string
	Line, Col int
	Err       error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Col, e.Err)
}

// Unwrap returns what is wrong, without the place.
func (e *Error) Unwrap() error { return e.Err }

func (f *File) errorf(at int, format string, args ...any) error {
	line, col := f.position(at)
	return &Error{f.Path, line, col, fmt.Errorf(format, args...)}
}

func (d *Directive) errorf(format string, args ...any) error {
	return d.File.errorf(d.Start, format, args...)
}

// Parse reads one file. path is for messages. The error is an *Error, and then there
// is no tree: a file that is understood in part could hide a virtual host.
func Parse(path, src string) (*File, error) {
	f := &File{Path: path, Src: src, lines: lineStarts(src)}
	f.newline = sync.OnceValue(f.findNewline)
	f.Root = &Block{File: f, Close: len(src), end: len(src)}
	if len(src) > maxFileBytes {
		return nil, f.errorf(0, "the file has %d bytes, more than the %d that are read", len(src), maxFileBytes)
	}
	// httpd ends a line at a zero byte, and would not see what follows.
	if i := strings.IndexByte(src, 0); i >= 0 {
		return nil, f.errorf(i, "the file has a zero byte")
	}
	p := parser{file: f, block: f.Root}
	for number := 0; p.pos < len(src); {
		l := readLine(src, p.pos, number)
		p.pos, number = l.next, l.number
		if err := p.line(&l); err != nil {
			return nil, err
		}
	}
	if o := p.block.Owner; o != nil {
		return nil, f.errorf(len(src), "unexpected end of file: <%s> that begins at line %d is not closed", o.Name(), o.Line)
	}
	return f, nil
}

type parser struct {
	file  *File
	block *Block // the innermost one
	pos   int
	depth int
	macro int // of <Macro> in an opaque block
}

func (p *parser) line(l *line) error {
	first, ok := nextWord(l.text, 0)
	switch {
	case !ok:
		return nil
	case p.block.Opaque:
		return p.opaque(l, first)
	case l.text[0] == '#':
		p.block.Items = append(p.block.Items, &Comment{l.span(0, len(l.text))})
		return nil
	case strings.HasPrefix(first.value, "</"):
		return p.close(l, first)
	case strings.HasPrefix(first.value, "<"):
		return p.open(l, first)
	}
	_, err := p.add(l, l.text, 0)
	return err
}

// add makes a directive of the words from a byte of the text on, which may be less
// than the line.
func (p *parser) add(l *line, text string, from int) (*Directive, error) {
	d := &Directive{Span: l.span(0, len(l.text)), File: p.file, Parent: p.block, Line: l.number, lines: Span{l.begin, l.next}}
	for {
		w, ok := nextWord(text, from)
		if !ok {
			break
		}
		if p.file.words++; p.file.words > maxWords {
			return nil, p.file.errorf(l.at(w.start), "the file has more than %d words", maxWords)
		}
		if w.unclosed && len(d.Words) > 0 && !rawArguments(d.Words[0].Value) {
			return nil, p.file.errorf(l.at(w.start), "the quoted word has no closing %c", text[w.start])
		}
		d.Words = append(d.Words, Word{l.span(w.start, w.end), w.value})
		from = w.end
	}
	p.block.Items = append(p.block.Items, d)
	return d, nil
}

// rawArguments says which directives take their line as it is: a quote that is not
// closed is none there, or ends with the line. Elsewhere httpd takes it as well, but it
// is a mistake that swallows what follows.
func rawArguments(name string) bool {
	switch strings.ToLower(name) {
	case "errordocument", "if", "elseif", "setenvif", "setenvifnocase", "browsermatch", "browsermatchnocase", "setenvifexpr", "require", "sslrequire", "define", "use":
		return true
	}
	return false
}

// open begins a section. What is behind the last > of the line is nothing to httpd.
func (p *parser) open(l *line, first word) error {
	if p.depth++; p.depth > maxNesting {
		return p.file.errorf(l.start, "sections are nested more than %d deep", maxNesting)
	}
	end := strings.LastIndexByte(l.text, '>')
	if end < 0 {
		return p.file.errorf(l.start, "%s has no closing >", first.value)
	}
	if l.text[0] != '<' || first.value == "<" || first.value == "<>" {
		return p.file.errorf(l.start, "the section has no name behind <")
	}
	d, err := p.add(l, l.text[:end], 1)
	if err != nil {
		return err
	}
	if len(d.Words) == 0 {
		return p.file.errorf(l.start, "the section has no name behind <")
	}
	d.Block = &Block{File: p.file, Owner: d, Open: l.next, Opaque: isOpaque(d.Name())}
	p.block, p.macro = d.Block, 0
	return nil
}

// isOpaque says which sections httpd's modules read line by line up to the end.
func isOpaque(name string) bool {
	name = strings.ToLower(name)
	return name == "macro" || name == "perl" || strings.HasPrefix(name, "luahook") || name == "luaquickhandler"
}

func (p *parser) opaque(l *line, first word) error {
	name := p.block.Owner.Name()
	switch word := strings.TrimSuffix(first.value, ">"); {
	case strings.HasPrefix(l.text, "#"):
	case strings.EqualFold(word, "</"+name) && p.macro == 0:
		return p.close(l, first)
	case strings.EqualFold(word, "</"+name):
		p.macro--
	case strings.EqualFold(word, "<"+name) && strings.EqualFold(name, "macro"):
		p.macro++
	}
	return nil
}

func (p *parser) close(l *line, first word) error {
	name, closed := strings.CutSuffix(first.value[2:], ">")
	o := p.block.Owner
	switch {
	case !closed:
		return p.file.errorf(l.start, "%s has no closing >", first.value)
	case o == nil:
		return p.file.errorf(l.start, "unexpected </%s>: no section is open", name)
	case !strings.EqualFold(name, o.Name()):
		return p.file.errorf(l.start, "expected </%s> for the section of line %d, found </%s>", o.Name(), o.Line, name)
	}
	p.block.Close, p.block.end = l.start, l.begin
	o.End, o.lines.End = l.span(0, len(l.text)).End, l.next
	p.block = o.Parent
	p.depth--
	return nil
}

package conf

import (
	"errors"
	"fmt"
	"sync"
)

// Bounds of one file. nginx has none of them; configurations of people are far below.
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
	line, col := position(f.Src, at)
	return &Error{f.Path, line, col, fmt.Errorf(format, args...)}
}

// Parse reads one file. path is for messages. The error is an *Error, and then there
// is no tree: a file that is understood in part could hide a server block.
func Parse(path, src string) (*File, error) {
	f := &File{Path: path, Src: src}
	f.style = sync.OnceValue(f.findStyle)
	f.Root = &Block{File: f, Open: -1, Close: len(src)}
	if len(src) > maxFileBytes {
		return nil, f.errorf(0, "the file has %d bytes, more than the %d that are read", len(src), maxFileBytes)
	}
	p := parser{file: f, lex: lexer{src: src}, block: f.Root}
	if err := p.run(); err != nil {
		var s *syntaxError
		if errors.As(err, &s) {
			return nil, f.errorf(s.at, "%s", s.msg)
		}
		return nil, err
	}
	f.words = p.lex.total
	return f, nil
}

type parser struct {
	file  *File
	lex   lexer
	block *Block // the innermost one
	depth int
}

func (p *parser) run() error {
	for {
		end, err := p.lex.next()
		if err != nil {
			return err
		}
		for _, c := range p.lex.leading {
			p.block.Items = append(p.block.Items, c)
		}
		switch end {
		case endFile:
			if o := p.block.Owner; o != nil {
				return failf(len(p.lex.src), "unexpected end of file: the block %q that begins at %s has no closing }", o.Name(), lineCol(p.lex.src, p.block.Open))
			}
			return nil
		case endBlock:
			err = p.close()
		case endDirective:
			p.add()
		case beginBlock:
			err = p.open()
		}
		if err != nil {
			return err
		}
	}
}

func (p *parser) add() *Directive {
	d := &Directive{
		Span: Span{p.lex.words[0].Start, p.lex.pos}, File: p.file, Parent: p.block,
		Words: p.lex.words, Comments: p.lex.inner,
	}
	p.block.Items = append(p.block.Items, d)
	return d
}

func (p *parser) open() error {
	if p.depth++; p.depth > maxNesting {
		return failf(p.lex.pos-1, "blocks are nested more than %d deep", maxNesting)
	}
	if o := p.block.Owner; o != nil && plainContext.inside(o.Name()) != plainContext {
		return failf(p.lex.pos-1, "unexpected '{': there are no blocks in %s", o.Name())
	}
	d := p.add()
	d.Block = &Block{File: p.file, Owner: d, Open: p.lex.pos - 1, Lua: isLua(d.Name())}
	p.block = d.Block
	if !d.Block.Lua {
		return nil
	}
	end, err := luaEnd(p.lex.src, p.lex.pos)
	if err != nil {
		return err
	}
	p.lex.pos = end + 1
	return p.close()
}

func (p *parser) close() error {
	b := p.block
	if b.Owner == nil {
		return failf(p.lex.pos-1, "unexpected '}': no block is open")
	}
	b.Close = p.lex.pos - 1
	b.Owner.End = p.lex.pos
	p.block = b.Owner.Parent
	p.depth--
	return nil
}

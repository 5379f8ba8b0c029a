package hitch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxConf bounds a configuration, in bytes.
const maxConf = 4 << 20

// span is a range of bytes of the source.
type span struct{ from, to int }

// entry is an assignment: key = value, or key = { entries }.
type entry struct {
	key   string
	value string // the first of several
	at    span   // all of it
	val   span   // of the value, with its quotes
	block []entry
	isMap bool
	line  int
}

type token struct {
	kind byte // 'w' a word, 's' a quoted string, '{', '}', '=', 0 at the end; '#' or '"' without an end
	text string
	at   span
}

// scan takes the next token from position i on, as hitch's cfg_lex.l does: what is none is
// passed over.
func scan(src []byte, i int) token {
	for i < len(src) {
		c := src[i]
		switch {
		case c == '#':
			n := slices.Index(src[i:], '\n')
			if n < 0 {
				return token{'#', "#", span{i, len(src)}}
			}
			i += n
			continue
		case c == '{' || c == '}' || c == '=':
			return token{c, string(c), span{i, i + 1}}
		case c == '"':
			end := quoted(src, i)
			if end == 0 {
				return token{'"', `"`, span{i, len(src)}}
			}
			text, _, _ := strings.Cut(string(src[i+1:end]), `"`) // it ends at the first one, whatever is before that
			return token{'s', text, span{i, end}}
		case isWord(c):
			end := i
			for end < len(src) && (isWord(src[end]) || src[end] == '.') {
				end++
			}
			return token{'w', string(src[i:end]), span{i, end}}
		}
		i++
	}
	return token{at: span{len(src), len(src)}}
}

// quoted is the end of a string that begins at i, 0 where it has none.
func quoted(src []byte, i int) int {
	for i++; i < len(src); i++ {
		switch src[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-'
}

type parser struct {
	src  []byte
	next token
	line int // of the byte lineAt
	at   int
}

func (p *parser) advance() token {
	t := p.next
	p.next = scan(p.src, t.at.to)
	return t
}

// lineOf wants positions that grow.
func (p *parser) lineOf(pos int) int {
	for ; p.at < pos; p.at++ {
		if p.src[p.at] == '\n' {
			p.line++
		}
	}
	return p.line
}

// parse reads a configuration.
func parse(src []byte) ([]entry, error) {
	if len(src) > maxConf {
		return nil, fmt.Errorf("it has more than %d bytes", maxConf)
	}
	p := &parser{src: src, line: 1, next: scan(src, 0)}
	list, err := p.entries(0)
	if err == nil && p.next.kind != 0 {
		err = p.stray("a } too many")
	}
	return list, err
}

// stray is a token where none can be. What hitch makes of the last line is not what it
// looks like, and would be something else with a line behind it.
func (p *parser) stray(otherwise string) error {
	switch p.next.kind {
	case '#':
		otherwise = "the comment in the last line has no end, so that hitch takes it for settings; end the line"
	case '"':
		otherwise = "a string without an end"
	}
	return fmt.Errorf("line %d: %s", p.lineOf(p.next.at.from), otherwise)
}

// maxDepth is that of a pem-file block in a frontend block.
const maxDepth = 2

func (p *parser) entries(depth int) ([]entry, error) {
	var list []entry
	for p.next.kind == 'w' {
		key := p.advance()
		e := entry{key: key.text, at: key.at, line: p.lineOf(key.at.from)}
		if p.next.kind != '=' {
			return nil, fmt.Errorf("line %d: there is no = after %.40s", e.line, e.key)
		}
		p.advance()
		if err := p.value(&e, depth); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	if p.next.kind != 0 && p.next.kind != '}' {
		return nil, p.stray(fmt.Sprintf("%.40q is not expected here", p.next.text))
	}
	return list, nil
}

func (p *parser) value(e *entry, depth int) (err error) {
	bad := func(why string) error { return fmt.Errorf("line %d: %.40s: %s", e.line, e.key, why) }
	switch p.next.kind {
	case '{':
		if depth == maxDepth {
			return bad("a block in a block in a block")
		}
		p.advance()
		e.isMap = true
		if e.block, err = p.entries(depth + 1); err != nil {
			return err
		}
		if p.next.kind != '}' {
			return bad("its block does not end")
		}
		e.at.to = p.advance().at.to
		return nil
	case 'w', 's':
		v := p.advance()
		e.value, e.val, e.at.to = v.text, v.at, v.at.to
		// Protocols are a list of words: the next one is a key where a = follows.
		for e.key == "tls-protos" && p.next.kind == 'w' && scan(p.src, p.next.at.to).kind != '=' {
			e.at.to = p.advance().at.to
		}
		return nil
	}
	return bad("it has no value")
}

// truth is that of a BOOL.
func truth(value string) bool {
	return slices.Contains([]string{"yes", "y", "on", "true", "t"}, strings.ToLower(value))
}

// edit is a change of the source.
type edit struct {
	span
	text string
}

// apply makes edits, which do not overlap.
func apply(src []byte, edits []edit) ([]byte, error) {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b edit) int { return a.from - b.from })
	var out []byte
	done := 0
	for _, e := range edits {
		if e.from < done || e.to < e.from || e.to > len(src) {
			return nil, errors.New("edits of the configuration overlap")
		}
		out = append(append(out, src[done:e.from]...), e.text...)
		done = e.to
	}
	return append(out, src[done:]...), nil
}

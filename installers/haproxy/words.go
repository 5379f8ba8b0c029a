package haproxy

import (
	"errors"
	"strconv"
	"strings"
)

// env looks a variable up.
type env func(name string) (value string, ok bool)

// errWord is for lines that HAProxy would not read either.
var errWord = errors.New("quotes, escapes or variables in it cannot be understood")

// words cuts a line of haproxy.cfg as HAProxy does (configuration manual, 2.2 and 2.3):
// backslashes, both kinds of quotes, comments, and variables within double quotes.
func words(line string, lookup env) ([]string, error) {
	c := &cutter{in: line, lookup: lookup}
	for !c.done() {
		if err := c.step(); err != nil {
			return nil, err
		}
	}
	if c.quote != 0 {
		return nil, errWord
	}
	c.end()
	return c.words, nil
}

// cutter is at one place of a line.
type cutter struct {
	in     string
	at     int
	lookup env
	quote  byte // of the text around: 0, ' or "
	word   strings.Builder
	open   bool // there is a word, perhaps an empty one
	words  []string
}

func (c *cutter) done() bool { return c.at >= len(c.in) }

func (c *cutter) put(b byte) {
	c.word.WriteByte(b)
	c.open = true
}

func (c *cutter) end() {
	if c.open {
		c.words = append(c.words, c.word.String())
	}
	c.word.Reset()
	c.open = false
}

// step takes one character, escape or variable.
func (c *cutter) step() error {
	b := c.in[c.at]
	c.at++
	switch {
	case b == c.quote:
		c.quote = 0
	case c.quote == 0 && (b == '"' || b == '\''):
		c.quote, c.open = b, true
	case b == '\\' && c.quote != '\'':
		return c.escape()
	case b == '$' && c.quote == '"':
		return c.variable()
	case c.quote == 0 && b == '#':
		c.at = len(c.in)
	case c.quote == 0 && (b == ' ' || b == '\t' || b == '\r' || b == '\n'):
		c.end()
	default:
		c.put(b)
	}
	return nil
}

func (c *cutter) escape() error {
	if c.done() {
		return errWord
	}
	b := c.in[c.at]
	c.at++
	switch {
	case b == 'n':
		c.put('\n')
	case b == 'r':
		c.put('\r')
	case b == 't':
		c.put('\t')
	case b == 'x':
		if len(c.in)-c.at < 2 {
			return errWord
		}
		n, err := strconv.ParseUint(c.in[c.at:c.at+2], 16, 8)
		if err != nil {
			return errWord
		}
		c.at += 2
		c.put(byte(n))
	case strings.IndexByte(" \t\\#'\"", b) >= 0, b == '$' && c.quote == '"':
		c.put(b)
	default:
		c.put('\\')
		c.put(b)
	}
	return nil
}

// variable is what comes after a dollar: NAME, {NAME}, {NAME-otherwise}, {NAME[*]}.
func (c *cutter) variable() error {
	braces := !c.done() && c.in[c.at] == '{'
	if braces {
		c.at++
	}
	start := c.at
	if !c.done() && c.in[c.at] == '.' { // one of HAProxy's own
		c.at++
	}
	for !c.done() && wordChar(c.in[c.at]) {
		c.at++
	}
	name := c.in[start:c.at]
	if bare := strings.TrimPrefix(name, "."); bare == "" || bare[0] >= '0' && bare[0] <= '9' {
		return errWord
	}
	value, ok := c.lookup(name)
	if !braces {
		c.text(value)
		return nil
	}
	end := strings.IndexByte(c.in[c.at:], '}')
	if end < 0 {
		return errWord
	}
	rest := c.in[c.at : c.at+end]
	c.at += end + 1
	switch otherwise, has := strings.CutPrefix(rest, "-"); {
	case rest == "":
		c.text(value)
	case rest == "[*]":
		for i, field := range strings.Fields(value) {
			if i > 0 {
				c.end()
			}
			c.text(field)
		}
	case has && ok:
		c.text(value)
	case has:
		c.text(otherwise)
	default:
		return errWord
	}
	return nil
}

func (c *cutter) text(s string) {
	c.word.WriteString(s)
	c.open = true
}

func wordChar(b byte) bool {
	return b == '_' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}

package exim

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// maxConf bounds a configuration, in bytes.
const maxConf = 4 << 20

// statement is a line of the main section as Exim reads it (spec.txt, chapter 6): one that
// ends in a backslash goes on in the next, and comments in between do not count.
type statement struct {
	from, to int    // bytes of the source, with the end of the line
	text     string // without the ends of lines and blanks around them
	line     int
	depth    int  // of .ifdef around it
	comments bool // there are some in between
}

// name is that of an option or a macro that the statement sets, with what is before it.
func (s *statement) name() (hide, name string) {
	text := s.text
	if rest, ok := strings.CutPrefix(text, "hide "); ok {
		hide, text = "hide ", strings.TrimLeft(rest, " \t")
	}
	name, _, ok := strings.Cut(text, "=")
	name = strings.TrimRight(name, " \t")
	if !ok || name == "" || strings.ContainsAny(name, " \t.:{$") {
		return "", ""
	}
	return hide, name
}

// conf is the main section of a configuration, or a file of macros.
type conf struct {
	src   []byte
	list  []statement
	end   int // where the main section ends
	depth int // of .ifdef there
}

func parseConf(src []byte) (*conf, error) {
	if len(src) > maxConf {
		return nil, fmt.Errorf("it has more than %d bytes", maxConf)
	}
	c := &conf{src: src, end: len(src)}
	for at, n := 0, 1; at < len(src); {
		s := statement{from: at, line: n, depth: c.depth}
		open := true
		for ; open && at < len(src); n++ {
			to := len(src)
			if i := bytes.IndexByte(src[at:], '\n'); i >= 0 {
				to = at + i + 1
			}
			text := strings.TrimSpace(string(src[at:to]))
			at = to
			if strings.HasPrefix(text, "#") {
				open = s.to != 0 // it is skipped in the middle of a statement
				s.comments = open
				continue
			}
			s.to = to
			text, open = strings.CutSuffix(text, "\\")
			s.text += text
		}
		if s.to == 0 {
			continue // a comment
		}
		if open {
			return nil, fmt.Errorf("line %d: it goes on in a line that there is not", s.line)
		}
		if c.add(s) {
			break
		}
	}
	if c.depth < 0 {
		return nil, errors.New("an .endif has nothing before it")
	}
	return c, nil
}

// add takes a statement, and reports whether it ends the main section.
func (c *conf) add(s statement) (end bool) {
	word, _, _ := strings.Cut(strings.ReplaceAll(s.text, "\t", " "), " ")
	switch {
	case strings.HasPrefix(word, ".if"):
		c.depth++
	case word == ".endif":
		c.depth--
	case word == "begin":
		c.end = s.from
		return true
	case s.text != "":
		c.list = append(c.list, s)
	}
	return false
}

// errByHand is why the place of an option is not for a program to find.
var errByHand = errors.New("edge does not know where to write")

// set gives an option or a macro a value, and returns all of the file. Elsewhere says that
// it is set already, so in another file where this one does not.
func (c *conf) set(name, value string, elsewhere bool) ([]byte, error) {
	var found *statement
	for i := range c.list {
		s := &c.list[i]
		if _, n := s.name(); n != name {
			continue
		}
		switch {
		case found != nil:
			return nil, fmt.Errorf("lines %d and %d: both set %s: %w", found.line, s.line, name, errByHand)
		case s.depth > 0:
			return nil, fmt.Errorf("line %d: %s is inside of an .ifdef: %w", s.line, name, errByHand)
		case s.comments:
			return nil, fmt.Errorf("line %d: there are comments in the value of %s: %w", s.line, name, errByHand)
		}
		found = s
	}
	if found != nil {
		hide, _ := found.name()
		old := c.src[found.from:found.to]
		indent := old[:len(old)-len(bytes.TrimLeft(old, " \t"))]
		return c.splice(found.from, found.to, string(indent)+hide+name+" = "+value), nil
	}
	if elsewhere {
		return nil, fmt.Errorf("%s is set in a file that this one includes: %w", name, errByHand)
	}
	if c.depth > 0 {
		return nil, fmt.Errorf("the main section ends inside of an .ifdef: %w", errByHand)
	}
	at := c.end
	for _, s := range c.list { // after the last that is for all
		if s.depth == 0 {
			at = s.to
		}
	}
	return c.splice(at, at, name+" = "+value), nil
}

// splice puts a line in the place of bytes. What comes after a last line without its end
// gets one.
func (c *conf) splice(from, to int, line string) []byte {
	var b bytes.Buffer
	b.Write(c.src[:from])
	if from > 0 && c.src[from-1] != '\n' {
		b.WriteByte('\n')
	}
	b.WriteString(line)
	if from == to || bytes.HasSuffix(c.src[from:to], []byte("\n")) {
		b.WriteByte('\n')
	}
	b.Write(c.src[to:])
	return b.Bytes()
}

// has reports whether the file sets a name anywhere.
func (c *conf) has(name string) bool {
	for i := range c.list {
		if _, n := c.list[i].name(); n == name {
			return true
		}
	}
	return false
}

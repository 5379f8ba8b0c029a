package postfix

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// maxConf bounds main.cf and the source of a table, in bytes.
const maxConf = 4 << 20

// span is a range of bytes of the source.
type span struct{ from, to int }

// logical is a line as Postfix reads it (postconf(5)): the ones after it that begin with
// white space belong to it, and comments and empty lines in between do not.
type logical struct {
	parts []span // its lines, without their ends
	text  string
	line  int
}

const blank = " \t\v\f\r"

// logicals takes a source apart.
func logicals(src []byte) ([]logical, error) {
	if len(src) > maxConf {
		return nil, fmt.Errorf("it has more than %d bytes", maxConf)
	}
	var list []logical
	for at, n := 0, 1; at < len(src); n++ {
		end := len(src)
		if i := bytes.IndexByte(src[at:], '\n'); i >= 0 {
			end = at + i
		}
		line := string(src[at:end])
		trimmed := strings.Trim(line, blank)
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case strings.ContainsRune(blank, rune(line[0])):
			if len(list) == 0 {
				return nil, fmt.Errorf("line %d: it continues a line that there is not", n)
			}
			last := &list[len(list)-1]
			last.parts = append(last.parts, span{at, end})
			last.text += line
		default:
			list = append(list, logical{[]span{{at, end}}, line, n})
		}
		at = end + 1
	}
	return list, nil
}

// mainCF is main.cf, or what it is going to be.
type mainCF struct {
	src    []byte
	params []param
}

// param is an assignment. Of several of one name, the last counts.
type param struct {
	logical
	name  string
	value span // in the first of its lines
}

func parseMain(src []byte) (*mainCF, error) {
	lines, err := logicals(src)
	if err != nil {
		return nil, err
	}
	c := &mainCF{src: src}
	for _, l := range lines {
		first := string(src[l.parts[0].from:l.parts[0].to])
		name, value, ok := strings.Cut(first, "=")
		name = strings.TrimRight(name, blank)
		if !ok || name == "" || strings.ContainsAny(name, blank) {
			return nil, fmt.Errorf("line %d: %.60q is not NAME = VALUE", l.line, first)
		}
		to := l.parts[0].to - (len(value) - len(strings.TrimRight(value, blank)))
		from := l.parts[0].to - len(strings.TrimLeft(value, blank))
		c.params = append(c.params, param{l, name, span{min(from, to), to}})
	}
	return c, nil
}

// get returns what is assigned to a name.
func (c *mainCF) get(name string) (string, bool) {
	for _, p := range slices.Backward(c.params) {
		if p.name == name {
			_, value, _ := strings.Cut(p.text, "=")
			return strings.Trim(value, blank), true
		}
	}
	return "", false
}

// set assigns a value, in the line that counts now, or else in a new last line.
func (c *mainCF) set(name, value string) error {
	if now, ok := c.get(name); ok && now == value {
		return nil
	}
	for _, p := range slices.Backward(c.params) {
		if p.name == name {
			edits := []edit{{p.value, value}}
			if p.value.from == p.value.to && p.value.from > 0 && c.src[p.value.from-1] == '=' {
				edits[0].text = " " + value
			}
			return c.edit(append(edits, c.without(p.parts[1:])...))
		}
	}
	line := name + " = " + value + "\n"
	if n := len(c.src); n > 0 && c.src[n-1] != '\n' {
		line = "\n" + line
	}
	return c.edit([]edit{{span{len(c.src), len(c.src)}, line}})
}

// remove takes all assignments to a name away.
func (c *mainCF) remove(name string) error {
	var edits []edit
	for _, p := range c.params {
		if p.name == name {
			edits = append(edits, c.without(p.parts)...)
		}
	}
	return c.edit(edits)
}

// without are the edits that take lines away.
func (c *mainCF) without(lines []span) []edit {
	var edits []edit
	for _, l := range lines {
		edits = append(edits, edit{span{l.from, min(l.to+1, len(c.src))}, ""})
	}
	return edits
}

// edit is a change of a source.
type edit struct {
	span
	text string
}

func (c *mainCF) edit(edits []edit) error {
	if len(edits) == 0 {
		return nil
	}
	next, err := parseMain(apply(c.src, edits))
	if err == nil {
		*c = *next
	}
	return err
}

// apply makes edits, which are in order and do not overlap.
func apply(src []byte, edits []edit) []byte {
	var out []byte
	done := 0
	for _, e := range edits {
		out = append(append(out, src[done:e.from]...), e.text...)
		done = e.to
	}
	return append(out, src[done:]...)
}

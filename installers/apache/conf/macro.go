package conf

import (
	"fmt"
	"strings"
)

// maxMacroBytes bounds what one use of a macro may grow to.
const maxMacroBytes = 1 << 20

// macro is what <Macro> defines.
type macro struct {
	name, where string
	params      []string
	lines       []string
}

// macro keeps the lines of a definition, without comments.
func (l *loader) macro(d *Directive, args []string) error {
	if d.Block == nil || len(args) == 0 {
		return d.errorf("Macro is a section, and takes a name")
	}
	m := &macro{name: strings.ToLower(args[0]), where: fmt.Sprintf("line %d of \"%s\"", d.Line, d.File.Path)}
	for _, name := range args[1:] {
		if name == "" {
			return d.errorf("a parameter of the macro has no name")
		}
		m.params = append(m.params, name)
	}
	src := d.File.Src[:d.Block.end]
	for pos := d.Block.Open; pos < len(src); {
		next := readLine(src, pos, 0)
		pos = next.next
		if next.text != "" && next.text[0] != '#' {
			m.lines = append(m.lines, next.text)
		}
	}
	l.macros[m.name] = m
	return nil
}

// use reads what a macro makes of its arguments, as a file that is nowhere.
func (l *loader) use(d *Directive, args []string, into *Node) error {
	if len(args) == 0 {
		return d.errorf("Use takes the name of a macro")
	}
	m := l.macros[strings.ToLower(args[0])]
	if m == nil {
		return d.errorf("the macro %q is not defined", args[0])
	}
	args = args[1:]
	if len(args) != len(m.params) {
		return d.errorf("the macro %s takes %d arguments, not %d", m.name, len(m.params), len(args))
	}
	if l.includes++; l.includes > maxIncludes || len(l.chain) > maxDepth {
		return d.errorf("the macro %s is used too often, or too deep", m.name)
	}
	var b strings.Builder
	for _, text := range m.lines {
		m.substitute(&b, text, args)
		b.WriteByte('\n')
		if b.Len() > maxMacroBytes {
			return d.errorf("the macro %s makes more than %d bytes", m.name, maxMacroBytes)
		}
	}
	f, err := Parse(fmt.Sprintf("macro '%s' (defined on %s) used on line %d of \"%s\"", m.name, m.where, d.Line, d.File.Path), b.String())
	if err != nil {
		return d.errorf("use the macro: %w", err)
	}
	if err := l.count(f); err != nil {
		return err
	}
	return l.enter(f, into)
}

// substitute replaces the parameters in a line: of those that begin first, the longest.
func (m *macro) substitute(b *strings.Builder, text string, values []string) {
	for text != "" && b.Len() <= maxMacroBytes {
		at, best := -1, -1
		for i, p := range m.params {
			j := strings.Index(text, p)
			if j >= 0 && (at < 0 || j < at || j == at && len(p) > len(m.params[best])) {
				at, best = j, i
			}
		}
		if best < 0 {
			break
		}
		b.WriteString(text[:at] + values[best])
		text = text[at+len(m.params[best]):]
	}
	b.WriteString(text)
}

package configobj

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// SyntaxError says where a file cannot be read. It does not quote the line, which
// may have a secret in it.
type SyntaxError struct {
	Line    int // from 1
	Problem string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

// Parse reads a file of at most MaxSize bytes in UTF-8. The error is a *SyntaxError,
// unless the file is too large.
func Parse(data []byte) (*Document, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("a file of %d bytes; at most %d are read", len(data), MaxSize)
	}
	d := New()
	data, d.bom = bytes.CutPrefix(data, []byte(bom))
	p := &parser{doc: d, section: d.root, lines: strings.SplitAfter(string(data), "\n")}
	if last := len(p.lines) - 1; p.lines[last] == "" {
		p.lines = p.lines[:last]
	}
	if len(p.lines) > 0 && strings.HasSuffix(p.lines[0], "\r\n") {
		d.newline = "\r\n"
	}
	for number, line := range p.lines {
		if !utf8.ValidString(line) {
			return nil, &SyntaxError{number + 1, "not UTF-8"}
		}
	}
	return d, p.parse()
}

// parser goes through the lines of a file once.
type parser struct {
	doc     *Document
	section *Section // that the next key belongs to
	lines   []string // each with its newline
	at      int      // index of the line in hand
	above   []string // comments since the last entry
	started bool     // there was an entry
	indent  bool     // the indentation is known
}

func (p *parser) parse() error {
	for ; p.at < len(p.lines); p.at++ {
		line := p.lines[p.at]
		if t := trimSpace(line); t == "" || t[0] == '#' {
			p.above = append(p.above, line)
			continue
		}
		if !p.started {
			p.doc.initial, p.above, p.started = p.above, nil, true
		}
		start := p.at
		if problem := p.entry(strings.TrimRight(line, "\r\n")); problem != "" {
			return &SyntaxError{start + 1, problem}
		}
		p.above = nil
	}
	if p.started {
		p.doc.final = p.above
	} else {
		p.doc.initial = p.above
	}
	return nil
}

// entry reads a section's header or a key, which may take more lines than this one.
func (p *parser) entry(line string) (problem string) {
	if m := sectionLine.FindStringSubmatchIndex(line); m != nil {
		p.learnIndent(group(line, m, 1))
		return p.header(line, m)
	}
	m := keyLine.FindStringSubmatchIndex(line)
	if m == nil {
		return "neither key = value nor [section]"
	}
	p.learnIndent(group(line, m, 1))
	e := &entry{name: unquote(group(line, m, 2)), above: p.above, before: line[:m[6]]}
	if problem := p.value(e, line[m[6]:]); problem != "" {
		return problem
	}
	if p.section.taken(e.name) {
		return "this key or section is there already"
	}
	p.section.put(e)
	return ""
}

func (p *parser) learnIndent(indent string) {
	if indent != "" && !p.indent {
		p.doc.indent, p.indent = indent, true
	}
}

func (p *parser) header(line string, m []int) (problem string) {
	depth := strings.Count(group(line, m, 2), "[")
	switch {
	case depth != strings.Count(group(line, m, 4), "]"):
		return "as many brackets have to close a section's name as open it"
	case depth > p.section.depth+1:
		return "a section one level up is missing: too many brackets"
	}
	parent := p.section
	for parent.depth >= depth {
		parent = parent.parent
	}
	name := unquote(group(line, m, 3))
	if parent.taken(name) {
		return "this key or section is there already"
	}
	p.section = newSection(p.doc, parent, entry{name: name, above: p.above, before: line[:m[9]], after: line[m[9]:] + p.end()})
	parent.add(p.section)
	return ""
}

// taken reports whether there is a key or a section of that name.
func (s *Section) taken(name string) bool { return s.find(name) != nil || s.Section(name) != nil }

// end is what ends the line in hand.
func (p *parser) end() string {
	line := p.lines[p.at]
	return line[len(strings.TrimRight(line, "\r\n")):]
}

// value reads the value, which begins with text and may go on in the lines below.
func (p *parser) value(e *entry, text string) (problem string) {
	if strings.HasPrefix(text, `"""`) || strings.HasPrefix(text, "'''") {
		return p.multiline(e, text)
	}
	v, remark, ok := parseValue(text)
	if !ok {
		return "the value cannot be read: look at its quotes and commas"
	}
	e.value = v
	e.text = strings.TrimRight(strings.TrimSuffix(text, remark), spaceChars)
	e.after = text[len(e.text):] + p.end()
	return ""
}

func (p *parser) multiline(e *entry, text string) (problem string) {
	quotes, rest := text[:3], text[3:]
	last := tripleDouble
	if quotes == "'''" {
		last = tripleSingle
	}
	var value, written strings.Builder
	written.WriteString(quotes)
	for !strings.Contains(rest, quotes) {
		value.WriteString(rest + "\n")
		written.WriteString(rest + p.end())
		if p.at++; p.at == len(p.lines) {
			return "a value in triple quotes has no end"
		}
		rest = strings.TrimRight(p.lines[p.at], "\r\n")
	}
	m := last.FindStringSubmatchIndex(rest)
	if m == nil {
		return "there is something behind a value in triple quotes"
	}
	end := m[3] + len(quotes)
	e.value = String(value.String() + rest[:m[3]])
	e.text = written.String() + rest[:end]
	e.after = rest[end:] + p.end()
	return ""
}

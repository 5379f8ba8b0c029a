package policy

import (
	"fmt"
	"strings"
)

// pattern is one element of Match.Paths, compiled.
type pattern struct {
	text  string
	kind  patternKind
	head  string   // exact: the path; below: all up to the last slash; glob: what comes before the first "*"
	parts []string // glob
}

type patternKind uint8

const (
	exact patternKind = iota
	below             // "/a/*": everything under /a/
	glob
)

func newPattern(text string) (pattern, error) {
	if text == "*" {
		text = "/*"
	}
	switch {
	case !strings.HasPrefix(text, "/"):
		return pattern{}, fmt.Errorf("path %q does not begin with a slash", text)
	case !validBytes(text):
		return pattern{}, fmt.Errorf("path %q has characters that no path can have; write them as %%XX", text)
	case strings.Contains(text, "?"):
		return pattern{}, fmt.Errorf("path %q has a question mark: match the query with query", text)
	}
	if sent, _ := normalPath(text); sent != text {
		return pattern{}, fmt.Errorf("path %q is never matched, since paths are normalised first; write %q", text, sent)
	}
	p := pattern{text: text, kind: exact, head: text}
	star := strings.IndexByte(text, '*')
	switch {
	case star < 0:
	case star == len(text)-1 && text[star-1] == '/':
		p.kind, p.head = below, text[:star]
	default:
		p.kind, p.head, p.parts = glob, text[:star], strings.Split(text[1:], "/")
		for _, part := range p.parts {
			if strings.Contains(part, "**") && part != "**" {
				return pattern{}, fmt.Errorf("path %q: ** stands for whole segments", text)
			}
		}
	}
	return p, nil
}

func (p *pattern) matches(path string) bool {
	switch p.kind {
	case exact:
		return path == p.head
	case below:
		return strings.HasPrefix(path, p.head)
	}
	return strings.HasPrefix(path, p.head) && matchSegments(p.parts, path[1:])
}

// matchSegments matches a path, without its first slash, segment by segment.
// "**" stands for any number of segments; of several the last one that could
// begin later is tried again, so that the work is bounded by the product of
// the lengths.
func matchSegments(parts []string, path string) bool {
	segs := strings.Split(path, "/")
	i, j, star, from := 0, 0, -1, 0
	for j < len(segs) {
		switch {
		case i < len(parts) && parts[i] == "**":
			star, from = i, j
			i++
		case i < len(parts) && matchGlob(parts[i], segs[j]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(parts) && parts[i] == "**" {
		i++
	}
	return i == len(parts)
}

// matchGlob matches text against a pattern in which "*" stands for any characters.
func matchGlob(pattern, text string) bool {
	i, j, star, from := 0, 0, -1, 0
	for j < len(text) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, from = i, j
			i++
		case i < len(pattern) && pattern[i] == text[j]:
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == '*' {
		i++
	}
	return i == len(pattern)
}

// covers reports whether whatever q matches is matched by p, where that is
// plain to see.
func (p *pattern) covers(q *pattern) bool {
	switch {
	case q.kind == exact:
		return p.matches(q.head)
	case p.kind == below:
		return strings.HasPrefix(q.head, p.head)
	}
	return p.text == q.text
}

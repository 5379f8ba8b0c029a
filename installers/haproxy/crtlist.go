package haproxy

import (
	"bytes"
	"slices"
	"strings"
)

// crtLine is a line of a crt-list: FILE [options] filter...
type crtLine struct {
	file    string   // as it is written
	filters []string // of names; empty: those of the certificate
	acme    bool
}

// parseCrtList reads a crt-list (configuration manual, crt-list).
func parseCrtList(text string) []crtLine {
	var list []crtLine
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		end := strings.IndexAny(line, " \t[")
		if end < 0 {
			end = len(line)
		}
		l := crtLine{file: strings.Trim(line[:end], `"'`)}
		rest := strings.TrimSpace(line[end:])
		if strings.HasPrefix(rest, "[") {
			options, after, _ := strings.Cut(rest[1:], "]")
			l.acme = slices.Contains(strings.Fields(options), "acme")
			rest = after
		}
		l.filters = strings.Fields(rest)
		if l.file != "" {
			list = append(list, l)
		}
	}
	return list
}

// covers reports whether a line has its certificate shown for a name.
func (l *crtLine) covers(name string) bool {
	if len(l.filters) == 0 {
		return true
	}
	yes := false
	for _, f := range l.filters {
		bare, not := strings.CutPrefix(f, "!")
		if matches(bare, name) {
			if not {
				return false
			}
			yes = true
		}
	}
	return yes
}

// matches compares a name, which may be a wildcard itself, with a filter.
func matches(filter, name string) bool {
	if strings.EqualFold(filter, name) || filter == "*" {
		return true
	}
	suffix, wild := strings.CutPrefix(filter, "*")
	_, parent, ok := strings.Cut(name, ".")
	return wild && ok && strings.EqualFold(suffix, "."+parent)
}

// withLine is a crt-list with one line more.
func withLine(text []byte, line string) []byte {
	out := bytes.Clone(text)
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	return append(append(out, line...), '\n')
}

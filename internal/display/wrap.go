package display

import (
	"strings"
	"unicode/utf8"
)

// width is certbot's, in characters, whatever the terminal has.
const width = 80

// wrapLines breaks lines that are too long at their blanks, as Python's
// textwrap.fill does where it may break neither words nor at hyphens: the blanks
// at a break and at the end of a line vanish, those at its start stay. A newline
// at the end of the text goes as well.
func wrapLines(s string) string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	for i, line := range lines {
		lines[i] = wrapLine(expandTabs(line))
	}
	return strings.Join(lines, "\n")
}

func wrapLine(line string) string {
	var out []string
	var current []string
	used := 0
	flush := func() {
		if n := len(current); n > 0 && blank(current[n-1]) {
			current = current[:n-1]
		}
		if len(current) > 0 {
			out = append(out, strings.Join(current, ""))
		}
		current, used = nil, 0
	}
	for chunk := range chunks(line) {
		n := utf8.RuneCountInString(chunk)
		if used+n > width && used > 0 {
			flush()
		}
		if used == 0 && len(out) > 0 && blank(chunk) {
			continue
		}
		current = append(current, chunk)
		used += n
	}
	flush()
	return strings.Join(out, "\n")
}

// chunks cuts a line into words and the blanks between them.
func chunks(line string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line != "" {
			end := strings.IndexFunc(line, func(r rune) bool { return (r == ' ') != (line[0] == ' ') })
			if end < 0 {
				end = len(line)
			}
			if !yield(line[:end]) {
				return
			}
			line = line[end:]
		}
	}
}

func blank(chunk string) bool { return strings.Trim(chunk, " ") == "" }

// expandTabs puts blanks up to the next column of eight for tabs.
func expandTabs(line string) string {
	if !strings.Contains(line, "\t") {
		return line
	}
	var b strings.Builder
	column := 0
	for _, r := range line {
		if r != '\t' {
			b.WriteRune(r)
			column++
			continue
		}
		n := 8 - column%8
		b.WriteString(strings.Repeat(" ", n))
		column += n
	}
	return b.String()
}

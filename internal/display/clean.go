package display

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes a text safe to print: what a terminal would obey and what readers
// cannot see (escape sequences, other control characters, changes of the writing
// direction, bytes that are not UTF-8) is written as \x1b or \u202e. Lines and
// tabs stay.
func Clean(s string) string { return clean(s, "\n\t") }

// CleanLine is Clean for what has to stay on its line, such as a name.
func CleanLine(s string) string { return clean(s, "") }

func clean(s, keep string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return unsafe(r) && !strings.ContainsRune(keep, r) }) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1 || r < utf8.RuneSelf && unsafe(r) && !strings.ContainsRune(keep, r):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r >= utf8.RuneSelf && r != utf8.RuneError && unsafe(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// unsafe is true for utf8.RuneError as well, which stands for a byte that is no
// UTF-8, or for itself.
func unsafe(r rune) bool { return !unicode.IsGraphic(r) || r == utf8.RuneError }

func cleanLines(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = CleanLine(s)
	}
	return out
}

package config

import (
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"
)

// Error is one mistake in a configuration.
type Error struct {
	Pos     Pos
	Message string
	Hint    string // what to do; may be empty
	source  string // the line it is on
}

func (e *Error) Error() string {
	if e.Pos.File == "" {
		if e.Hint != "" {
			return e.Message + "; " + e.Hint
		}
		return e.Message
	}
	var b strings.Builder
	b.WriteString(e.Pos.String())
	b.WriteString(": ")
	b.WriteString(e.Message)
	if e.source != "" {
		fmt.Fprintf(&b, "\n    %s\n    %s^", e.source, strings.Repeat(" ", caretColumn(e.source, e.Pos.Col)))
	}
	if e.Hint != "" {
		b.WriteString("\n    ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// MarshalJSON gives the place in fields of its own.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		File    string `json:"file,omitempty"`
		Line    int    `json:"line,omitempty"`
		Column  int    `json:"column,omitempty"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
		Source  string `json:"source,omitempty"`
	}{e.Pos.File, e.Pos.Line, e.Pos.Col, e.Message, e.Hint, e.source})
}

func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Errors are all mistakes of a configuration, in the order of its files and lines.
type Errors []*Error

func (e Errors) Error() string {
	parts := make([]string, 0, len(e)+1)
	for _, x := range e {
		parts = append(parts, x.Error())
	}
	if len(e) > 1 {
		parts = append(parts, fmt.Sprintf("%d errors", len(e)))
	}
	return strings.Join(parts, "\n")
}

// maxErrors bounds what is reported of a file that is no configuration at all.
const maxErrors = 100

// sorted puts errors in the order in which a reader meets them.
func (e Errors) sorted(files []string) Errors {
	rank := map[string]int{}
	for i, f := range files {
		rank[f] = i
	}
	sort.SliceStable(e, func(i, j int) bool {
		a, b := e[i].Pos, e[j].Pos
		switch {
		case a.File != b.File:
			return rank[a.File] < rank[b.File]
		case a.Line != b.Line:
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
	if len(e) > maxErrors {
		e = append(e[:maxErrors:maxErrors], &Error{Message: fmt.Sprintf("and %d more errors", len(e)-maxErrors)})
	}
	return e
}

// caretColumn is where the caret goes under a shown line.
func caretColumn(line string, col int) int {
	return max(0, min(col-1, len([]rune(line))))
}

// secretValue finds what looks like a secret in a line, misspelt keys included.
var secretValue = regexp.MustCompile(`(?i)(["']?[a-z_]*(?:tok|secr|hmac|passw)[a-z_]*["']?\s*:\s*)("[^"]*"|'[^']*'|[^\s,}]+)`)

// passwordHash is a hash as htpasswd writes it, of a user of any name.
var passwordHash = regexp.MustCompile(`\$(2[abxy]?|argon2[a-z]*|apr1|[156])\$[^\s"',}]+`)

// redact hides secrets in a line that is shown; names of files and variables stay.
func redact(line string) string {
	line = passwordHash.ReplaceAllString(line, "***")
	return secretValue.ReplaceAllStringFunc(line, func(m string) string {
		sub := secretValue.FindStringSubmatch(m)
		if v := strings.Trim(sub[2], `"'`); strings.HasPrefix(v, "file:") || strings.HasPrefix(v, "${") {
			return m
		}
		return sub[1] + "***"
	})
}

// shown is a line as it can be printed: no control characters, not too long.
func shown(line string) string {
	line = strings.TrimRight(line, "\r\n")
	line = strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
	if r := []rune(line); len(r) > 160 {
		line = string(r[:160]) + "..."
	}
	return line
}

// suggest returns the candidate that a misspelt word was most likely meant to be.
func suggest(word string, candidates []string) string {
	best, bestDist := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), c); d < bestDist {
			best, bestDist = c, d
		}
	}
	return best
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

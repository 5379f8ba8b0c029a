package conf

import (
	"slices"
	"strings"
)

// hasMeta says whether nginx expands an include (strpbrk "*?[") or opens it as it is.
func hasMeta(pattern string) bool { return strings.ContainsAny(pattern, "*?[") }

// glob returns the names that match as glob(3) does without flags in the C locale,
// which is what nginx asks: sorted by bytes, names that begin with a dot only where
// the pattern says so, folders that cannot be read taken as empty.
func (d *disk) glob(pattern string) []string {
	found := d.expand("", pattern)
	slices.Sort(found)
	return found
}

// expand completes prefix, a path without patterns, by what is left of the pattern.
func (d *disk) expand(prefix, rest string) []string {
	for strings.HasPrefix(rest, "/") {
		prefix, rest = prefix+"/", rest[1:]
	}
	if rest == "" {
		if d.Exists(prefix) {
			return []string{prefix}
		}
		return nil
	}
	name, rest, _ := cutSlash(rest)
	if !hasMeta(name) {
		return d.expand(prefix+unglob(name), rest)
	}
	dir := prefix
	if dir == "" {
		dir = "."
	}
	var out []string
	for _, entry := range d.List(dir) {
		if !matchName(name, entry) {
			continue
		}
		if rest == "" {
			out = append(out, prefix+entry)
		} else {
			out = append(out, d.expand(prefix+entry, rest)...)
		}
	}
	return out
}

// cutSlash cuts before the first slash, which stays with the rest.
func cutSlash(s string) (before, rest string, found bool) {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return s[:i], s[i:], true
	}
	return s, "", false
}

// unglob drops the backslashes that quote in a pattern.
func unglob(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// matchName is fnmatch(3) for one name, with FNM_PERIOD.
func matchName(pattern, name string) bool {
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") && !strings.HasPrefix(pattern, `\.`) {
		return false
	}
	p, n := 0, 0
	star, retry := -1, 0 // the last *, and what it has eaten up to
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			star, retry = p, n
			p++
			continue
		}
		if size, ok := matchByte(pattern[p:], name[n]); ok {
			p += size
			n++
			continue
		}
		if star < 0 {
			return false
		}
		retry++
		p, n = star+1, retry
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchByte matches one byte with the first element of the pattern, which is size long.
func matchByte(pattern string, c byte) (size int, ok bool) {
	if pattern == "" {
		return 0, false
	}
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		if size, ok := matchSet(pattern, c); size > 0 {
			return size, ok
		}
	case '\\':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
	}
	return 1, pattern[0] == c
}

// matchSet matches a bracket expression; size is 0 where the bracket begins none, and
// then it stands for itself.
func matchSet(pattern string, c byte) (size int, ok bool) {
	i := 1
	negated := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negated {
		i++
	}
	for first := true; i < len(pattern); first = false {
		if pattern[i] == ']' && !first {
			return i + 1, ok != negated
		}
		if rest, found := strings.CutPrefix(pattern[i:], "[:"); found {
			if class, _, closed := strings.Cut(rest, ":]"); closed {
				ok = ok || inClass(class, c)
				i += len(class) + 4
				continue
			}
		}
		lo, next := setByte(pattern, i)
		hi := lo
		if next+1 < len(pattern) && pattern[next] == '-' && pattern[next+1] != ']' {
			hi, next = setByte(pattern, next+1)
		}
		ok = ok || lo <= c && c <= hi
		i = next
	}
	return 0, false
}

func setByte(pattern string, i int) (c byte, next int) {
	if pattern[i] == '\\' && i+1 < len(pattern) {
		i++
	}
	return pattern[i], i + 1
}

func inClass(class string, c byte) bool {
	lower, upper, digit := 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9'
	graph := c > ' ' && c < 0x7f
	switch class {
	case "alpha":
		return lower || upper
	case "alnum":
		return lower || upper || digit
	case "digit":
		return digit
	case "lower":
		return lower
	case "upper":
		return upper
	case "xdigit":
		return digit || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
	case "punct":
		return graph && !lower && !upper && !digit
	case "graph":
		return graph
	case "print":
		return graph || c == ' '
	case "space":
		return c == ' ' || '\t' <= c && c <= '\r'
	case "blank":
		return c == ' ' || c == '\t'
	case "cntrl":
		return c < ' ' || c == 0x7f
	}
	return false
}

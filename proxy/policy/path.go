package policy

import "strings"

// normalPath brings a valid path into the one form that is matched and sent
// (RFC 3986 section 6.2.2): escapes of unreserved characters undone and the
// others in upper case, empty segments dropped, dot segments resolved.
//
// loose is the same path as a server might read it that takes an encoded slash
// or a backslash for a slash, and cuts parameters (";x") off segments.
func normalPath(path string) (sent, loose string) {
	if !odd(path) {
		return path, path
	}
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c != '%' {
			b = append(b, c)
			continue
		}
		v := unhex(path[i+1])<<4 | unhex(path[i+2])
		if unreserved(v) {
			b = append(b, v)
		} else {
			b = append(b, '%', upper(path[i+1]), upper(path[i+2]))
		}
		i += 2
	}
	sent = segments(string(b))
	loose = sent
	if strings.Contains(sent, ";") || strings.Contains(sent, "%2F") || strings.Contains(sent, "%5C") || strings.Contains(sent, "%3B") {
		loose = segments(withoutParameters(strings.NewReplacer("%2F", "/", "%5C", "/", "%3B", ";").Replace(sent)))
	}
	return sent, loose
}

// odd reports whether a path may be in more than one form.
func odd(path string) bool {
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '%', ';':
			return true
		case '/':
			if i+1 < len(path) && (path[i+1] == '/' || path[i+1] == '.') {
				return true
			}
		}
	}
	return false
}

// segments drops empty segments and resolves those of dots.
func segments(path string) string {
	var stack []string
	last := ""
	for part := range strings.SplitSeq(path[1:], "/") {
		switch last = part; part {
		case "", ".":
		case "..":
			if len(stack) > 0 {
				stack = stack[:len(stack)-1]
			}
		default:
			stack = append(stack, part)
		}
	}
	out := "/" + strings.Join(stack, "/")
	if len(stack) > 0 && (last == "" || last == "." || last == "..") {
		out += "/"
	}
	return out
}

// withoutParameters cuts ";…" off each segment.
func withoutParameters(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i], _, _ = strings.Cut(p, ";")
	}
	return strings.Join(parts, "/")
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'f' {
		return c - 'a' + 'A'
	}
	return c
}

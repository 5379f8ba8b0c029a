package runlog

import (
	"regexp"
	"slices"
	"strings"
)

// names are parts of names, of flags, settings and members of JSON, that have
// secrets for values; nameHints are the same as plain words.
const names = `passw(?:or)?d|passphrase|secret|token|hmac|api[_-]?key|private[_-]?key|key[_-]?auth`

var nameHints = []string{"passw", "passphrase", "secret", "token", "hmac", "api", "private", "auth"}

// patterns find secrets where they stand in texts. Most texts have none, and
// regular expressions are slow: an expression is tried where one of its hints is in
// the text, in lower case.
var patterns = []struct {
	hints []string
	re    *regexp.Regexp
	with  string
}{
	// Private keys: in PEM, also where the end is missing; in DER, as base64.
	{[]string{"private key"}, regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`), Hidden},
	{[]string{"ibad", "ibaak", "geam", "caqee", "caqaw", "gebb"}, regexp.MustCompile(`M[A-Za-z0-9+/]{1,5}(?:IBAD|IBAAK|gEAM|CAQEE|CAQAw|gEBB[DE])[A-Za-z0-9+/=_-]{30,}`), Hidden},
	// The private members of a JWK (RFC 7518 section 6), also in JSON within JSON,
	// in Python's notation, and as Go prints a map.
	{[]string{`"`, "'"}, regexp.MustCompile(`(\\*["'](?:d|p|q|dp|dq|qi|r|t|k)\\*["']\s*:\s*\\*["'])[^"'\\]+`), "${1}" + Hidden},
	{[]string{"d:", "p:", "q:", "i:", "k:", "d=", "p=", "q=", "i=", "k="}, regexp.MustCompile(`\b((?:d|p|q|dp|dq|qi|k)[:=])[A-Za-z0-9_-]{22,}`), "${1}" + Hidden},
	// Header fields: to the end of the line or of the quotes.
	{[]string{"authorization", "x-", "cookie"}, regexp.MustCompile(`(?i)((?:proxy-)?\bauthorization|\bx-[a-z-]*(?:key|token|secret|auth)[a-z-]*|\b(?:set-)?cookie)(\\*["']?\s*[:=]\s*\[?\\*["']?)[^\r\n"']+`), "${1}${2}" + Hidden},
	{[]string{"bearer ", "basic "}, regexp.MustCompile(`(?i)\b(bearer|basic) +[A-Za-z0-9._~+/=-]{16,}`), "${1} " + Hidden},
	// JSON web tokens.
	{[]string{"eyj"}, regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?`), Hidden},
	// name = value, "name": "value", name=value&...
	{nameHints, regexp.MustCompile(`(?i)([\w.-]*(?:` + names + `)[\w-]*)(\\*["']?\s*[=:]\s*)(?:"(?:[^"\\]|\\.)*"?|'[^']*'?|\\+["'][^"'\\]*|[^\s"'\\,;&\])}]+)`), "${1}${2}" + Hidden},
	// https://user:password@host
	{[]string{"://"}, regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]*:)[^/\s@]+@`), "${1}" + Hidden + "@"},
}

// flag finds --name value, on a command line and in a list of arguments.
var flag = regexp.MustCompile(`(?i)(--[\w-]*(?:` + names + `)[\w-]*)(["']?[,\s]+)("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s"',\]]+)`)

// prose are words that follow the name of a flag in a sentence.
var prose = []string{"flag", "flags", "option", "options", "and", "or", "is", "are", "must", "has", "with", "to", "was", "needs"}

func hidePatterns(s string) string {
	lower := strings.ToLower(s)
	in := func(hint string) bool { return strings.Contains(lower, hint) }
	for _, p := range patterns {
		if slices.ContainsFunc(p.hints, in) {
			s = p.re.ReplaceAllString(s, p.with)
		}
	}
	if in("--") && slices.ContainsFunc(nameHints, in) {
		s = flag.ReplaceAllStringFunc(s, func(found string) string {
			m := flag.FindStringSubmatch(found)
			if slices.Contains(prose, strings.TrimRight(m[3], ").:;")) {
				return found
			}
			return m[1] + m[2] + Hidden
		})
	}
	return hideKeyAuths(s)
}

// hideKeyAuths hides the second half of key authorizations (RFC 8555 section 8.1),
// TOKEN.THUMBPRINT. The token stays, to be found by.
func hideKeyAuths(s string) string {
	const minToken, thumbprint = 16, 43 // characters of base64url
	var b strings.Builder
	done := 0
	for i := range len(s) {
		if s[i] != '.' || runAfter(s[i+1:], thumbprint+1) != thumbprint || runBefore(s[:i], minToken) < minToken {
			continue
		}
		b.WriteString(s[done : i+1])
		b.WriteString(Hidden)
		done = i + 1 + thumbprint
	}
	return b.String() + s[done:]
}

// runAfter counts characters of base64url at the start of s, as far as most.
func runAfter(s string, most int) (n int) {
	for n < min(most, len(s)) && base64url(s[n]) {
		n++
	}
	return n
}

// runBefore counts those at its end.
func runBefore(s string, most int) (n int) {
	for n < min(most, len(s)) && base64url(s[len(s)-1-n]) {
		n++
	}
	return n
}

func base64url(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

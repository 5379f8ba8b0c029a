package runlog

import (
	"regexp"
	"strings"
)

// names are parts of names, of flags, settings and members of JSON, that have
// secrets for values.
const names = `passw(?:or)?d|passphrase|secret|token|hmac|api[_-]?key|private[_-]?key|key[_-]?auth`

// patterns find secrets where they stand in texts.
var patterns = []struct {
	re   *regexp.Regexp
	with string
}{
	// Private keys: in PEM, also where the end is missing; in DER, as base64.
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`), Hidden},
	{regexp.MustCompile(`M[A-Za-z0-9+/]{1,5}(?:IBAD|IBAAK|gEAM|CAQEE|CAQAw|gEBB[DE])[A-Za-z0-9+/=_-]{30,}`), Hidden},
	// The private members of a JWK (RFC 7518 section 6), also in JSON within JSON,
	// in Python's notation, and as Go prints a map.
	{regexp.MustCompile(`(\\*["'](?:d|p|q|dp|dq|qi|r|t|k)\\*["']\s*:\s*\\*["'])[^"'\\]+`), "${1}" + Hidden},
	{regexp.MustCompile(`\b((?:d|p|q|dp|dq|qi|k)[:=])[A-Za-z0-9_-]{22,}`), "${1}" + Hidden},
	// Header fields: to the end of the line or of the quotes.
	{regexp.MustCompile(`(?i)((?:proxy-)?\bauthorization|\bx-[a-z-]*(?:key|token|secret|auth)[a-z-]*|\b(?:set-)?cookie)(\\*["']?\s*[:=]\s*\[?\\*["']?)[^\r\n"']+`), "${1}${2}" + Hidden},
	{regexp.MustCompile(`(?i)\b(bearer|basic) +[A-Za-z0-9._~+/=-]{16,}`), "${1} " + Hidden},
	// JSON web tokens.
	{regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?`), Hidden},
	// name = value, "name": "value", name=value&...
	{regexp.MustCompile(`(?i)([\w.-]*(?:` + names + `)[\w-]*)(\\*["']?\s*[=:]\s*)(?:"(?:[^"\\]|\\.)*"?|'[^']*'?|\\+["'][^"'\\]*|[^\s"'\\,;&\])}]+)`), "${1}${2}" + Hidden},
	// https://user:password@host
	{regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]*:)[^/\s@]+@`), "${1}" + Hidden + "@"},
	// A key authorization (RFC 8555 section 8.1): the token stays, to be found by.
	{regexp.MustCompile(`([A-Za-z0-9_-]{16,})\.[A-Za-z0-9_-]{43}($|[^A-Za-z0-9_-])`), "${1}." + Hidden + "${2}"},
}

// flag finds --name value, on a command line and in a list of arguments.
var flag = regexp.MustCompile(`(?i)(--[\w-]*(?:` + names + `)[\w-]*)(["']?[,\s]+["']?)([^\s"',\]]+)`)

// prose are words that follow the name of a flag in a sentence.
var prose = map[string]bool{"flag": true, "flags": true, "option": true, "options": true, "and": true, "or": true,
	"is": true, "are": true, "must": true, "has": true, "with": true, "to": true, "was": true, "needs": true}

func hidePatterns(s string) string {
	for _, p := range patterns {
		s = p.re.ReplaceAllString(s, p.with)
	}
	return flag.ReplaceAllStringFunc(s, func(found string) string {
		m := flag.FindStringSubmatch(found)
		if prose[strings.TrimRight(m[3], ").:;")] {
			return found
		}
		return m[1] + m[2] + Hidden
	})
}

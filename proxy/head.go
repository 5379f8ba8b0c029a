package proxy

import (
	"bytes"
	"strings"
)

// head is what the framing and the target of an HTTP/1 request depend on.
type head struct {
	version   byte // '0' or '1', of HTTP/1.x
	get       bool
	authority string // of an absolute-form target
	hosts     int
	host      string
	lengths   int
	length    int64
	codings   int
	chunked   bool
	fields    int

	upgrade      string // known protocol token
	upgrades     int
	upgradeNamed bool // by Connection
}

func fault(reason string) *refusal { return &refusal{status: 400, reason: reason} }

var (
	refuseURI    = &refusal{status: 414, reason: "request target too long"}
	refuseHeader = &refusal{status: 431, reason: "request header too large"}
	refuseMethod = &refusal{status: 405, reason: "method not allowed"}
)

// requestLine is method SP target SP version (RFC 9112 section 3), and nothing laxer.
func (h *head) requestLine(line []byte, l *Limits) *refusal {
	method, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok || !isToken7230(method) {
		return fault("malformed request line")
	}
	i := bytes.LastIndexByte(rest, ' ')
	if i < 0 {
		return fault("malformed request line")
	}
	target, version := rest[:i], rest[i+1:]
	if len(version) != 8 || string(version[:7]) != "HTTP/1." || version[7] != '0' && version[7] != '1' {
		return fault("unsupported HTTP version")
	}
	h.version = version[7]
	if len(target) > l.URIBytes {
		return refuseURI
	}
	switch string(method) {
	case "GET":
		h.get = true
	case "CONNECT", "TRACE":
		return refuseMethod
	}
	if bad := checkTarget(target, string(method)); bad != nil {
		return bad
	}
	if target[0] != '/' && target[0] != '*' {
		_, after, _ := bytes.Cut(target, []byte("://"))
		if j := bytes.IndexAny(after, "/?"); j >= 0 {
			after = after[:j]
		}
		h.authority = string(after)
	}
	return nil
}

// checkTarget accepts origin-form, "*" for OPTIONS, and absolute-form with http
// or https.
func checkTarget[T string | []byte](target T, method string) *refusal {
	if len(target) == 0 {
		return fault("malformed request target")
	}
	for i := 0; i < len(target); i++ {
		switch c := target[i]; {
		case c <= ' ' || c >= 0x7f:
			return fault("forbidden character in the request target")
		case c == '#' || c == '\\':
			return fault("forbidden character in the request target")
		case c == '%' && i+2 < len(target) && target[i+1] == '0' && target[i+2] == '0':
			return fault("encoded NUL in the request target")
		}
	}
	if target[0] == '/' || len(target) == 1 && target[0] == '*' && method == "OPTIONS" {
		return nil
	}
	scheme, after, ok := strings.Cut(string(target), "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return fault("malformed request target")
	}
	if i := strings.IndexAny(after, "/?"); i >= 0 {
		after = after[:i]
	}
	if !isHost(after) {
		return fault("malformed authority in the request target")
	}
	return nil
}

// field takes a header line.
func (h *head) field(line []byte, l *Limits) *refusal {
	if h.fields++; h.fields > l.Headers {
		return refuseHeader
	}
	i := bytes.IndexByte(line, ':')
	if i < 0 || !isToken7230(line[:i]) {
		return fault("malformed header field name") // obs-fold and spaces before the colon among them
	}
	name, value := line[:i], bytes.Trim(line[i+1:], " \t")
	if !isFieldValue(value) {
		return fault("control character in a header field")
	}
	switch len(name) {
	case 4:
		if equalFold(name, "host") {
			h.hosts++
			h.host = string(value)
		}
	case 7:
		if equalFold(name, "upgrade") {
			h.upgrades++
			h.upgrade = knownUpgrade(string(value))
		}
	case 10:
		if equalFold(name, "connection") && hasToken(string(value), "upgrade") {
			h.upgradeNamed = true
		}
	case 14:
		if equalFold(name, "content-length") {
			return h.contentLength(value)
		}
	case 17:
		if equalFold(name, "transfer-encoding") {
			h.codings++
			h.chunked = equalFold(value, "chunked")
			if !h.chunked || h.codings > 1 {
				return fault("Transfer-Encoding is not exactly chunked")
			}
		}
	}
	return nil
}

// contentLength accepts one plain decimal number, once.
func (h *head) contentLength(v []byte) *refusal {
	h.lengths++
	if h.lengths > 1 || len(v) == 0 || len(v) > 18 || len(v) > 1 && v[0] == '0' {
		return fault("Content-Length is not one plain number")
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return fault("Content-Length is not one plain number")
		}
		h.length = h.length*10 + int64(c-'0')
	}
	return nil
}

// check looks at the head as a whole.
func (h *head) check() *refusal {
	switch {
	case h.codings > 0 && h.lengths > 0:
		return fault("both Content-Length and Transfer-Encoding")
	case h.codings > 0 && h.version == '0':
		return fault("Transfer-Encoding on HTTP/1.0")
	case h.hosts > 1:
		return fault("more than one Host")
	case h.hosts == 0 && h.version == '1':
		return fault("no Host")
	case h.hosts == 1 && !isHost(h.host):
		return fault("malformed Host")
	case h.authority != "" && h.hosts == 1 && !strings.EqualFold(h.authority, h.host):
		return fault("Host differs from the request target")
	}
	if !h.get || h.version != '1' || h.upgrades != 1 || h.codings > 0 || h.lengths > 0 {
		h.upgrade = ""
	}
	return nil
}

// knownUpgrade returns the token if it names a protocol that may be tunnelled,
// lower case. Others are not passed on: an upstream that understands h2c or
// TLS would let requests through that policy never saw.
func knownUpgrade(value string) string {
	if strings.EqualFold(value, "websocket") {
		return "websocket"
	}
	return ""
}

// isHost accepts a registered name or an address, with an optional port.
func isHost(s string) bool {
	if s == "" {
		return false
	}
	rest := s
	if s[0] == '[' {
		i := strings.IndexByte(s, ']')
		if i < 0 {
			return false
		}
		for _, c := range []byte(s[1:i]) {
			if unhex(c) < 0 && c != ':' && c != '.' {
				return false
			}
		}
		if rest = s[i+1:]; rest == "" {
			return true
		}
		if rest[0] != ':' {
			return false
		}
	}
	name, port, hasPort := strings.Cut(rest, ":")
	if name == "" && s[0] != '[' {
		return false
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	if !hasPort {
		return true
	}
	if len(port) > 5 {
		return false
	}
	for _, c := range []byte(port) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// trailerField checks a field after the last chunk. Those that would change
// framing, routing or authority have no business there (RFC 9110 section 6.5.1).
func trailerField(line []byte) *refusal {
	i := bytes.IndexByte(line, ':')
	if i < 0 || !isToken7230(line[:i]) {
		return fault("malformed trailer field name")
	}
	if !isFieldValue(bytes.Trim(line[i+1:], " \t")) {
		return fault("control character in a trailer field")
	}
	if forbiddenTrailer(string(line[:i])) {
		return fault("forbidden trailer field")
	}
	return nil
}

func forbiddenTrailer(name string) bool {
	switch strings.ToLower(name) {
	case "transfer-encoding", "content-length", "host", "connection", "te", "trailer", "upgrade", "expect", "range",
		"content-encoding", "content-type", "content-range", "authorization", "proxy-authorization", "cookie", "cache-control",
		"max-forwards", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range",
		"forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host":
		return true
	}
	return false
}

// isToken7230 reports whether b is a token (RFC 9110 section 5.6.2).
func isToken7230(b []byte) bool {
	for _, c := range b {
		if !tokenChar[c] {
			return false
		}
	}
	return len(b) > 0
}

// isFieldValue allows tab, visible characters and obs-text (RFC 9110 section 5.5).
func isFieldValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// equalFold compares with a lower-case ASCII string.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

var tokenChar = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-0x20] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

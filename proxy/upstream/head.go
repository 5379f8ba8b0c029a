package upstream

import (
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"edge/proxy/policy"
)

// head is the parsed head of an answer.
type head struct {
	status    int
	minor     int // HTTP/1.minor
	keepAlive bool
	fields    []policy.Field
}

// head reads and parses one head, strictly: an answer that two readers could
// understand in two ways is refused (RFC 9112 section 11). fields is reused.
func (in *input) head(fields []policy.Field) (head, error) {
	b, err := in.headBytes()
	if err != nil {
		return head{}, err
	}
	return parseHead(string(b[:len(b)-2]), fields)
}

// parseHead parses lines that each end in CRLF.
func parseHead(s string, fields []policy.Field) (h head, err error) {
	line, s, err := cutLine(s)
	if err != nil {
		return h, err
	}
	if h.status, h.minor, err = parseStatusLine(line); err != nil {
		return h, err
	}
	h.fields = fields
	for s != "" {
		if line, s, err = cutLine(s); err != nil {
			return h, err
		}
		f, err := parseField(line)
		if err != nil {
			return h, err
		}
		h.fields = append(h.fields, f)
	}
	h.keepAlive = h.minor == 1
	for i := range h.fields {
		if f := &h.fields[i]; len(f.Name) == len("Connection") && strings.EqualFold(f.Name, "Connection") {
			switch {
			case hasToken(f.Value, "close"):
				h.keepAlive = false
			case h.minor == 0 && hasToken(f.Value, "keep-alive"):
				h.keepAlive = true
			}
		}
	}
	return h, nil
}

func cutLine(s string) (line, rest string, err error) {
	i := strings.IndexByte(s, '\n')
	if i < 1 || s[i-1] != '\r' {
		return "", "", malformed("line ends without CR")
	}
	line = s[:i-1]
	if strings.IndexByte(line, '\r') >= 0 {
		return "", "", malformed("CR within a line")
	}
	return line, s[i+1:], nil
}

func parseStatusLine(l string) (status, minor int, err error) {
	// HTTP/1.1 200 OK; the reason may be missing, with or without its space.
	if len(l) < 12 || l[:7] != "HTTP/1." || (l[7] != '0' && l[7] != '1') || l[8] != ' ' || len(l) > 12 && l[12] != ' ' {
		return 0, 0, malformed("status line %q", clip(l))
	}
	for _, c := range []byte(l[9:12]) {
		if c < '0' || c > '9' {
			return 0, 0, malformed("status line %q", clip(l))
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 || status > 599 || !validValue(l[12:]) {
		return 0, 0, malformed("status line %q", clip(l))
	}
	return status, int(l[7] - '0'), nil
}

// parseField accepts "name: value" and nothing else: no space before the colon,
// no folded lines, no control characters.
func parseField(l string) (policy.Field, error) {
	i := strings.IndexByte(l, ':')
	if i <= 0 || !httpguts.ValidHeaderFieldName(l[:i]) {
		return policy.Field{}, malformed("header line %q", clip(l))
	}
	v := strings.Trim(l[i+1:], " \t")
	if !validValue(v) {
		return policy.Field{}, malformed("value of header field %s", l[:i])
	}
	return policy.Field{Name: l[:i], Value: v}, nil
}

func validValue(v string) bool {
	for i := 0; i < len(v); i++ {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// framing says how the body is delimited: its length, or -1 and chunked, or -1
// and the end of the connection.
func (h *head) framing(method string) (length int64, chunked bool, err error) {
	length = -1
	seen := false
	for i := range h.fields {
		f := &h.fields[i]
		switch len(f.Name) {
		case len("Content-Length"):
			if !strings.EqualFold(f.Name, "Content-Length") {
				continue
			}
			if seen {
				return 0, false, malformed("two Content-Length fields")
			}
			seen = true
			if length, err = parseLength(f.Value); err != nil {
				return 0, false, err
			}
		case len("Transfer-Encoding"):
			if !strings.EqualFold(f.Name, "Transfer-Encoding") {
				continue
			}
			if chunked || h.minor == 0 || !strings.EqualFold(f.Value, "chunked") {
				return 0, false, malformed("Transfer-Encoding %q", clip(f.Value))
			}
			chunked = true
		}
	}
	if chunked && seen {
		return 0, false, malformed("both Transfer-Encoding and Content-Length")
	}
	if h.bodiless(method) {
		if (h.status < 200 || h.status == 204) && (length > 0 || chunked) {
			return 0, false, malformed("%d with a body", h.status)
		}
		return max(length, 0), false, nil
	}
	return length, chunked, nil
}

// bodiless reports that no body follows, whatever the fields say (RFC 9112 section 6.3).
func (h *head) bodiless(method string) bool {
	return method == "HEAD" || h.status < 200 || h.status == 204 || h.status == 304
}

// parseLength accepts digits only: no sign, no list, no superfluous zero.
func parseLength(v string) (int64, error) {
	if v == "" || len(v) > 18 || len(v) > 1 && v[0] == '0' {
		return 0, malformed("Content-Length %q", clip(v))
	}
	var n int64
	for _, c := range []byte(v) {
		if c < '0' || c > '9' {
			return 0, malformed("Content-Length %q", clip(v))
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// upgrades reports whether a 101 switches to the protocol asked for.
func (h *head) upgrades(protocol string) bool {
	upgrade, connection := false, false
	for _, f := range h.fields {
		switch {
		case strings.EqualFold(f.Name, "Upgrade"):
			upgrade = strings.EqualFold(f.Value, protocol)
		case strings.EqualFold(f.Name, "Connection"):
			connection = connection || hasToken(f.Value, "upgrade")
		}
	}
	return upgrade && connection
}

// hasToken looks for an element of a comma-separated list.
func hasToken(list, token string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(part, " \t"), token) {
			return true
		}
	}
	return false
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}

// appendHead writes the head of a request. It trusts its input: engines have
// checked every name and value.
func appendHead(b []byte, r *Request) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Host...)
	b = append(b, "\r\n"...)
	for i := range r.Header {
		f := &r.Header[i]
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	switch {
	case r.Upgrade != "":
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, r.Upgrade...)
		b = append(b, "\r\n"...)
	case r.Body != nil && r.ContentLength < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.Body != nil || r.ContentLength == 0 && bodyExpected(r.Method):
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, max(r.ContentLength, 0), 10)
		b = append(b, "\r\n"...)
	}
	if r.Body != nil && r.ContentLength < 0 && len(r.TrailerNames) > 0 {
		b = append(b, "Trailer: "...)
		b = append(b, strings.Join(r.TrailerNames, ", ")...)
		b = append(b, "\r\n"...)
	}
	if r.ExpectContinue && r.Body != nil {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	return append(b, "\r\n"...)
}

// bodyExpected lists the methods for which RFC 9110 section 8.6 wants a
// Content-Length even where there is no body.
func bodyExpected(method string) bool {
	return method == "POST" || method == "PUT" || method == "PATCH"
}

package accesslog

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"edge"
)

// appendJSON writes a request as one JSON object and a line feed. Durations are
// in seconds.
func appendJSON(b []byte, e *edge.RequestEvent) []byte {
	b = append(b, `{"time":"`...)
	b = e.Start.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, '"')
	b = member(b, "request_id", e.RequestID)
	b = member(b, "remote_ip", addr(e.Remote.Addr()))
	b = member(b, "client_ip", addr(e.Client))
	b = member(b, "method", e.Method)
	b = member(b, "scheme", e.Scheme)
	b = member(b, "host", e.Host)
	b = member(b, "path", e.Path)
	if e.Query != "" {
		b = member(b, "query", hideSecrets(e.Query))
	}
	b = member(b, "proto", e.Proto)
	b = number(b, "status", int64(e.Status))
	b = number(b, "bytes_in", e.BytesIn)
	b = number(b, "bytes_out", e.BytesOut)
	b = seconds(b, "duration", e.Duration)
	b = seconds(b, "ttfb", e.TTFB)
	b = member(b, "site", e.Site)
	b = optional(b, "route", e.Route)
	b = member(b, "decision", e.Decision)
	b = optional(b, "limited", e.Limited)
	b = optional(b, "user", e.User)
	b = optional(b, "encoding", e.Encoding)
	b = optional(b, "trace_id", e.TraceID)
	b = optional(b, "parent_id", e.ParentID)
	if e.TLSVersion != 0 {
		b = member(b, "tls_version", tls.VersionName(e.TLSVersion))
		b = member(b, "tls_cipher", tls.CipherSuiteName(e.TLSCipher))
		b = member(b, "sni", e.SNI)
		b = member(b, "alpn", e.ALPN)
		b = append(b, `,"resumed":`...)
		b = strconv.AppendBool(b, e.Resumed)
	}
	if e.Attempts > 0 || e.Upstream != "" {
		b = optional(b, "pool", e.Pool)
		if e.QueueTime > 0 {
			b = seconds(b, "queue_duration", e.QueueTime)
		}
		b = member(b, "upstream", e.Upstream)
		b = number(b, "upstream_status", int64(e.UpstreamStatus))
		b = seconds(b, "upstream_duration", e.UpstreamDuration)
		b = number(b, "attempts", int64(e.Attempts))
	}
	if e.UserAgent != "" {
		b = member(b, "user_agent", e.UserAgent)
	}
	if e.Referer != "" {
		b = member(b, "referer", hideReferer(e.Referer))
	}
	if e.Err != nil {
		b = member(b, "error", e.Err.Error())
	}
	return append(b, "}\n"...)
}

func member(b []byte, name, v string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':', '"')
	b = appendEscaped(b, v, true)
	return append(b, '"')
}

// optional is member for what most requests lack.
func optional(b []byte, name, v string) []byte {
	if v == "" {
		return b
	}
	return member(b, name, v)
}

func number(b []byte, name string, v int64) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return strconv.AppendInt(b, v, 10)
}

func seconds(b []byte, name string, d time.Duration) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return strconv.AppendFloat(b, d.Seconds(), 'f', 6, 64)
}

// appendCombined writes the line that nginx and Apache call combined:
//
//	client - user [time] "method target proto" status bytes "referer" "user agent"
func appendCombined(b []byte, e *edge.RequestEvent) []byte {
	b = appendCommon(b, e)
	b = append(b[:len(b)-1], ` "`...) // in the place of the line feed
	b = appendEscaped(b, dash(hideReferer(e.Referer)), false)
	b = append(b, `" "`...)
	b = appendEscaped(b, dash(e.UserAgent), false)
	return append(b, "\"\n"...)
}

// appendCommon writes the line of NCSA's httpd, which many programs read:
//
//	client - user [time] "method target proto" status bytes
func appendCommon(b []byte, e *edge.RequestEvent) []byte {
	client := e.Client
	if !client.IsValid() {
		client = e.Remote.Addr()
	}
	b = append(b, dash(addr(client))...)
	b = append(b, " - "...)
	b = appendWord(b, e.User)
	b = append(b, " ["...)
	b = e.Start.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	b = appendEscaped(b, e.Method, false)
	b = append(b, ' ')
	b = appendEscaped(b, e.Path, false)
	if e.Query != "" {
		b = append(b, '?')
		b = appendEscaped(b, hideSecrets(e.Query), false)
	}
	b = append(b, ' ')
	b = appendEscaped(b, e.Proto, false)
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(e.Status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, e.BytesOut, 10)
	return append(b, '\n')
}

// appendWord writes what stands without quotes: a space would begin the next word.
func appendWord(b []byte, s string) []byte {
	from := len(b)
	b = appendEscaped(b, dash(s), false)
	for i := from; i < len(b); i++ {
		if b[i] == ' ' {
			b[i] = '_'
		}
	}
	return b
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func addr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}

const hex = "0123456789abcdef"

// appendEscaped makes sure that a value can neither end its quotes nor its line
// nor talk to a terminal. JSON has \u00xx for bytes, the combined format \xxx.
func appendEscaped(b []byte, s string, json bool) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = escapeByte(b, c, json)
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				b = escapeByte(b, c, json)
			case r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029:
				for _, x := range []byte(s[i : i+size]) { // C1 controls and line separators
					b = escapeByte(b, x, json)
				}
			default:
				b = append(b, s[i:i+size]...)
			}
			i += size
			continue
		}
		i++
	}
	return b
}

func escapeByte(b []byte, c byte, json bool) []byte {
	if json {
		return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
	return append(b, '\\', 'x', hex[c>>4], hex[c&15])
}

// secretKeys are parts of names of query parameters whose values are hidden;
// secretNames are whole ones. It hides too much rather than too little.
var (
	secretKeys  = []string{"token", "secret", "passw", "key", "sig", "auth", "code", "session", "credential", "jwt"}
	secretNames = []string{"pwd", "pass", "pw", "otp", "pin", "sid", "hmac"}
)

// hideSecrets replaces the values of parameters that carry secrets by ***.
func hideSecrets(query string) string {
	var out []byte
	for from := 0; from <= len(query); {
		// Some applications take a semicolon for an ampersand.
		end := from + strings.IndexAny(query[from:], "&;")
		if end < from {
			end = len(query)
		}
		if name, _, ok := strings.Cut(query[from:end], "="); ok && secretName(name) {
			if out == nil {
				out = append(make([]byte, 0, len(query)), query[:from]...)
			}
			out = append(append(out, name...), "=***"...)
		} else if out != nil {
			out = append(out, query[from:end]...)
		}
		if out != nil && end < len(query) {
			out = append(out, query[end])
		}
		from = end + 1
	}
	if out == nil {
		return query
	}
	return string(out)
}

func secretName(name string) bool {
	// A name may be written with percent signs to get past a filter: hide those.
	if strings.Contains(name, "%") {
		return true
	}
	lower := strings.ToLower(name)
	for _, k := range secretKeys {
		if strings.Contains(lower, k) {
			return true
		}
	}
	return slices.Contains(secretNames, lower)
}

// hideReferer hides secrets in the query, the fragment and the user
// information of a Referer.
func hideReferer(r string) string {
	r, _, _ = strings.Cut(r, "#") // RFC 9110 section 10.1.3: it must not be sent
	before, query, hasQuery := strings.Cut(r, "?")
	if scheme, rest, ok := strings.Cut(before, "://"); ok {
		authority, path, hasPath := strings.Cut(rest, "/")
		if i := strings.LastIndexByte(authority, '@'); i >= 0 {
			before = scheme + "://***" + authority[i:]
			if hasPath {
				before += "/" + path
			}
		}
	}
	if !hasQuery {
		return before
	}
	return before + "?" + hideSecrets(query)
}

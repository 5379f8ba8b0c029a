package accesslog

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"edge"
)

// template is a line of the user's own: text with {name} in it, cut up once. What
// clients sent is escaped as in the combined format, so that it can neither end
// quotes nor lines; outside of quotes a space in it becomes "_".
type template []part

type part struct {
	text   string
	value  func([]byte, *edge.RequestEvent) []byte // nil: text
	quoted bool                                    // within quotes of the template
}

// TemplateNames are the names that a template may have.
func TemplateNames() []string {
	names := make([]string, 0, 32)
	for name := range templateValues() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func parseTemplate(s string) (t template, err error) {
	values := templateValues()
	quoted := false
	for s != "" {
		open := strings.IndexByte(s, '{')
		if open < 0 {
			open = len(s)
		}
		if text := s[:open]; text != "" {
			t = append(t, part{text: text})
			quoted = quoted != (strings.Count(text, `"`)%2 == 1)
		}
		if s = s[open:]; s == "" {
			break
		}
		name, rest, ok := strings.Cut(s[1:], "}")
		if values[name] == nil || !ok {
			return nil, fmt.Errorf("access log: template has {%s; names are %s", name, strings.Join(TemplateNames(), ", "))
		}
		t, s = append(t, part{value: values[name], quoted: quoted}), rest
	}
	return t, nil
}

func (t template) append(b []byte, e *edge.RequestEvent) []byte {
	for _, p := range t {
		if p.value == nil {
			b = append(b, p.text...)
			continue
		}
		from := len(b)
		if b = p.value(b, e); len(b) == from {
			b = append(b, '-')
		}
		for i := from; i < len(b) && !p.quoted; i++ {
			if b[i] == ' ' {
				b[i] = '_'
			}
		}
	}
	return append(b, '\n')
}

func templateValues() map[string]func([]byte, *edge.RequestEvent) []byte {
	text := func(get func(*edge.RequestEvent) string) func([]byte, *edge.RequestEvent) []byte {
		return func(b []byte, e *edge.RequestEvent) []byte { return appendEscaped(b, get(e), false) }
	}
	integer := func(get func(*edge.RequestEvent) int64) func([]byte, *edge.RequestEvent) []byte {
		return func(b []byte, e *edge.RequestEvent) []byte { return strconv.AppendInt(b, get(e), 10) }
	}
	length := func(get func(*edge.RequestEvent) time.Duration) func([]byte, *edge.RequestEvent) []byte {
		return func(b []byte, e *edge.RequestEvent) []byte {
			return strconv.AppendFloat(b, get(e).Seconds(), 'f', 6, 64)
		}
	}
	return map[string]func([]byte, *edge.RequestEvent) []byte{
		"time": func(b []byte, e *edge.RequestEvent) []byte {
			return e.Start.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
		},
		"client_ip":         text(func(e *edge.RequestEvent) string { return addr(e.Client) }),
		"remote_ip":         text(func(e *edge.RequestEvent) string { return addr(e.Remote.Addr()) }),
		"user":              text(func(e *edge.RequestEvent) string { return e.User }),
		"method":            text(func(e *edge.RequestEvent) string { return e.Method }),
		"scheme":            text(func(e *edge.RequestEvent) string { return e.Scheme }),
		"host":              text(func(e *edge.RequestEvent) string { return e.Host }),
		"path":              text(func(e *edge.RequestEvent) string { return e.Path }),
		"query":             text(func(e *edge.RequestEvent) string { return hideSecrets(e.Query) }),
		"proto":             text(func(e *edge.RequestEvent) string { return e.Proto }),
		"status":            integer(func(e *edge.RequestEvent) int64 { return int64(e.Status) }),
		"bytes_in":          integer(func(e *edge.RequestEvent) int64 { return e.BytesIn }),
		"bytes_out":         integer(func(e *edge.RequestEvent) int64 { return e.BytesOut }),
		"duration":          length(func(e *edge.RequestEvent) time.Duration { return e.Duration }),
		"ttfb":              length(func(e *edge.RequestEvent) time.Duration { return e.TTFB }),
		"site":              text(func(e *edge.RequestEvent) string { return e.Site }),
		"route":             text(func(e *edge.RequestEvent) string { return e.Route }),
		"request_id":        text(func(e *edge.RequestEvent) string { return e.RequestID }),
		"trace_id":          text(func(e *edge.RequestEvent) string { return e.TraceID }),
		"user_agent":        text(func(e *edge.RequestEvent) string { return e.UserAgent }),
		"referer":           text(func(e *edge.RequestEvent) string { return hideReferer(e.Referer) }),
		"upstream":          text(func(e *edge.RequestEvent) string { return e.Upstream }),
		"upstream_status":   integer(func(e *edge.RequestEvent) int64 { return int64(e.UpstreamStatus) }),
		"upstream_duration": length(func(e *edge.RequestEvent) time.Duration { return e.UpstreamDuration }),
		"attempts":          integer(func(e *edge.RequestEvent) int64 { return int64(e.Attempts) }),
		"limited":           text(func(e *edge.RequestEvent) string { return e.Limited }),
		"encoding":          text(func(e *edge.RequestEvent) string { return e.Encoding }),
		"tls_version": text(func(e *edge.RequestEvent) string {
			if e.TLSVersion == 0 {
				return ""
			}
			return tls.VersionName(e.TLSVersion)
		}),
	}
}

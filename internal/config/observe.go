package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Only says which requests are logged: all that is set has to hold.
type Only struct {
	Status []StatusRange
	Sites  []string // as their first host
	Slower time.Duration
}

// StatusRange are the codes from From to To.
type StatusRange struct{ From, To int }

// Redact says what is left out of the access log, besides what always is.
type Redact struct{ Query, Fields []string }

// Tracing sends spans; empty OTLP: none.
type Tracing struct {
	OTLP    string // URL of the collector
	Sample  float64
	Headers map[string]string // secret
}

// accessKeys are those of log.access beyond its file and format.
func accessKeys() []key {
	return []key{
		float("sample", "1", "part of the requests that is logged; errors (5xx) always are"),
		obj("only", "which requests are logged; all of it has to hold",
			oneOf("status", "", "`404`, `4xx`, `5xx`", text(), key{kind: kInt}, list("", "", "", oneOf("", "", "", text(), key{kind: kInt}))),
			some("site", "", "sites, by their first host"),
			dur("slower", "", "took longer than this")),
		obj("redact", "what is left out, besides what looks like a secret",
			list("query", "", "parameters whose values are left out", text()),
			list("fields", "", "fields that are left out: "+strings.Join(accesslogFields(), ", "), of(text(), accesslogFields()...))),
	}
}

// accesslogFields are the fields that can be left out, as the access log has them.
func accesslogFields() []string {
	return []string{"client_ip", "remote_ip", "user_agent", "referer", "query", "path", "host", "user", "error", "sni"}
}

func tracingKey() key {
	return obj("tracing", "spans for OpenTelemetry",
		must(str("otlp", "", "URL of the collector (OTLP over HTTP): `http://127.0.0.1:4318`")),
		float("sample", "0.01", "part of the requests that begin a trace; a caller's own decision stands"),
		named("headers", "fields that the collector wants", key{kind: kSecret}))
}

func (l *loader) decodeAccess(v value, a *AccessLog) {
	v.once("path").text(&a.Path)
	if f := v.once("format"); f.n != nil && f.n.Kind == yaml.MappingNode {
		f.get("template").text(&a.Format)
		a.Format = "template " + a.Format
	} else {
		f.text(&a.Format)
	}
	if s := v.once("sample"); s.n != nil {
		l.share(s, &a.Sample)
	}
	only := v.once("only")
	for _, s := range strs(only.get("status")) {
		from, to, ok := anyStatus(s)
		if !ok {
			l.at(only.f, only.get("status").n, fmt.Sprintf("%s.status: %q is no status", only.path, shown(s)), "write 404, 4xx or 5xx")
			continue
		}
		a.Only.Status = append(a.Only.Status, StatusRange{from, to})
	}
	a.Only.Sites = strs(only.get("site"))
	only.get("slower").duration(&a.Only.Slower)
	redact := v.once("redact")
	redact.get("query").texts(&a.Redact.Query)
	redact.get("fields").texts(&a.Redact.Fields)
}

// anyStatus is statusRange for all classes.
func anyStatus(s string) (from, to int, ok bool) {
	if len(s) == 3 && strings.HasSuffix(s, "xx") && s[0] >= '1' && s[0] <= '5' {
		from = int(s[0]-'0') * 100
		return from, from + 99, true
	}
	n, ok := plainInt(s)
	return n, n, ok && n >= 100 && n <= 599
}

// share reads a part of all.
func (l *loader) share(v value, to *float64) {
	if v.float(to); *to > 1 {
		l.at(v.f, v.n, fmt.Sprintf("%s: %s is more than all", v.path, v.n.Value), "write 0 to 1")
	}
}

func (l *loader) decodeTracing(v value) {
	if v.n == nil || v.n.Kind != yaml.MappingNode {
		return
	}
	t := &l.cfg.Tracing
	*t = Tracing{Sample: 0.01, Headers: map[string]string{}}
	v.get("otlp").text(&t.OTLP)
	if s := v.get("sample"); s.n != nil {
		l.share(s, &t.Sample)
	}
	for _, p := range v.get("headers").pairs() {
		secret := ""
		l.secret(p.value, &secret)
		t.Headers[p.name] = secret
	}
	u, err := url.Parse(t.OTLP)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		l.at(v.f, v.get("otlp").n, fmt.Sprintf("%s.otlp: %q is not the URL of a collector", v.path, shown(t.OTLP)), "write it as http://127.0.0.1:4318")
	}
}

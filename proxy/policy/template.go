package policy

import (
	"crypto/tls"
	"fmt"
	"strings"
)

// template is a text with placeholders, cut up once.
type template []piece

type piece struct {
	text string
	name string // of a placeholder; "": text
}

// placeholders are what {name} may be.
func placeholders() []string {
	return []string{"client", "remote", "scheme", "host", "method", "path", "query", "request_id", "user", "tls_version",
		"client_cert_subject", "client_cert_issuer", "client_cert_serial", "client_cert_fingerprint", "client_cert_names"}
}

func newTemplate(s string) (template, error) {
	var t template
	for s != "" {
		open := strings.IndexByte(s, '{')
		if open < 0 {
			return append(t, piece{text: s}), nil
		}
		if open > 0 {
			t = append(t, piece{text: s[:open]})
		}
		name, rest, ok := strings.Cut(s[open+1:], "}")
		if !ok || !isPlaceholder(name) {
			return nil, fmt.Errorf("value has {%s: placeholders are {%s}", name, strings.Join(placeholders(), "} {"))
		}
		t, s = append(t, piece{name: name}), rest
	}
	return t, nil
}

func isPlaceholder(name string) bool {
	for _, p := range placeholders() {
		if p == name {
			return true
		}
	}
	return false
}

// expand replaces the placeholders. Control characters from outside become spaces.
func (t template) expand(r *Request, d *Decision) string {
	if len(t) == 1 && t[0].name == "" {
		return t[0].text
	}
	var b strings.Builder
	for _, p := range t {
		if p.name == "" {
			b.WriteString(p.text)
		} else {
			writeClean(&b, placeholder(p.name, r, d))
		}
	}
	return b.String()
}

func writeClean(b *strings.Builder, s string) {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == 0x7f {
			b.WriteByte(' ')
		} else {
			b.WriteByte(c)
		}
	}
}

func placeholder(name string, r *Request, d *Decision) string {
	switch name {
	case "client":
		return d.Client.String()
	case "remote":
		return r.Remote.Addr().Unmap().String()
	case "scheme":
		if r.TLS != 0 {
			return "https"
		}
		return "http"
	case "host":
		host, _, _ := cleanHost(r.Host)
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	case "method":
		return r.Method
	case "path":
		return d.Path
	case "query":
		return d.Query
	case "request_id":
		return r.ID
	case "user":
		return d.User
	case "tls_version":
		if r.TLS != 0 {
			return tls.VersionName(r.TLS)
		}
		return ""
	}
	if r.Cert == nil || !r.Cert.Verified {
		return ""
	}
	switch name {
	case "client_cert_subject":
		return r.Cert.Subject
	case "client_cert_issuer":
		return r.Cert.Issuer
	case "client_cert_serial":
		return r.Cert.Serial
	case "client_cert_fingerprint":
		return r.Cert.Fingerprint
	case "client_cert_names":
		return strings.Join(r.Cert.Names, ",")
	}
	return ""
}

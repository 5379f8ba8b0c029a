package conf

import (
	"regexp"
	"strings"
)

// NameKind is what a name of a server block matches.
type NameKind int

// The kinds are in the order in which they are tried.
const (
	ExactName    NameKind = iota // www.example.org, and "" for requests without a host
	DottedName                   // .example.org: the name and everything below
	LeadingName                  // *.example.org: everything below
	TrailingName                 // www.example.*
	RegexName                    // ~^www\d+\.example\.org$
)

// Name is one name of a server_name directive.
type Name struct {
	// Directive is nil for the "" of a block without server_name.
	Directive *Directive
	// Text is the name as written, without quotes.
	Text string
	Kind NameKind

	// full is the name in lower case, key the same without the wildcard.
	full, key string

	re *regexp.Regexp
	// why says why the regular expression cannot be evaluated here.
	why error
}

func (r *serverReader) serverName(s *Server, d *Directive) error {
	if d.Block != nil || len(d.Args()) == 0 {
		return d.errorf("server_name takes names and no block")
	}
	for _, w := range d.Args() {
		n := Name{Directive: d, Text: w.Value}
		value := w.Value
		if strings.EqualFold(value, "$hostname") && r.env.Hostname != "" {
			value = r.env.Hostname
		}
		if !n.parse(value) {
			return d.File.errorf(w.Start, "server_name: nginx refuses the name %q", w.Value)
		}
		s.Names = append(s.Names, n)
	}
	return nil
}

// parse sorts a name as ngx_http_core_server_name and ngx_hash_add_key do.
func (n *Name) parse(value string) bool {
	if pattern, ok := strings.CutPrefix(value, "~"); ok {
		n.Kind = RegexName
		n.re, n.why = translate(pattern)
		return pattern != ""
	}
	key := lower(value)
	n.full = key
	switch {
	case key == ".", strings.HasPrefix(key, "*") && (len(key) < 3 || key[1] != '.'):
		return false
	case strings.HasPrefix(key, "."):
		n.Kind, n.key = DottedName, key[1:]
	case strings.HasPrefix(key, "*."):
		n.Kind, n.key = LeadingName, key[2:]
	case len(key) > 2 && strings.HasSuffix(key, ".*"):
		n.Kind, n.key = TrailingName, key[:len(key)-2]
	default:
		n.Kind, n.key = ExactName, key
	}
	return true
}

// hashable says whether nginx takes the name into its tables. It only looks once two
// server blocks share a socket.
func (n *Name) hashable() bool {
	stars := strings.Count(n.full, "*")
	return n.Kind == RegexName ||
		!strings.Contains(n.full, "..") && !strings.Contains(n.full, "\x00") && stars <= 1 && (stars == 0 || n.Kind != ExactName)
}

// lower is ngx_tolower: ASCII only.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

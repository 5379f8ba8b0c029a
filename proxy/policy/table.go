package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"edge"
)

// Site is one site of the configuration.
type Site struct {
	Name         string   // label in metrics and logs
	Hosts        []string // exact, "*.suffix" (one label) or "*"; lower case
	TLS          bool     // false: served on plain HTTP only
	MinTLS       uint16   // lowest TLS version, 0: any
	Redirect     int      // plain HTTP to HTTPS: 308, 301, or 0 to serve on both
	Pool         string   // key of the upstream pool
	Host         string   // "keep" (also "") or "upstream"
	UpstreamHost string   // Host header where Host is "upstream"
	// Routes are tried in order; where there are none, everything goes to Pool.
	Routes []Route
	// ClientAuth: requests over TLS need a certificate that was verified by this
	// site's CAs (421 over a connection that was made for another site).
	ClientAuth bool
	// NeedCert: the certificate has to be there and verified, also on a connection
	// that is older than this table (421).
	NeedCert bool

	plain bool // one route, whatever the path
}

// Options are what a Table is built from.
type Options struct {
	Sites     []Site
	Trusted   []netip.Prefix // peers whose X-Forwarded-* are believed
	HTTPSPort string         // port that redirects name; "" or "443": none
}

// Table decides. It is immutable and safe for concurrent use.
type Table struct {
	exact     map[string]*Site
	wildcard  map[string]*Site // by "*.suffix"
	any       *Site
	trusted   []netip.Prefix
	httpsPort string
	names     []string
}

// NewTable builds a Table. The same host twice is an error, as is a route
// that cannot be reached (UnreachableError).
func NewTable(o Options) (*Table, error) {
	t := &Table{exact: map[string]*Site{}, wildcard: map[string]*Site{}, trusted: o.Trusted}
	if o.HTTPSPort != "" && o.HTTPSPort != "443" {
		t.httpsPort = ":" + o.HTTPSPort
	}
	for i := range o.Sites {
		s := o.Sites[i]
		if err := s.compile(); err != nil {
			return nil, err
		}
		t.names = append(t.names, s.Name)
		for _, h := range s.Hosts {
			var twice bool
			switch {
			case h == "*":
				twice = t.any != nil
				t.any = &s
			case strings.HasPrefix(h, "*."):
				_, twice = t.wildcard[h]
				t.wildcard[h] = &s
			default:
				_, twice = t.exact[h]
				t.exact[h] = &s
			}
			if twice {
				return nil, fmt.Errorf("host %s belongs to two sites", h)
			}
		}
	}
	return t, nil
}

// site finds the site of a clean host: exact, then wildcard, then "*".
func (t *Table) site(host string) *Site {
	if s := t.exact[host]; s != nil {
		return s
	}
	if len(t.wildcard) > 0 {
		if i := strings.IndexByte(host, '.'); i > 0 {
			// The key is built on the stack: the map lookup does not keep it.
			var buf [256]byte
			key := append(append(buf[:0], '*'), host[i:]...)
			if s := t.wildcard[string(key)]; s != nil {
				return s
			}
		}
	}
	return t.any
}

// Names lists the sites by name, in the order in which they were given.
func (t *Table) Names() []string { return slices.Clone(t.names) }

// Site returns the name of the site that a host belongs to, or edge.OtherSite.
func (t *Table) Site(host string) string {
	if clean, _, ok := cleanHost(host); ok {
		if s := t.site(clean); s != nil {
			return s.Name
		}
	}
	return edge.OtherSite
}

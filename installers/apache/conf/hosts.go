package conf

import (
	"fmt"
	"slices"
	"strings"
)

// VirtualHost is a <VirtualHost> that counts.
type VirtualHost struct {
	*Node
	Addrs []Addr
	// ServerName is without scheme and port, empty where there is none. Of several, the
	// last one counts.
	ServerName string
	Aliases    []string // in the order of the file; may have * and ?
	// TLS says that connections begin with a handshake: SSLEngine on, or a port that is
	// for HTTPS.
	TLS bool
}

// Addr is an address of a VirtualHost: "*:80", "_default_:443", "[::1]", "127.0.0.1:*".
type Addr struct {
	// Host is a name, an address with brackets for IPv6, * or _default_; Port is empty
	// where none is written, or * for all.
	Host, Port string
}

func (a Addr) String() string {
	if a.Port == "" {
		return a.Host
	}
	return a.Host + ":" + a.Port
}

// AnyPort reports whether the address is for all ports.
func (a Addr) AnyPort() bool { return a.Port == "" || a.Port == "*" }

// ParseAddr splits an argument of <VirtualHost>.
func ParseAddr(s string) Addr {
	if strings.HasPrefix(s, "[") {
		if i := strings.LastIndexByte(s, ']'); i > 0 {
			return Addr{s[:i+1], strings.TrimPrefix(s[i+1:], ":")}
		}
	}
	if host, port, ok := strings.Cut(s, ":"); ok && !strings.Contains(port, ":") {
		return Addr{host, port}
	}
	return Addr{Host: s}
}

// Where returns "file:line", as httpd names a virtual host.
func (v *VirtualHost) Where() string { return fmt.Sprintf("%s:%d", v.File.Path, v.Line) }

// Names returns the ServerName and the aliases, each once, in the order of the file.
func (v *VirtualHost) Names() []string {
	var out []string
	for _, name := range append([]string{v.ServerName}, v.Aliases...) {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// Has reports whether httpd would take a name for one of the virtual host's.
func (v *VirtualHost) Has(name string) bool {
	return strings.EqualFold(v.ServerName, name) ||
		slices.ContainsFunc(v.Aliases, func(a string) bool { return MatchName(a, name) })
}

// MatchName reports whether a name of a virtual host, which may have * and ?, covers a
// name of a host (ap_strcasecmp_match).
func MatchName(pattern, name string) bool {
	return matchStars(strings.ToLower(pattern), strings.ToLower(name))
}

func matchStars(pattern, name string) bool {
	p, n, star, retry := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star < 0:
			return false
		default:
			retry++
			p, n = star+1, retry
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// Hosts returns the virtual hosts in httpd's order.
func (s *Set) Hosts() []*VirtualHost {
	inherited := on(s.Root.All("SSLEngine"))
	https := map[string]bool{"443": true}
	for _, l := range s.Listens() {
		if l.HTTPS {
			https[l.Port] = true
		}
	}
	var out []*VirtualHost
	for _, n := range s.Root.Nodes {
		if n.Block == nil || !n.Is("VirtualHost") {
			continue
		}
		v := &VirtualHost{Node: n}
		for _, a := range n.Values {
			v.Addrs = append(v.Addrs, ParseAddr(a))
		}
		for _, d := range n.All("ServerName") {
			v.ServerName = hostOf(first(d))
		}
		for _, d := range n.All("ServerAlias") {
			v.Aliases = append(v.Aliases, d.Values...)
		}
		engine := n.All("SSLEngine")
		v.TLS = on(engine) || inherited && len(engine) == 0 ||
			slices.ContainsFunc(v.Addrs, func(a Addr) bool { return https[a.Port] })
		out = append(out, v)
	}
	return out
}

func on(engine []*Node) bool {
	return len(engine) > 0 && !strings.EqualFold(first(engine[len(engine)-1]), "off")
}

func first(n *Node) string {
	if len(n.Values) == 0 {
		return ""
	}
	return n.Values[0]
}

// hostOf takes scheme and port off a ServerName.
func hostOf(name string) string {
	if _, rest, ok := strings.Cut(name, "://"); ok {
		name = rest
	}
	return ParseAddr(name).Host
}

// Listen is an address that httpd listens on.
type Listen struct {
	*Node
	Host, Port string // Host is empty for all addresses
	HTTPS      bool   // said by the second argument, or port 443
}

// Listens returns the Listen directives that count.
func (s *Set) Listens() []Listen {
	var out []Listen
	for _, n := range s.Root.All("Listen") {
		a := ParseAddr(first(n))
		if a.Port == "" {
			a = Addr{Port: a.Host}
		}
		if a.Host == "*" {
			a.Host = ""
		}
		https := a.Port == "443"
		if len(n.Values) > 1 {
			https = strings.EqualFold(n.Values[1], "https")
		}
		out = append(out, Listen{n, a.Host, a.Port, https})
	}
	return out
}

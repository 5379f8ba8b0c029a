package conf

import (
	"fmt"
	"net/netip"
	"sync"
)

// Socket is one address that nginx listens on, with the server blocks that share it.
type Socket struct {
	// Addr is the address and port. Where a name is listened on that could not be
	// resolved, Host is that name and Addr has the port alone. Unix is a path.
	Addr netip.AddrPort
	Host string
	Unix string
	// QUIC sockets are UDP and apart from the TCP socket of the same address.
	QUIC bool

	// One listen directive is enough to turn these on for all of the socket.
	SSL, HTTP2, ProxyProtocol bool
	// IPv6Only is nginx's default, true, unless a listen says otherwise.
	IPv6Only bool
	// Servers are in the order in which nginx reads them. Default answers what no name
	// matches; it may still be the first of them only because none is marked.
	Servers []*Server
	Default *Server

	marked, options bool // a default_server is given, options are set
	once            sync.Once
	tables          *tables
}

// String returns the address as listen takes it.
func (s *Socket) String() string {
	switch {
	case s.Unix != "":
		return "unix:" + s.Unix
	case s.Host != "":
		return fmt.Sprintf("%s:%d", s.Host, s.Addr.Port())
	}
	return s.Addr.String()
}

// maxBinds bounds the server blocks of all sockets: a range of ports makes many.
const maxBinds = 1 << 18

// binder joins listen directives to sockets, as ngx_http_add_listen does.
type binder struct {
	http  *HTTP
	byKey map[socketKey]*Socket
	binds int
}

type socketKey struct {
	addr       netip.AddrPort
	host, unix string
	quic       bool
}

func (h *HTTP) bind() {
	b := binder{http: h, byKey: map[socketKey]*Socket{}}
	for _, server := range h.Servers {
		for _, l := range server.Listens {
			b.listen(l, server)
		}
	}
	for _, s := range h.Sockets {
		h.checkNames(s)
		tls := s.TLS()
		for _, server := range s.Servers {
			server.TLS = server.TLS || tls
		}
	}
}

func (b *binder) listen(l Listen, server *Server) {
	for port := int(l.Port); port <= int(l.LastPort); port++ {
		for _, key := range l.sockets(uint16(port)) {
			if b.binds++; b.binds > maxBinds {
				b.refuse(l, server, fmt.Sprintf("more than %d sockets of server blocks are too many", maxBinds))
				return
			}
			b.add(key, l, server)
		}
	}
}

// TLS says whether connections to the socket begin with a handshake. "ssl on", which
// nginx knew until 1.25, counts in the default server.
func (s *Socket) TLS() bool {
	return s.SSL || s.QUIC || s.Default.sslOn()
}

func (s *Server) sslOn() bool {
	on := false
	for _, d := range s.Inherited("ssl") {
		on = len(d.Args()) == 1 && lower(d.Args()[0].Value) == "on"
	}
	return on
}

// sockets are those of a listen on one port.
func (l Listen) sockets(port uint16) []socketKey {
	addrs := l.Addrs
	switch {
	case l.Unix != "":
		return []socketKey{{unix: l.Unix, quic: l.QUIC}}
	case l.Host != "" && len(addrs) == 0:
		return []socketKey{{host: l.Host, addr: netip.AddrPortFrom(netip.Addr{}, port), quic: l.QUIC}}
	case l.Host == "":
		addrs = []netip.Addr{l.Addr}
	}
	var out []socketKey
	for _, a := range addrs {
		out = append(out, socketKey{addr: netip.AddrPortFrom(a, port), quic: l.QUIC})
	}
	return out
}

func (b *binder) add(key socketKey, l Listen, server *Server) {
	s := b.byKey[key]
	if s == nil {
		s = &Socket{Addr: key.addr, Host: key.host, Unix: key.unix, QUIC: key.quic, IPv6Only: true, Default: server}
		b.byKey[key] = s
		b.http.Sockets = append(b.http.Sockets, s)
	}
	// A block that listens twice does so one time after the other.
	if n := len(s.Servers); n > 0 && s.Servers[n-1] == server {
		b.refuse(l, server, "the server block listens twice on "+s.String())
		return
	}
	s.Servers = append(s.Servers, server)
	s.SSL = s.SSL || l.SSL
	s.HTTP2 = s.HTTP2 || l.HTTP2
	s.ProxyProtocol = s.ProxyProtocol || l.ProxyProtocol
	if l.setsOptions() {
		if s.options {
			b.refuse(l, server, "another listen has set options of "+s.String())
		}
		s.options = true
		s.IPv6Only = l.IPv6Only != "off"
	}
	if l.Default {
		if s.marked {
			b.refuse(l, server, "there is a default server already for "+s.String())
		}
		s.marked, s.Default = true, server
	}
}

// refuse keeps the first reason.
func (b *binder) refuse(l Listen, server *Server, why string) {
	d := server.Directive
	if l.Directive != nil {
		d = l.Directive
	}
	if b.http.conflict == nil {
		b.http.conflict = d.errorf("listen: %s", why)
	}
}

// checkNames refuses names that nginx cannot put into its tables, which it makes only
// for sockets with several server blocks.
func (h *HTTP) checkNames(s *Socket) {
	if len(s.Servers) < 2 {
		return
	}
	for _, server := range s.Servers {
		for _, n := range server.Names {
			if !n.hashable() && h.conflict == nil {
				h.conflict = n.Directive.errorf("server_name: nginx refuses the name %q on %s", n.Text, s)
			}
		}
	}
}

// Conflict returns why nginx would refuse the sockets as a whole: two default servers
// for one, the same listen twice, names that it cannot use. It is nil if it would not.
func (h *HTTP) Conflict() error { return h.conflict }

// Socket returns the TCP socket that takes a connection to an address of this machine,
// nil when there is none. A specific address wins over a wildcard; a wildcard of IPv6
// takes IPv4 as well if it says ipv6only=off.
func (h *HTTP) Socket(to netip.AddrPort) *Socket {
	var best *Socket
	rank := 0
	addr := to.Addr().Unmap()
	for _, s := range h.Sockets {
		if s.Unix != "" || s.Host != "" || s.QUIC || s.Addr.Port() != to.Port() {
			continue
		}
		r := 0
		switch a := s.Addr.Addr(); {
		case a == addr:
			r = 3
		case a.IsUnspecified() && a.Is4() == addr.Is4():
			r = 2
		case a == netip.IPv6Unspecified() && addr.Is4() && !s.IPv6Only:
			r = 1
		}
		if r > rank {
			best, rank = s, r
		}
	}
	return best
}

// unresolved returns a socket for a name that may be an address at the port.
func (h *HTTP) unresolved(port uint16) *Socket {
	for _, s := range h.Sockets {
		if s.Host != "" && !s.QUIC && s.Addr.Port() == port {
			return s
		}
	}
	return nil
}

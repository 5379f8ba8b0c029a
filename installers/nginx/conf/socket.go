package conf

import (
	"fmt"
	"net/netip"
	"slices"
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

// bind joins the listen directives to sockets, as ngx_http_add_listen does.
func (h *HTTP) bind() {
	for _, server := range h.Servers {
		for _, l := range server.Listens {
			for port := int(l.Port); port <= int(l.LastPort); port++ {
				for _, s := range l.sockets(uint16(port)) {
					h.add(s, l, server)
				}
			}
		}
	}
	for _, s := range h.Sockets {
		h.checkNames(s)
		for _, server := range s.Servers {
			server.TLS = server.TLS || s.TLS()
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

// sockets are those of a listen on one port, empty ones.
func (l Listen) sockets(port uint16) []Socket {
	switch {
	case l.Unix != "":
		return []Socket{{Unix: l.Unix, QUIC: l.QUIC}}
	case l.Host != "" && len(l.Addrs) == 0:
		return []Socket{{Host: l.Host, Addr: netip.AddrPortFrom(netip.Addr{}, port), QUIC: l.QUIC}}
	case l.Host != "":
		var out []Socket
		for _, a := range l.Addrs {
			out = append(out, Socket{Addr: netip.AddrPortFrom(a.Unmap(), port), QUIC: l.QUIC})
		}
		return out
	}
	return []Socket{{Addr: netip.AddrPortFrom(l.Addr, port), QUIC: l.QUIC}}
}

func (h *HTTP) add(like Socket, l Listen, server *Server) {
	i := slices.IndexFunc(h.Sockets, func(s *Socket) bool {
		return s.Addr == like.Addr && s.Host == like.Host && s.Unix == like.Unix && s.QUIC == like.QUIC
	})
	if i < 0 {
		like.IPv6Only, like.Default = true, server
		h.Sockets = append(h.Sockets, &like)
		i = len(h.Sockets) - 1
	}
	s := h.Sockets[i]
	if slices.Contains(s.Servers, server) {
		h.refuse(l, server, "listens on %s twice", s)
		return
	}
	s.Servers = append(s.Servers, server)
	s.SSL = s.SSL || l.SSL
	s.HTTP2 = s.HTTP2 || l.HTTP2
	s.ProxyProtocol = s.ProxyProtocol || l.ProxyProtocol
	if l.setsOptions() {
		if s.options {
			h.refuse(l, server, "sets options of %s, which another listen does already", s)
		}
		s.options = true
		s.IPv6Only = l.IPv6Only != "off"
	}
	if l.Default {
		if s.marked {
			h.refuse(l, server, "is a second default server for %s", s)
		}
		s.marked, s.Default = true, server
	}
}

func (h *HTTP) refuse(l Listen, server *Server, format string, s *Socket) {
	d := server.Directive
	if l.Directive != nil {
		d = l.Directive
	}
	if h.conflict == nil {
		h.conflict = d.errorf("the server block "+format+"; nginx refuses that", s)
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

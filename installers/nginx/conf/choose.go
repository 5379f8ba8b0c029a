package conf

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Choice is the answer of a server block to a name.
type Choice struct {
	Server *Server
	Socket *Socket
	// Name is what matched; nil when the server answers as the default of the socket.
	Name *Name
	// TLS is the block whose certificate is shown: the chosen one, or the default of the
	// socket where the chosen one has none.
	TLS *Server
}

// UndecidedError says that several server blocks may answer, and that only nginx can
// tell which one.
type UndecidedError struct {
	Host       string
	Candidates []*Server
	// Place is where what cannot be evaluated is written, Text what is written there.
	Place, Text string
	Err         error
}

func (e *UndecidedError) Error() string {
	var where []string
	for _, s := range e.Candidates {
		where = append(where, s.Directive.Place())
	}
	return fmt.Sprintf("choose a server block for %q: %s: %q cannot be evaluated: %v; it may be any of those at %s; name the host literally in server_name",
		e.Host, e.Place, e.Text, e.Err, strings.Join(where, ", "))
}

// Unwrap returns why.
func (e *UndecidedError) Unwrap() error { return e.Err }

// ErrNoSocket says that nginx does not listen on an address.
var ErrNoSocket = errors.New("nginx does not listen there")

// Choose returns the server block that nginx lets answer a request for host, by SNI or
// by the Host header, that arrives at an address of this machine. It returns Conflict
// if there is one, ErrNoSocket, or an *UndecidedError.
func (h *HTTP) Choose(to netip.AddrPort, host string) (Choice, error) {
	if h.conflict != nil {
		return Choice{}, h.conflict
	}
	s := h.Socket(to)
	if u := h.unresolved(to.Port()); u != nil {
		candidates := u.Servers
		if s != nil {
			candidates = append(candidates[:len(candidates):len(candidates)], s.Servers...)
		}
		l := u.Servers[0].listenOn(u.Host)
		return Choice{}, &UndecidedError{host, candidates, l.Directive.Place(), l.Text, errors.New("the name in listen is not resolved")}
	}
	if s == nil {
		return Choice{}, fmt.Errorf("choose a server block for %q at %s: %w", host, to, ErrNoSocket)
	}
	return h.ChooseOn(s, host)
}

func (s *Server) listenOn(host string) Listen {
	for _, l := range s.Listens {
		if l.Host == host {
			return l
		}
	}
	return Listen{}
}

// ChooseOn is Choose for a socket that is known, a Unix or QUIC one for example.
func (h *HTTP) ChooseOn(s *Socket, host string) (Choice, error) {
	if h.conflict != nil {
		return Choice{}, h.conflict
	}
	name, err := cleanHost(host)
	if err != nil {
		return Choice{}, fmt.Errorf("choose a server block for %q: %w", host, err)
	}
	server, matched := s.byTable(name)
	if server == nil && name != "" {
		server, matched, err = s.byRegex(name)
	}
	if err != nil {
		return Choice{}, err
	}
	if server == nil {
		server, matched = s.Default, nil
	}
	c := Choice{Server: server, Socket: s, Name: matched, TLS: server}
	if len(server.Inherited("ssl_certificate")) == 0 {
		c.TLS = s.Default
	}
	return c, nil
}

var errInvalidHost = errors.New("this is not a host name that nginx accepts")

// cleanHost does what ngx_http_validate_host does to a name: lower case, without port
// and without the dot at the end. Newer nginx refuses more bytes than older; those
// that any of them refuses are refused here.
func cleanHost(host string) (string, error) {
	if rest, ok := strings.CutPrefix(host, "["); ok {
		addr, after, closed := strings.Cut(rest, "]")
		if !closed || after != "" && after[0] != ':' {
			return "", errInvalidHost
		}
		host = "[" + addr + "]"
	} else {
		host, _, _ = strings.Cut(host, ":")
	}
	for i := 0; i < len(host); i++ {
		if c := host[i]; !isAlnum(c) && strings.IndexByte("-._~!$&'()*+,;=%[]:", c) < 0 {
			return "", errInvalidHost
		}
	}
	if strings.Contains(host, "..") || host == "." {
		return "", errInvalidHost
	}
	return lower(strings.TrimSuffix(host, ".")), nil
}

// byRegex tries the regular expressions in the order of the file. One that cannot be
// evaluated is an error unless what follows leads to the same server block.
func (s *Socket) byRegex(host string) (*Server, *Name, error) {
	var unknown *Name
	var candidates []*Server
	for _, server := range s.Servers {
		for i := range server.Names {
			n := &server.Names[i]
			switch {
			case n.Kind != RegexName:
			case n.re == nil:
				if unknown == nil {
					unknown = n
				}
				candidates = appendNew(candidates, server)
			case n.re.MatchString(host):
				return decided(host, unknown, candidates, server, n)
			}
		}
	}
	if unknown == nil {
		return nil, nil, nil
	}
	return decided(host, unknown, candidates, s.Default, nil)
}

func decided(host string, unknown *Name, candidates []*Server, server *Server, n *Name) (*Server, *Name, error) {
	candidates = appendNew(candidates, server)
	if len(candidates) > 1 {
		return nil, nil, &UndecidedError{host, candidates, unknown.Directive.Place(), unknown.Text, unknown.why}
	}
	if unknown != nil {
		n = unknown
	}
	return server, n, nil
}

func appendNew(list []*Server, s *Server) []*Server {
	for _, have := range list {
		if have == s {
			return list
		}
	}
	return append(list, s)
}

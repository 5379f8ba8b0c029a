package conf

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Listen is a listen directive of a server block.
type Listen struct {
	// Directive is nil for the *:80 of a block that has no listen.
	Directive *Directive
	// Text is what to listen on, as written; Params are the words behind it.
	Text   string
	Params []string
	// Addr is set for an address, Host for a name that has to be resolved, Unix for a
	// socket of the file system.
	Addr netip.Addr
	Host string
	Unix string
	// Port and LastPort are a range, mostly of one.
	Port, LastPort uint16
	// Addrs are what Host resolved to.
	Addrs []netip.Addr

	SSL, HTTP2, QUIC, Default, ProxyProtocol bool
	// IPv6Only is "on", "off", or "" where it is not said.
	IPv6Only string
}

// set says whether a parameter makes options of the socket, which only one listen of an
// address may do.
func (l Listen) setsOptions() bool {
	for _, p := range l.Params {
		name, _, _ := strings.Cut(p, "=")
		switch name {
		case "bind", "setfib", "fastopen", "backlog", "rcvbuf", "sndbuf", "deferred",
			"ipv6only", "reuseport", "so_keepalive", "multipath":
			return true
		}
	}
	return false
}

func (r *serverReader) listen(s *Server, d *Directive) error {
	if d.Block != nil || len(d.Args()) == 0 {
		return d.errorf("listen takes an address and no block")
	}
	l := Listen{Directive: d, Text: d.Args()[0].Value, Params: d.Values()[1:]}
	if err := l.parse(); err != nil {
		return d.errorf("listen %s: %w", l.Text, err)
	}
	for _, p := range l.Params {
		switch p {
		case "ssl":
			l.SSL = true
		case "http2":
			l.HTTP2 = true
		case "quic":
			l.QUIC = true
		case "default_server", "default":
			l.Default = true
		case "proxy_protocol":
			l.ProxyProtocol = true
		case "ipv6only=on":
			l.IPv6Only = "on"
		case "ipv6only=off":
			l.IPv6Only = "off"
		}
	}
	if l.Host != "" && r.env.Resolve != nil {
		// What cannot be resolved now fails when it is needed.
		addrs, _ := r.env.Resolve(l.Host)
		for _, a := range addrs {
			l.Addrs = append(l.Addrs, a.Unmap())
		}
	}
	s.Listens = append(s.Listens, l)
	return nil
}

var (
	errHost  = errors.New("nginx takes this for an invalid host")
	errNone  = errors.New("there is no host before the port")
	errPort  = errors.New("the port is not a number from 1 to 65535")
	errRange = errors.New("the range of ports ends before it begins")
	errUnix  = errors.New("there is no path")
	errIPv6  = errors.New("this is not an IPv6 address")
)

// parse takes the text apart as ngx_parse_url does for listen.
func (l *Listen) parse() error {
	text := l.Text
	if len(text) >= 5 && strings.EqualFold(text[:5], "unix:") {
		if l.Unix = text[5:]; l.Unix == "" {
			return errUnix
		}
		return nil
	}
	if strings.HasPrefix(text, "[") {
		return l.parseIPv6(text[1:])
	}
	if strings.ContainsAny(text, "/?") {
		return errHost
	}
	host, ports, found := strings.Cut(text, ":")
	if !found {
		// Digits alone, or a range of them, are a port.
		first, last, isRange := strings.Cut(text, "-")
		if isDigits(first) && (!isRange || isDigits(last)) {
			l.Addr = netip.IPv4Unspecified()
			return l.parsePorts(text)
		}
		ports = "80"
	}
	if err := l.parsePorts(ports); err != nil {
		return err
	}
	switch addr, ok := parseIPv4(host); {
	case host == "":
		return errNone
	case host == "*":
		l.Addr = netip.IPv4Unspecified()
	case ok:
		l.Addr = addr
	default:
		l.Host = host
	}
	return nil
}

func (l *Listen) parseIPv6(text string) error {
	host, ports, closed := strings.Cut(text, "]")
	if !closed || strings.Contains(ports, "/") || ports != "" && ports[0] != ':' {
		return errHost
	}
	if ports == "" {
		ports = ":80"
	}
	if err := l.parsePorts(ports[1:]); err != nil {
		return err
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return errIPv6
	}
	l.Addr = addr
	return nil
}

func (l *Listen) parsePorts(text string) error {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	var ok, okLast bool
	l.Port, ok = parsePort(first)
	l.LastPort, okLast = parsePort(last)
	switch {
	case !ok || !okLast:
		return errPort
	case l.LastPort < l.Port:
		return errRange
	}
	return nil
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func parsePort(s string) (uint16, bool) {
	if !isDigits(s) {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0
}

// parseIPv4 is ngx_inet_addr: four numbers of at most 255, of which any may be missing.
func parseIPv4(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, p := range parts {
		if p == "" {
			continue
		}
		n, err := strconv.ParseUint(p, 10, 64)
		if err != nil || n > 255 || !isDigits(p) {
			return netip.Addr{}, false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}

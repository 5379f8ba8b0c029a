package apache

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"edge/installers/apache/conf"
)

// addresses are where a site answers.
func (p *planner) addresses(s *site) []string {
	if s.twin == nil {
		return p.hostAddresses(s.host, 0)
	}
	v := &conf.VirtualHost{}
	for _, a := range s.host.Addrs {
		a.Port = fmt.Sprint(p.r.HTTPSPort)
		v.Addrs = append(v.Addrs, a)
	}
	return p.hostAddresses(v, 0)
}

// hostAddresses are where a virtual host answers, of all ports or of one: where both one
// of its addresses and a Listen meet, and no other virtual host is closer.
func (p *planner) hostAddresses(v *conf.VirtualHost, port uint16) []string {
	var out []string
	for _, a := range v.Addrs {
		for _, l := range p.listening {
			if !a.AnyPort() && a.Port != l.Port || port != 0 && l.Port != fmt.Sprint(port) {
				continue
			}
			if addr := p.reaches(a.Host, l); addr != "" && !slices.Contains(out, addr) {
				out = append(out, addr)
			}
		}
	}
	return out
}

// reaches is an address that leads through a Listen to the virtual hosts of a host of
// <VirtualHost>, empty where none does from here.
func (p *planner) reaches(host string, l conf.Listen) string {
	at := host
	switch {
	case isAny(host) && isAny(l.Host):
		return p.loopback(l)
	case isAny(host):
		if at = l.Host; p.taken[at+" "+l.Port] || p.taken[at+" *"] {
			return "" // httpd asks those for all addresses only where none is for this one
		}
	case l.Host == "0.0.0.0" && strings.HasPrefix(host, "["):
		return ""
	case isAny(l.Host) || host == l.Host:
	default:
		return ""
	}
	at = strings.Trim(at, "[]")
	if ip, err := netip.ParseAddr(at); err == nil && !slices.Contains(p.local, ip) && !ip.IsLoopback() {
		return "" // nothing can arrive there, as on the other one of two machines
	}
	return net.JoinHostPort(at, l.Port)
}

// maxLoopback bounds the addresses of 127.0.0.0/8 that are tried; all of them lead to
// this machine.
const maxLoopback = 254

// loopback is an address of this machine that leads to what is for all addresses, and to
// nothing that is for this one alone.
func (p *planner) loopback(l conf.Listen) string {
	taken := func(host string) bool {
		return p.taken[host+" "+l.Port] || p.taken[host+" *"] ||
			slices.ContainsFunc(p.listening, func(k conf.Listen) bool { return k.Host == host && k.Port == l.Port })
	}
	if l.Host == "[::]" && slices.Contains(p.local, netip.IPv6Loopback()) {
		if !taken("[::1]") {
			return net.JoinHostPort("::1", l.Port)
		}
		p.warnOnce(fmt.Sprintf("What Apache shows at [::]:%[1]s is not looked at: [::1]:%[1]s, where it could be seen, is another virtual host's", l.Port))
		return ""
	}
	if !taken("127.0.0.1") {
		return "*:" + l.Port
	}
	for i := 2; i <= maxLoopback; i++ {
		if host := fmt.Sprintf("127.0.0.%d", i); !taken(host) {
			return net.JoinHostPort(host, l.Port)
		}
	}
	p.warnOnce(fmt.Sprintf("What Apache shows at *:%s is not looked at: all addresses where it could be seen are other virtual hosts'", l.Port))
	return ""
}

func (p *planner) warnOnce(text string) {
	if !slices.Contains(p.plan.Warnings, text) {
		p.plan.Warnings = append(p.plan.Warnings, text)
	}
}

// findTaken notes the addresses that virtual hosts have for themselves, with their ports.
func (p *planner) findTaken() {
	p.listening, p.taken = p.set.Listens(), map[string]bool{}
	for _, v := range p.hosts {
		for _, a := range v.Addrs {
			port := a.Port
			if a.AnyPort() {
				port = "*"
			}
			switch {
			case strings.EqualFold(a.Host, "localhost"):
				p.taken["127.0.0.1 "+port], p.taken["[::1] "+port] = true, true
			case !isAny(a.Host):
				p.taken[a.Host+" "+port] = true
			}
		}
	}
}

// isAny reports whether a host of <VirtualHost> or Listen is all addresses.
func isAny(host string) bool {
	return slices.Contains([]string{"", "*", "_default_", "0.0.0.0", "[::]"}, host)
}

// localAddresses are those of this machine.
func localAddresses() []netip.Addr {
	var out []netip.Addr
	addrs, _ := net.InterfaceAddrs() // none can be asked then
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, prefix.Addr())
		}
	}
	return out
}

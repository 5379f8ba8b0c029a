package apache

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/apache/conf"
)

// maxWatched bounds how many sites of others are looked at before and after.
const maxWatched = 100

// verify says where the certificate has to be shown, and where nothing may change. What
// the configuration comes to is asked, not what was meant.
func (p *planner) verify(next *conf.Set) {
	p.hosts, p.set = next.Hosts(), next
	mine := map[string]bool{}
	for _, s := range p.targets {
		for _, name := range s.names {
			shown := name
			if strings.HasPrefix(name, "*.") {
				i := slices.IndexFunc(s.host.Names(), func(n string) bool { return !strings.ContainsAny(n, "*?") && conf.MatchName(name, n) })
				if i < 0 {
					continue
				}
				shown = s.host.Names()[i]
			}
			addrs := p.addresses(s)
			if len(addrs) == 0 {
				p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf("%s: Apache does not listen on an address of this machine for the virtual host in %s; whether it shows the certificate cannot be seen from here", shown, s.path))
			}
			for _, addr := range addrs {
				mine[addr+" "+shown] = true
				e := installers.Endpoint{Addr: addr, Name: shown}
				if p.r.Deploy {
					p.plan.Serves = append(p.plan.Serves, e)
				} else {
					p.plan.Watch = append(p.plan.Watch, e)
				}
			}
		}
	}
	for _, check := range p.checks {
		check()
	}
	for _, v := range p.hosts {
		if !v.TLS || v.ServerName == "" || p.changesAnyway(v) || slices.ContainsFunc(p.targets, func(s *site) bool { return covered(s.allNames(), v.ServerName) }) {
			continue
		}
		for _, addr := range p.hostAddresses(v, 0) {
			if key := addr + " " + v.ServerName; !mine[key] && len(p.plan.Watch) < maxWatched {
				mine[key] = true
				p.plan.Watch = append(p.plan.Watch, installers.Endpoint{Addr: addr, Name: v.ServerName})
			}
		}
	}
}

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
// of its addresses and a Listen meet.
func (p *planner) hostAddresses(v *conf.VirtualHost, port uint16) []string {
	var out []string
	for _, a := range v.Addrs {
		host := a.Host
		if host == "_default_" || host == "*" {
			host = ""
		}
		for _, l := range p.set.Listens() {
			if !a.AnyPort() && a.Port != l.Port || port != 0 && l.Port != fmt.Sprint(port) {
				continue
			}
			at := host
			switch {
			case l.Host == "" || l.Host == "0.0.0.0" || l.Host == "[::]":
			case host == "" || host == l.Host:
				at = l.Host
			default:
				continue
			}
			addr := net.JoinHostPort(strings.Trim(at, "[]"), l.Port)
			if ip, err := netip.ParseAddr(strings.Trim(at, "[]")); err == nil && !slices.Contains(p.local, ip) && !ip.IsLoopback() {
				continue // nothing can arrive there, as on the other one of two machines
			}
			if at == "" {
				addr = "*:" + l.Port
			}
			if !slices.Contains(out, addr) {
				out = append(out, addr)
			}
		}
	}
	return out
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

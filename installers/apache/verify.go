package apache

import (
	"fmt"
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
	p.findTaken()
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
	isFor := p.certified()
	for _, v := range p.hosts {
		if !v.TLS || v.ServerName == "" || p.changesAnyway(v) || p.shadows(v.ServerName, isFor) {
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

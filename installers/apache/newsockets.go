package apache

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"edge/installers/apache/conf"
	"edge/internal/portholder"
)

// httpds are what processes of httpd are called.
var httpds = []string{"apache2", "httpd"}

// checkNewSockets finds other programs where httpd is going to listen: configtest does not
// mind them, and httpd ends when it reloads and cannot listen.
func (p *planner) checkNewSockets(next *conf.Set) error {
	for _, l := range next.Listens() {
		same := func(k conf.Listen) bool { return k.Host == l.Host && k.Port == l.Port }
		if slices.ContainsFunc(p.listens, same) {
			continue
		}
		var addr netip.Addr // all of them
		if l.Host != "" {
			var err error
			if addr, err = netip.ParseAddr(strings.Trim(l.Host, "[]")); err != nil {
				continue // a name
			}
		}
		port, err := netip.ParseAddrPort("[::]:" + l.Port)
		if err != nil {
			continue // Test says so
		}
		for _, holder := range portholder.At(addr, int(port.Port())) {
			if !slices.Contains(httpds, holder.Command) {
				return fmt.Errorf("Apache is to listen on port %s, where %s (pid %d) does; stop that, or choose another port", l.Port, holder.Command, holder.PID)
			}
		}
	}
	return nil
}

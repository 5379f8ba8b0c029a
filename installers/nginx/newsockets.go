package nginx

import (
	"fmt"
	"path/filepath"
	"slices"

	"edge/internal/portholder"
)

// checkNewSockets finds other programs where nginx is going to listen: nginx -t does not
// mind them, and the reload fails then.
func (n *Nginx) checkNewSockets(before, after *site) error {
	for _, s := range after.http.Sockets {
		if !reachable(s) || s.QUIC {
			continue
		}
		known := before.http.Socket(s.Addr)
		if known != nil && known.Addr == s.Addr {
			continue
		}
		for _, p := range portholder.At(s.Addr.Addr(), int(s.Addr.Port())) {
			if p.Command != filepath.Base(n.ctl) && !slices.Contains(programs, p.Command) {
				return fmt.Errorf("nginx is to listen on %s, where %s (pid %d) does; stop that, or choose another port", s, p.Command, p.PID)
			}
		}
	}
	return nil
}

package nginx

import (
	"net/netip"
	"slices"

	"edge/installers/nginx/conf"
)

// reachable says whether connections to a socket can be made: not where it is one of the
// file system, or one whose name is not known here.
func reachable(s *conf.Socket) bool { return s.Unix == "" && s.Host == "" }

// reach is where to connect to so that the socket answers, in each of the configurations.
// Where all addresses are listened on, that is one of the loopback which no other socket
// has: nginx prefers the more specific one.
func reach(s *conf.Socket, in ...*conf.HTTP) (addr string, ok bool) {
	if !reachable(s) {
		return "", false
	}
	if !s.Addr.Addr().IsUnspecified() {
		return s.Addr.String(), true
	}
	for i, a := range loopbacks(s.Addr.Addr()) {
		to := netip.AddrPortFrom(a, s.Addr.Port())
		other := func(h *conf.HTTP) bool {
			got := h.Socket(to)
			return got == nil || got.Addr != s.Addr
		}
		switch {
		case slices.ContainsFunc(in, other):
		case i == 0:
			return s.Addr.String(), true // whoever connects asks the loopback
		default:
			return to.String(), true
		}
	}
	return "", false
}

// loopbacks are addresses that arrive at any address of a family, the usual one first. Linux
// has all of 127.0.0.0/8. IPv4 may arrive at IPv6, the other way it cannot.
func loopbacks(any netip.Addr) []netip.Addr {
	var out []netip.Addr
	if any.Is6() {
		out = append(out, netip.IPv6Loopback())
	}
	for i := range byte(254) {
		out = append(out, netip.AddrFrom4([4]byte{127, 0, 0, i + 1}))
	}
	return out
}

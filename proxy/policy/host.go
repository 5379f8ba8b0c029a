package policy

import (
	"net/netip"
	"strings"

	"edge"
)

// cleanHost checks a Host header or :authority strictly and returns the host
// without port, lower case, no trailing dot; IPv6 without brackets. A host that
// is clean already costs no allocation. ok is false for anything that RFC 9112
// section 3.2 makes a bad request: user information, a path, spaces, non-ASCII
// characters, a port that is no number.
func cleanHost(h string) (host, port string, ok bool) {
	if h == "" || len(h) > 262 { // 255 and a port
		return "", "", false
	}
	if h[0] == '[' {
		end := strings.IndexByte(h, ']')
		if end < 0 {
			return "", "", false
		}
		addr, err := netip.ParseAddr(h[1:end])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", "", false
		}
		port, ok = cutPort(h[end+1:])
		return addr.String(), port, ok
	}
	if i := strings.IndexByte(h, ':'); i >= 0 {
		if port, ok = cutPort(h[i:]); !ok {
			return "", "", false
		}
		h = h[:i]
	}
	if name, ok := edge.CleanName(h); ok {
		return name, port, true
	}
	if addr, err := netip.ParseAddr(h); err == nil && addr.Is4() {
		return h, port, true
	}
	return "", "", false
}

// cutPort accepts "", or ":" and a port number.
func cutPort(s string) (string, bool) {
	if s == "" {
		return "", true
	}
	if s[0] != ':' || len(s) < 2 || len(s) > 6 {
		return "", false
	}
	n := 0
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return "", false
		}
		n = n*10 + int(c-'0')
	}
	return s[1:], n > 0 && n < 65536
}

package acmeglue

import (
	"crypto/tls"
	"net"
	"net/netip"

	"edge"
)

// Certificate chooses the certificate for a handshake: exact name, wildcard, on
// demand, default site. Without any, the error wraps edge.ErrNoCertificate. The
// name is lower case, or empty where the client sent none. For names that have
// a certificate it is one map read (two for wildcards): no lock, no allocation,
// no storage. It honours hello.Context().
func (m *Manager) Certificate(name string, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	v, now := m.view.Load(), m.clock.Load()
	s := v.exact[name]
	if s == nil {
		s = v.wild[suffix(name)]
	}
	if s != nil {
		if c := s.live.Load(); c != nil && c.notAfter > now {
			s.touch(now)
			return &c.Certificate, nil
		}
	}
	return m.choose(v, name, hello)
}

// choose is the way of Certificate for names whose certificate is not at hand.
func (m *Manager) choose(v *view, name string, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if edge.IsACMEInvalid(name) {
		// Whoever answers for such a name proves control of another: never the
		// default site, nor a pair that somebody configured for "*".
		return nil, edge.ErrNoCertificate
	}
	var addr netip.Addr
	exact, wild := v.exact[name], v.wild[suffix(name)]
	if name == "" {
		if addr = localAddr(hello); addr.IsValid() {
			exact = v.addrs[addr]
			name = addr.String()
		}
	}
	for _, s := range []*slot{exact, wild, v.catchAll} {
		if c := m.ready(s, true); c != nil {
			return c, nil
		}
	}

	r := v.rule(name)
	if addr.IsValid() {
		if r = v.rules["*"]; r != nil && !r.AllowIP {
			r = nil
		}
	}
	// A name that the configuration has is not also a stranger's.
	known := exact != nil && exact.snapshot().source != edge.SourceOnDemand || exact == nil && wild != nil
	var err error = edge.ErrNoCertificate
	if r != nil && !known {
		var c *tls.Certificate
		if c, err = m.onDemand(r, name, addr.IsValid(), hello); err == nil {
			return c, nil
		}
	}
	// An expired certificate tells the client more than an alert does.
	for _, s := range []*slot{exact, wild} {
		if c := m.ready(s, false); c != nil {
			return c, nil
		}
	}
	if isRefusal(err) {
		for _, s := range v.fallback {
			if c := m.ready(s, false); c != nil {
				return c, nil
			}
		}
	}
	return nil, err
}

// ready is the certificate of a slot, which may be nil, read from storage where
// that was not done yet.
func (m *Manager) ready(s *slot, valid bool) *tls.Certificate {
	if s == nil {
		return nil
	}
	c := s.live.Load()
	if c == nil {
		m.loadSlot(m.ctx, s)
		c = s.live.Load()
	}
	now := m.clock.Load()
	if c == nil || valid && c.notAfter <= now {
		return nil
	}
	s.touch(now)
	return &c.Certificate
}

// localAddr is the address that the client connected to, invalid where it
// cannot be known.
func localAddr(hello *tls.ClientHelloInfo) netip.Addr {
	if hello == nil || hello.Conn == nil {
		return netip.Addr{}
	}
	a, ok := hello.Conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap().WithZone("")
}

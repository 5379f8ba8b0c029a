package proxy

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"edge"
)

// accept takes connections from l until it is closed. Running out of file
// descriptors or memory is waited out, with a growing pause: the connections in
// flight will give some back.
func (s *Server) accept(l *listener) {
	defer s.wg.Done()
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			s.admit(l, nc)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if pause == 0 {
			s.log.Error("cannot accept connections; is LimitNOFILE too low?", "listener", l.address, "error", err)
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-s.stopping:
			return
		}
	}
}

// admit counts a new connection in, or turns it away, and starts serving it.
func (s *Server) admit(l *listener, nc net.Conn) {
	r := l.role.Load()
	c := &conn{Conn: nc, srv: s, listener: r.name, tls: r == roleHTTPS, remote: addrPort(nc.RemoteAddr()), opened: time.Now()}
	switch r {
	case roleHTTPS:
	case roleHTTP:
		c.proto = "http/1.1"
	default:
		c.proto = "tcp"
	}
	set := s.state.Load().set
	c.awaits = announces(set.ProxyProtocol, c.remote.Addr())
	if c.awaits || r == roleHTTPS && len(set.Passthrough) > 0 || r.tcp != nil && len(r.tcp.BySNI) > 0 {
		c.Conn = &replayed{Conn: nc}
	}
	st, reason := s.remember(c)
	switch {
	case reason != "":
		s.turnAway(c, reason)
	case c.awaits:
		s.wg.Go(func() {
			if s.announced(c, st) {
				s.enter(c, st, r)
			}
		})
	default:
		s.enter(c, st, r)
	}
}

// turnAway reports why a connection is not served, and closes it.
func (s *Server) turnAway(c *conn, reason string) {
	s.obs.Conn(&edge.ConnEvent{Listener: c.listener, Remote: c.remote, Refused: reason})
	c.Conn.Close()
	s.forget(c)
}

// enter serves a connection whose client is known.
func (s *Server) enter(c *conn, st *state, r *role) {
	c.open()
	switch {
	case r == roleHTTP:
		st.engine.serve(newGuard(c, c, st.engine.limits))
	case r == roleHTTPS:
		s.wg.Go(func() {
			if len(st.set.Passthrough) == 0 || !s.passThrough(c, st) {
				s.handshake(c, st)
			}
		})
	default:
		s.wg.Go(func() { s.forwardTCP(c, st, r.tcp) })
	}
}

// remember enters c in the set of open connections and ties it to the live
// state's engine, at once, so that the engine is not taken for unused meanwhile.
// It returns why c was turned away, or "".
func (s *Server) remember(c *conn) (st *state, refused string) {
	s.connMu.Lock()
	defer s.connMu.Unlock()
	st = s.state.Load()
	c.engine, c.stall = st.engine, st.engine.limits.WriteStall
	if s.closing {
		return st, "shutdown"
	}
	if !c.awaits && !s.countAddress(c) {
		return st, "connections_per_address"
	}
	if most := st.engine.limits.Connections; most > 0 && len(s.conns) >= most && !s.squeeze(c) {
		s.uncountAddress(c)
		return st, "connections"
	}
	s.conns[c] = struct{}{}
	return st, ""
}

// forget takes c out again. It may be called more than once.
func (s *Server) forget(c *conn) {
	s.connMu.Lock()
	defer s.connMu.Unlock()
	delete(s.conns, c)
	s.uncountAddress(c)
	if c.spare {
		s.unspare(c)
	}
}

// countAddress counts c for its client's address, unless that has as many as it may.
func (s *Server) countAddress(c *conn) bool {
	most := c.engine.limits.ConnectionsPerAddress
	who := clientBlock(c.remote.Addr())
	if most > 0 && s.perAddress[who] >= most {
		return false
	}
	s.perAddress[who]++
	c.block = who
	return true
}

func (s *Server) uncountAddress(c *conn) {
	if !c.block.IsValid() {
		return
	}
	if s.perAddress[c.block]--; s.perAddress[c.block] <= 0 {
		delete(s.perAddress, c.block)
	}
	c.block = netip.Addr{}
}

// clientBlock is what one client can be assumed to own: an IPv4 address, or a
// /64 of IPv6, from which it can pick a fresh address for every connection.
func clientBlock(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

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
	c := &conn{Conn: nc, srv: s, listener: l.name(), tls: l.tls.Load(), remote: addrPort(nc.RemoteAddr()), opened: time.Now()}
	if !c.tls {
		c.proto = "http/1.1"
	}
	st, reason := s.remember(c)
	if reason != "" {
		s.obs.Conn(&edge.ConnEvent{Listener: c.listener, Remote: c.remote, Refused: reason})
		nc.Close()
		return
	}
	c.open()
	if !c.tls {
		st.engine.serve(newGuard(c, c, st.engine.limits))
		return
	}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		s.handshake(c, st)
	}()
}

// remember enters c in the set of open connections and ties it to the live
// state's engine, at once, so that the engine is not taken for unused meanwhile.
// It returns why c was turned away, or "".
func (s *Server) remember(c *conn) (st *state, refused string) {
	s.connMu.Lock()
	defer s.connMu.Unlock()
	st = s.state.Load()
	c.engine, c.stall = st.engine, st.engine.limits.WriteStall
	perAddress := st.engine.limits.ConnectionsPerAddress
	if s.closing {
		return st, "shutdown"
	}
	who := clientBlock(c.remote.Addr())
	if perAddress > 0 && s.perAddress[who] >= perAddress {
		return st, "connections_per_address"
	}
	s.perAddress[who]++
	s.conns[c] = struct{}{}
	return st, ""
}

func (s *Server) forget(c *conn) {
	s.connMu.Lock()
	defer s.connMu.Unlock()
	delete(s.conns, c)
	who := clientBlock(c.remote.Addr())
	if s.perAddress[who]--; s.perAddress[who] <= 0 {
		delete(s.perAddress, who)
	}
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

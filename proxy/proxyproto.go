package proxy

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"edge/proxy/proxyproto"
)

// announces reports whether connections of a peer begin with a PROXY header.
func announces(peers []netip.Prefix, peer netip.Addr) bool {
	for _, p := range peers {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// announced reads the PROXY header that c has to begin with, before TLS, and gives
// c the addresses that it names. It reports whether c is to be served.
func (s *Server) announced(c *conn, st *state) bool {
	r := c.Conn.(*replayed)
	h, early, err := readHeader(r.Conn, st.engine.limits.HeaderRead)
	switch {
	case err == nil:
	case errors.Is(err, net.ErrClosed), // by us
		errors.Is(err, io.EOF) && len(early) == 0: // how load balancers look whether the port is open
		c.Conn.Close()
		s.forget(c)
		return false
	default:
		s.log.Debug("refused a connection without a proper PROXY header", "peer", c.remote.String(), "error", err)
		s.turnAway(c, "proxy_protocol")
		return false
	}
	r.early = early
	if h.Source.IsValid() {
		c.remote = h.Source
		r.remote, r.local = net.TCPAddrFromAddrPort(h.Source), net.TCPAddrFromAddrPort(h.Destination)
	}
	s.connMu.Lock()
	ok := s.countAddress(c)
	s.connMu.Unlock()
	if !ok {
		s.turnAway(c, "connections_per_address")
	}
	return ok
}

// readHeader reads a PROXY header, and what has come with it.
func readHeader(nc net.Conn, limit time.Duration) (h proxyproto.Header, early []byte, err error) {
	if err := nc.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return h, nil, err
	}
	buf := make([]byte, 0, 512)
	for {
		m, rerr := nc.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+m]
		h, n, err := proxyproto.Parse(buf)
		switch {
		case err != nil:
			return h, buf, err
		case n > 0:
			return h, buf[n:], nc.SetReadDeadline(time.Time{})
		case rerr != nil:
			return h, buf, rerr
		}
		if len(buf) == cap(buf) { // Parse waits for proxyproto.MaxBytes at most
			buf = append(make([]byte, 0, proxyproto.MaxBytes), buf...)
		}
	}
}

// replayed is a connection of which something is read ahead, or whose addresses are
// those that its peer announces. Its fields belong to the goroutine that reads.
type replayed struct {
	net.Conn
	early         []byte
	local, remote net.Addr // nil: the connection's own
}

// Read implements net.Conn.
func (r *replayed) Read(p []byte) (int, error) {
	if len(r.early) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.early)
	if r.early = r.early[n:]; len(r.early) == 0 {
		r.early = nil
	}
	return n, nil
}

// LocalAddr implements net.Conn.
func (r *replayed) LocalAddr() net.Addr {
	if r.local != nil {
		return r.local
	}
	return r.Conn.LocalAddr()
}

// RemoteAddr implements net.Conn.
func (r *replayed) RemoteAddr() net.Addr {
	if r.remote != nil {
		return r.remote
	}
	return r.Conn.RemoteAddr()
}

// CloseWrite sends FIN after what was written.
func (r *replayed) CloseWrite() error {
	if t, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return t.CloseWrite()
	}
	return r.Conn.Close()
}

// SetLinger is that of the socket.
func (r *replayed) SetLinger(seconds int) error {
	if t, ok := r.Conn.(interface{ SetLinger(int) error }); ok {
		return t.SetLinger(seconds)
	}
	return nil
}

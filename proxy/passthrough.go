package proxy

import (
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"edge"
)

// passThrough looks at the ClientHello of c, and forwards the connection as it is
// where its server name is one of Passthrough. It reports whether it did: else
// what was read is put back, and the handshake goes on as if nobody had looked.
func (s *Server) passThrough(c *conn, st *state) bool {
	r, ok := c.Conn.(*replayed)
	if !ok {
		return false // a reload brought the first name to pass through a moment ago
	}
	h, err := s.peek(c, r, st)
	switch {
	case errors.Is(err, errNoHello):
		return false // crypto/tls knows the right answer
	case err != nil:
		s.hang(c, h.name, err)
		return true
	}
	name, ok := edge.CleanName(h.name)
	f := forwardOf(st.set.Passthrough, name)
	if !ok || f == nil || s.isChallenge(h, name) {
		return false
	}
	if s.crowded(c) {
		c.Close()
		return true
	}
	c.sni = name
	c.become("passthrough")
	s.forward(c, f)
	return true
}

// forwardTCP carries a connection of a TCP listener.
func (s *Server) forwardTCP(c *conn, st *state, l *TCPListener) {
	r, ok := c.Conn.(*replayed)
	if !ok || len(l.BySNI) == 0 {
		s.forwardOr(c, l.To, "no_route")
		return
	}
	h, err := s.peek(c, r, st)
	if err != nil {
		s.hang(c, h.name, err)
		return
	}
	name, _ := edge.CleanName(h.name)
	if s.isChallenge(h, name) {
		s.handshake(c, st)
		return
	}
	f := forwardOf(l.BySNI, name)
	if f == nil {
		f = l.To
	}
	c.sni = name
	s.forwardOr(c, f, "no_route")
}

// forwardOr forwards c, or turns it away where there is no server for it.
func (s *Server) forwardOr(c *conn, f *Forward, reason string) {
	if f != nil {
		s.forward(c, f)
		return
	}
	if c.sni != "" || reason == "no_route" {
		alert(c, alertUnrecognizedName)
	}
	s.obs.Conn(&edge.ConnEvent{Listener: c.listener, Remote: c.remote, Refused: reason})
	c.Close()
}

// peek reads the ClientHello of c and puts it back.
func (s *Server) peek(c *conn, r *replayed, st *state) (helloInfo, error) {
	h, early, err := readHello(r, st.engine.limits.Handshake)
	r.early = early
	if err == nil || errors.Is(err, errNoHello) {
		if derr := c.Conn.SetReadDeadline(time.Time{}); derr != nil {
			return h, derr
		}
	}
	return h, err
}

// isChallenge reports whether a hello is a validation that edge answers, or one that
// must reach nobody else. An ACME client behind edge gets what edge does not know.
func (s *Server) isChallenge(h helloInfo, name string) bool {
	if edge.IsACMEInvalid(h.name) {
		return true
	}
	if !h.acme {
		return false
	}
	_, known := s.challengeCert(edge.TLSALPN01, name)
	return known
}

// hang ends a connection whose hello did not come, or cannot be read.
func (s *Server) hang(c *conn, name string, err error) {
	ev := edge.HandshakeEvent{Start: c.opened, Duration: time.Since(c.opened), Listener: c.listener, Remote: c.remote, SNI: name, Err: err, Result: "error"}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		ev.Result = "timeout"
	case errors.Is(err, errLongHello), errors.Is(err, errNoHello):
		alert(c, alertDecodeError)
	case isGone(err), errors.Is(err, net.ErrClosed):
		ev.Result = "client_gone"
	}
	s.obs.Handshake(&ev)
	c.Close()
}

const (
	alertDecodeError      = 50
	alertUnrecognizedName = 112
)

// alert sends a fatal alert before anything else was said.
func alert(c *conn, description byte) {
	c.SetWriteDeadline(time.Now().Add(time.Second))
	c.Write([]byte{21, 3, 3, 0, 2, 2, description})
	lingerClose(c)
}

// forwardOf looks a server name up: exact, then "*.suffix" of one label, then "*".
func forwardOf(m map[string]*Forward, name string) *Forward {
	if len(m) == 0 {
		return nil
	}
	if f := m[name]; f != nil && name != "" {
		return f
	}
	if i := strings.IndexByte(name, '.'); i > 0 {
		if f := m["*"+name[i:]]; f != nil {
			return f
		}
	}
	return m["*"]
}

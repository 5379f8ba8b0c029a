package proxy

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"edge"
)

// conn is one accepted TCP connection, beneath TLS. It carries what is known
// of the client to the requests on it, and bounds how long a write may stall.
type conn struct {
	net.Conn
	srv      *Server
	listener string // "http", "https" or "tcp"
	remote   netip.AddrPort
	block    netip.Addr // under srv.connMu: what it counts for; not valid: nothing
	awaits   bool       // a PROXY header has to come, with the address
	spare    bool       // admitted beyond the limit, for challenges alone
	stall    time.Duration
	opened   time.Time

	hs *handshake // while it is in progress

	countMu sync.Mutex
	proto   string // under countMu: "http/1.1", "h2", "" until known
	counted bool   // under countMu: the observer counts it as open

	// Written by the handshake, before the first request.
	tls     bool
	sni     string // gated, lower case
	alpn    string
	version uint16
	cipher  uint16
	resumed bool
	shown   *shown                // nil: the client showed no certificate
	h1      atomic.Pointer[guard] // nil on HTTP/2, and until the handshake is over

	// refreshAt and fixed are used by the one goroutine that writes at a time
	// (crypto/tls and net/http hold a lock around writes).
	refreshAt atomic.Int64 // Unix nanoseconds
	held      held
	fixed     atomic.Bool // somebody else set a write deadline that must stand
	began     atomic.Bool // the first byte of a request has come, or of HTTP/2's preface
	engine    *engine
	quic      *quicSide // of HTTP/3: what Conn is
}

type connKey struct{}

func withConn(ctx context.Context, nc net.Conn) context.Context {
	switch g := nc.(type) {
	case *guard:
		return context.WithValue(ctx, connKey{}, g.conn)
	case *h2guard:
		return context.WithValue(ctx, connKey{}, g.conn)
	}
	return ctx
}

// SetWriteDeadline lets a deadline of crypto/tls or net/http stand until it is lifted.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.fixed.Store(!t.IsZero())
	c.refreshAt.Store(0)
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline covers both directions.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetWriteDeadline(t); err != nil {
		return err
	}
	return c.Conn.SetReadDeadline(t)
}

// CloseWrite sends FIN after what was written.
func (c *conn) CloseWrite() error {
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return t.CloseWrite()
	}
	return c.Conn.Close()
}

// Close closes the connection and counts it out, once.
func (c *conn) Close() error {
	err := c.Conn.Close()
	if g := c.h1.Load(); g != nil {
		g.watch.close()
	}
	c.countMu.Lock()
	defer c.countMu.Unlock()
	if c.counted {
		c.counted = false
		c.srv.forget(c)
		c.count(-1)
	}
	return err
}

// reset closes the connection in a way that no client can take for the proper
// end of an answer.
func (c *conn) reset() {
	if t, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		t.SetLinger(0)
	}
	c.Close()
}

// open counts the connection in.
func (c *conn) open() {
	c.countMu.Lock()
	defer c.countMu.Unlock()
	c.counted = true
	c.count(1)
}

// become moves the connection's count to the protocol that it turned out to
// speak. It may have been closed meanwhile.
func (c *conn) become(proto string) {
	c.countMu.Lock()
	defer c.countMu.Unlock()
	if c.proto == proto || !c.counted {
		return
	}
	c.count(-1)
	c.proto = proto
	c.count(1)
}

func (c *conn) count(delta int) {
	c.srv.obs.Conn(&edge.ConnEvent{Listener: c.listener, Proto: c.proto, Remote: c.remote, Delta: delta})
}

// local is the address that the client connected to; not valid where that cannot be told.
func (c *conn) local() netip.AddrPort {
	if c.Conn == nil {
		return netip.AddrPort{}
	}
	return addrPort(c.Conn.LocalAddr())
}

// addrPort is the peer's address with an IPv4-mapped form undone.
func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(interface{ AddrPort() netip.AddrPort }); ok { // of TCP and UDP
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return ap
}

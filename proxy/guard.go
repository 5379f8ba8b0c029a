package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// guard stands between a client's HTTP/1 byte stream and net/http, which
// accepts many shapes that a front door must refuse (RFC 9112 section 11.2:
// two parsers that disagree on where a request ends are how requests are
// smuggled). It scans every byte, follows the framing of bodies so as to know
// where the next head begins, and lets nothing of a message through that it
// refuses: a head with all that has arrived of its body is checked before
// net/http sees the head's end.
type guard struct {
	net.Conn // *conn, or *tls.Conn on top of it
	conn     *conn
	scan     scanner
	watch    watch
	limits   *Limits
	bad      *refusal // the stream ends here
	told     bool     // bad has been answered
	dead     error    // a body was cut: what follows can be no head
	killed   atomic.Bool
}

// refusal is why a message was not accepted.
type refusal struct {
	status int
	reason string
	inBody bool // the head has been delivered before: the handler answers
}

func (r *refusal) Error() string { return r.reason }

func newGuard(c *conn, nc net.Conn, limits Limits) *guard {
	g := &guard{Conn: nc, conn: c, limits: &limits}
	g.scan.limits = g.limits
	g.watch.wake.L = &g.watch.mu
	c.h1.Store(g)
	return g
}

// ConnectionState makes net/http see the TLS connection beneath.
func (g *guard) ConnectionState() tls.ConnectionState {
	if t, ok := g.Conn.(*tls.Conn); ok {
		return t.ConnectionState()
	}
	return tls.ConnectionState{}
}

// Read implements net.Conn. net/http calls it with a buffer for what it parses
// next, or, while a handler runs, with a single byte to notice a client that
// leaves.
func (g *guard) Read(p []byte) (int, error) {
	if g.bad != nil {
		return g.refuse(p)
	}
	if g.dead != nil {
		return 0, g.dead
	}
	if g.killed.Load() {
		return 0, errRefused
	}
	if len(p) == 1 && g.scan.between() {
		if err := g.watch.wait(); err != nil {
			return 0, err
		}
	}
	n, err := g.watch.read(g.Conn, p)
	if n > 0 && !g.conn.began.Load() {
		g.conn.began.Store(true)
	}
	if n > 0 && g.scan.phase != opaque {
		keep, bad := g.scan.feed(p[:n])
		if bad != nil {
			g.bad = bad
			if keep == 0 {
				return g.refuse(p)
			}
			return keep, nil
		}
	}
	if err != nil && g.scan.midBody() {
		// After a time-out net/http would go on to parse the rest of the body
		// as the next request.
		g.dead = err
	}
	if err != nil && len(p) > 1 && g.scan.midHead() && errors.Is(err, os.ErrDeadlineExceeded) {
		g.bad = &refusal{status: 408, reason: "the request head took too long"}
		return g.refuse(p)
	}
	return n, err
}

// kill makes net/http find nothing more on the connection. A Read in progress
// may still deliver what belongs to a body, never to a head.
func (g *guard) kill() { g.killed.Store(true) }

// errRefused ends a connection without a word from net/http, which takes it
// for a read error of the network.
var errRefused = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("request refused")}

// refuse ends the stream at a message that is not accepted.
func (g *guard) refuse(p []byte) (int, error) {
	if g.bad.inBody {
		return 0, g.bad
	}
	if len(p) == 1 {
		// A handler may still be writing the answer to the request before:
		// net/http only wants to know that the client is there. It never gets
		// to parse this byte, since the next Read ends the connection.
		p[0] = '?'
		return 1, nil
	}
	if !g.told {
		g.told = true
		g.conn.srv.refused(g.conn, g.bad)
		g.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		io.WriteString(g.Conn, plainAnswer(g.bad.status, "", g.bad.reason+"\n"))
		lingerClose(g.Conn)
	}
	return 0, errRefused
}

// SetWriteDeadline keeps net/http from lifting, after every request, a
// deadline that conn moves by itself.
func (g *guard) SetWriteDeadline(t time.Time) error {
	if t.IsZero() && !g.conn.fixed.Load() {
		return nil
	}
	return g.Conn.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (g *guard) SetReadDeadline(t time.Time) error { return g.watch.setDeadline(g.Conn, t) }

// SetDeadline implements net.Conn.
func (g *guard) SetDeadline(t time.Time) error {
	if err := g.Conn.SetWriteDeadline(t); err != nil {
		return err
	}
	return g.SetReadDeadline(t)
}

// CloseWrite lets net/http and tunnels half-close.
func (g *guard) CloseWrite() error {
	if cw, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return nil
}

// plainAnswer is a whole HTTP/1.1 answer that ends the connection.
func plainAnswer(status int, extra, text string) string {
	return "HTTP/1.1 " + strconv.Itoa(status) + " " + statusText(status) + "\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Length: " + strconv.Itoa(len(text)) +
		"\r\n" + extra + "Connection: close\r\n\r\n" + text
}

// lingerClose half-closes and reads on for a moment before it closes: closing
// with unread data makes the kernel send a reset, which can overtake the answer.
func lingerClose(nc net.Conn) {
	defer nc.Close()
	if cw, ok := nc.(interface{ CloseWrite() error }); ok {
		cw.CloseWrite()
	}
	nc.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, nc, lingerBytes)
}

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

package proxy

import (
	"errors"
	"os"
	"sync"
	"time"
)

// held collects what is written to a connection while a handler writes one
// buffer of a body: net/http sends the head and the first 4 KiB on their own, and
// crypto/tls each record, which are of 1.4 KiB at first. Sent in one piece they
// cost one system call, and wake the client once.
type held struct {
	mu  sync.Mutex // crypto/tls may also write on its own, as for a key update
	buf []byte     // nil: nothing is held back
}

// heldBytes is room for copyBuffer bytes as records, with a head.
const heldBytes = copyBuffer + 8<<10

const (
	heldFrom  = 3 << 10  // of a body: less waits in net/http's buffer anyway
	maxRecord = 16 << 10 // of TLS, without what surrounds it
)

// hold makes Write collect, in buf, until letGo.
func (c *conn) hold(buf *[heldBytes]byte) {
	c.held.mu.Lock()
	defer c.held.mu.Unlock()
	c.held.buf = buf[:0]
}

// letGo writes what was collected.
func (c *conn) letGo() error {
	c.held.mu.Lock()
	defer c.held.mu.Unlock()
	buf := c.held.buf
	if c.held.buf = nil; len(buf) == 0 {
		return nil
	}
	_, err := c.send(buf)
	return err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.held.mu.Lock()
	defer c.held.mu.Unlock()
	if c.held.buf == nil {
		return c.send(p)
	}
	if len(c.held.buf)+len(p) > cap(c.held.buf) {
		if _, err := c.send(c.held.buf); err != nil {
			return 0, err
		}
		c.held.buf = c.held.buf[:0]
		if len(p) > cap(c.held.buf) {
			return c.send(p)
		}
	}
	c.held.buf = append(c.held.buf, p...)
	return len(p), nil
}

// send bounds the stall: the deadline moves with every write that finds a
// quarter of it gone, so that busy connections do not pay for a timer each time.
// When it strikes, what is left of a long write has another one, if the client
// has taken as much as the longest record: it has to be no faster for what was held back.
func (c *conn) send(p []byte) (n int, err error) {
	for {
		if !c.fixed.Load() {
			if now := time.Now(); now.UnixNano() >= c.refreshAt.Load() {
				c.Conn.SetWriteDeadline(now.Add(c.stall))
				c.refreshAt.Store(now.Add(c.stall / 4).UnixNano())
			}
		}
		m, err := c.Conn.Write(p[n:])
		n += m
		if err == nil || m < maxRecord || c.fixed.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// writeHeld writes a part of a body to an HTTP/1 client.
func (x *exchange) writeHeld(p []byte) (n int, err error) {
	buf := x.srv.heldBuffers.Get().(*[heldBytes]byte)
	defer x.srv.heldBuffers.Put(buf)
	x.c.hold(buf)
	n, err = x.w.Write(p)
	if lerr := x.c.letGo(); err == nil {
		err = lerr
	}
	return n, err
}

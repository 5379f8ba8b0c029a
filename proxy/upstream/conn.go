package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"edge/proxy/policy"
)

// conn is one HTTP/1.1 connection. One goroutine uses it at a time; while a
// request body is sent, a second one writes.
type conn struct {
	p         *Server
	nc        net.Conn
	link      *link // beneath nc
	in        input
	out       []byte // head of the request, reused
	fields    []policy.Field
	res       Response
	body      body
	idleSince time.Time
	uses      int
	answered  bool // a byte of an answer has come in this exchange

	readUntil, writeUntil time.Time // deadlines in force
}

func newConn(p *Server, nc net.Conn) *conn {
	c := &conn{p: p, nc: nc}
	if tc, ok := nc.(*tls.Conn); ok {
		c.link = tc.NetConn().(*link)
	} else {
		c.link = newLink(nc)
	}
	c.in = input{r: nc, buf: make([]byte, 4<<10), limit: p.o.HeaderBytes}
	c.in.before = c.body.waits
	return c
}

func (c *conn) close() { c.nc.Close() }

// readBy gives the next reads a time of d, or up to a quarter more: moving a
// deadline costs, and one that is still good for this request is left alone.
func (c *conn) readBy(now time.Time, d time.Duration) { c.readWithin(now, d, d+d/4) }

func (c *conn) readWithin(now time.Time, least, most time.Duration) {
	if left := c.readUntil.Sub(now); left < least || left > most {
		c.readUntil = now.Add(most)
		c.nc.SetReadDeadline(c.readUntil)
	}
}

// watch makes the end of the request's context end all waiting on this
// connection. It is begun only where there is something to wait for: most
// upstreams answer long before anybody loses patience.
func (c *conn) watch() {
	b := &c.body
	if b.watched {
		return
	}
	b.watched = true
	if b.ctx.Done() != nil {
		b.stop = context.AfterFunc(b.ctx, func() { c.nc.SetDeadline(time.Unix(1, 0)) })
	}
}

// An answer that takes longer than this is waited for with an eye on the client.
const patience = 100 * time.Millisecond

// writeBy is readBy for the head of a request; the body has its own clock.
func (c *conn) writeBy(now time.Time, d time.Duration) {
	if left := c.writeUntil.Sub(now); left < d || left > d+d/4 {
		c.writeUntil = now.Add(d + d/4)
		c.nc.SetWriteDeadline(c.writeUntil)
	}
}

// alive looks, without waiting, whether the peer has closed the connection or
// has sent something that nobody asked for. Both make it useless, and the second
// would be taken for the answer to the next request.
func (c *conn) alive() bool {
	if c.secure() {
		return c.link.quiet(c.nc)
	}
	return c.link.quiet(c.link)
}

// exchange sends r and reads the head of the final answer. sent reports that
// bytes of the request have reached the connection.
func (c *conn) exchange(ctx context.Context, r *Request) (res *Response, sent bool, _ *Error) {
	c.answered = false
	c.body = body{c: c, ctx: ctx}
	if r.Body != nil {
		c.watch()
	}
	sent, err := c.send(r)
	if err != nil && !c.body.sending() {
		// An upstream that does not want the request may have said so before it
		// closed its side.
		if !c.hasAnswer() {
			c.unwatch()
			return nil, sent, c.p.fail(ctx, "write", err)
		}
	}
	if err := c.readFinal(ctx, r); err != nil {
		starved := c.body.out.starved()
		c.unwatch()
		c.close()
		c.body.abandon()
		e := c.p.fail(ctx, "header", err)
		e.Client = starved || isBodyError(err)
		return nil, sent, e
	}
	return &c.res, sent, nil
}

// hasAnswer waits a moment for an answer after a write failed.
func (c *conn) hasAnswer() bool {
	c.readUntil = time.Now().Add(50 * time.Millisecond)
	c.nc.SetReadDeadline(c.readUntil)
	return c.in.fill() == nil
}

// unwatch stops watching the context. It reports false where the context has
// ended and the connection's deadline is spoilt.
func (c *conn) unwatch() bool {
	if c.body.stop == nil {
		return true
	}
	stop := c.body.stop
	c.body.stop = nil
	return stop()
}

// send writes the head; a body is sent by a goroutine beside the reading of the
// answer, which may come before the body is complete.
func (c *conn) send(r *Request) (sent bool, err error) {
	c.out = appendHead(c.out[:0], r)
	defer c.trim()
	n := 0
	if r.Body == nil && c.link.raw != nil && !c.secure() {
		if n, err = c.ask(); err != nil || n == len(c.out) {
			return n > 0, err
		}
	}
	if sent, err = c.writeOut(n); err != nil || r.Body == nil {
		return sent, err
	}
	c.body.send(r)
	return true, nil
}

func (c *conn) secure() bool {
	_, ok := c.nc.(*tls.Conn)
	return ok
}

// ask writes the head and waits for the answer to it, for as long as one has
// patience. It leaves what comes, or the error, to the next read of the input.
func (c *conn) ask() (wrote int, err error) {
	c.bePatient(time.Now())
	in := &c.in
	wrote, n, werr, rerr := c.link.writeAndWait(c.out, in.buf)
	if werr != nil || wrote < len(c.out) {
		return wrote, werr
	}
	in.r0, in.w0 = 0, n
	if isTimeout(rerr) {
		c.watch()
	} else if n == 0 {
		in.early = rerr
	}
	return wrote, nil
}

// bePatient gives reads the time in which most answers come.
func (c *conn) bePatient(now time.Time) {
	most := c.p.o.HeaderTimeout
	c.readWithin(now, min(patience, most), min(2*patience, most))
}

// maxHeadKept bounds the buffer that a connection keeps between requests.
const maxHeadKept = 8 << 10

func (c *conn) trim() {
	if cap(c.out) > maxHeadKept {
		c.out = nil
	}
}

// writeOut writes the head from its n-th byte on.
func (c *conn) writeOut(n int) (sent bool, err error) {
	c.writeBy(time.Now(), c.p.o.HeaderTimeout)
	more, err := c.nc.Write(c.out[n:])
	return n+more > 0, err
}

// bodyError is a failure of the side that the request body comes from.
type bodyError struct{ err error }

func (e bodyError) Error() string { return "request body: " + e.err.Error() }
func (e bodyError) Unwrap() error { return e.err }

func isBodyError(err error) bool {
	_, is := errors.AsType[bodyError](err)
	return is
}

// maxInterim bounds the 1xx answers to one request.
const maxInterim = 32

// readFinal reads heads until one is final, and prepares the response.
func (c *conn) readFinal(ctx context.Context, r *Request) error {
	for n := 0; ; n++ {
		if n > maxInterim {
			return malformed("more than %d interim answers", maxInterim)
		}
		if err := c.waitHead(ctx); err != nil {
			return err
		}
		h, err := c.in.head(c.fields[:0])
		if err != nil {
			return err
		}
		c.fields = h.fields
		c.answered = true
		switch {
		case h.status == 101:
			return c.upgraded(r, h)
		case h.status >= 200:
			c.body.withhold()
			return c.final(r, h)
		case h.status == 100:
			c.body.proceed()
		}
		if _, _, err := h.framing(r.Method); err != nil {
			return err
		}
		if r.Interim != nil {
			if err := r.Interim(h.status, h.fields); err != nil {
				return err
			}
		}
	}
}

// waitHead waits for the first bytes of a head. The time for it starts anew
// whenever the request body moves on: an upstream may read it all before it answers.
func (c *conn) waitHead(ctx context.Context) error {
	for {
		start := time.Now()
		moved := c.body.moved.Load()
		watching := c.body.watched
		if watching {
			c.readBy(start, c.p.o.HeaderTimeout)
		} else {
			c.bePatient(start)
		}
		if ctx.Err() != nil { // the watch may have run before the lines above
			return ctx.Err()
		}
		if c.in.r0 == c.in.w0 {
			err := c.in.fill()
			switch {
			case err == nil:
			case !watching && isTimeout(err):
				c.watch()
				continue
			default:
				if werr := c.body.failed(); werr != nil {
					return werr
				}
				if isTimeout(err) && c.body.moved.Load() != moved {
					continue
				}
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return err
			}
		}
		if !watching && !c.in.hasHead() {
			// The rest of the head has the time of a head.
			c.watch()
			c.readBy(time.Now(), c.p.o.HeaderTimeout)
		}
		return ctx.Err()
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// final fills in the response.
func (c *conn) final(r *Request, h head) error {
	length, chunked, err := h.framing(r.Method)
	if err != nil {
		return err
	}
	c.res = Response{Status: h.status, Header: h.fields, ContentLength: length, Address: c.p.o.Address, Body: &c.body}
	if h.bodiless(r.Method) {
		length = 0 // the length is that of another answer
	}
	c.body.start(length, chunked, h.keepAlive)
	if chunked {
		c.res.Trailer = c.body.trailers
	}
	return nil
}

// upgraded hands the connection over.
func (c *conn) upgraded(r *Request, h head) error {
	if r.Upgrade == "" || !h.upgrades(r.Upgrade) {
		return malformed("switched to a protocol that nobody asked for")
	}
	if !c.unwatch() {
		return context.Canceled
	}
	c.nc.SetDeadline(time.Time{})
	c.p.count(-1)
	c.res = Response{Status: 101, Header: h.fields, Address: c.p.o.Address, Body: io.NopCloser(eof{}), Upgraded: c.in.rest(c.nc)}
	return nil
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

package upstream

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"edge/proxy/policy"
)

// body is the body of an answer on its way in and, where there is one, the body
// of the request on its way out.
type body struct {
	c    *conn
	ctx  context.Context // of the request
	stop func() bool     // stops watching it
	// watched says that the end of ctx ends reads here, or that ctx has no end.
	watched bool

	left      int64 // bytes of the body, or of the chunk; -1: to the end of the connection
	chunked   bool
	inChunk   bool
	keepAlive bool
	reading   bool // the head of the final answer is known
	done      bool // all of it was read
	closed    bool
	err       error
	trailer   []policy.Field

	out   *sender      // nil: no request body is being sent
	moved atomic.Int64 // bytes of the request body that were sent
}

// start is called once the head of the final answer is known.
func (b *body) start(length int64, chunked, keepAlive bool) {
	b.reading = true
	b.left, b.chunked, b.keepAlive = length, chunked, keepAlive
	b.done = length == 0
}

var errClosedBody = errors.New("read of a closed body")

// Read returns io.EOF only where the body is complete: one that was cut short
// ends in io.ErrUnexpectedEOF.
func (b *body) Read(p []byte) (n int, err error) {
	switch {
	case b.closed:
		return 0, errClosedBody
	case b.err != nil:
		return 0, b.err
	case b.done:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	if n, err = b.read(p); err == nil && b.done {
		// The last bytes say so: whoever copies needs no further call.
		return n, io.EOF
	}
	if err != nil {
		b.err = b.c.p.fail(b.ctx, "body", err)
		return n, b.err
	}
	return n, nil
}

func (b *body) read(p []byte) (int, error) {
	c := b.c
	switch {
	case b.chunked:
		return b.readChunked(p)
	case b.left < 0:
		n, err := c.in.read(p)
		if err == io.EOF {
			b.done, b.keepAlive = true, false
			err = nil
		}
		return n, err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := c.in.read(p)
	b.left -= int64(n)
	b.done = b.left == 0
	if b.done {
		err = nil
	}
	return n, unexpected(err)
}

// waits is called before each read of the connection: while a body comes in,
// all of them have its time, and end with the request.
func (b *body) waits() error {
	if !b.reading {
		return nil
	}
	b.c.watch()
	b.c.readBy(time.Now(), b.c.p.o.BodyTimeout)
	// The watch may have run before the deadline was moved.
	return b.ctx.Err()
}

// Close ends the exchange. The connection goes back to the pool where both
// bodies were complete, else it is closed.
func (b *body) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	c := b.c
	watched := c.unwatch()
	if watched && b.done && b.err == nil && b.keepAlive && b.out.finished() && c.in.settle() {
		if b.out != nil {
			c.writeUntil = time.Time{} // the sender has moved the deadline
		}
		c.p.release(c)
		return nil
	}
	c.p.discard(c)
	b.abandon()
	return nil
}

package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
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

// maxChunkLine bounds a chunk's size line, extension included: extensions are
// ignored, and an upstream has no reason to send long ones.
const maxChunkLine = 256

func (b *body) readChunked(p []byte) (int, error) {
	in := &b.c.in
	if !b.inChunk {
		l, err := in.line(maxChunkLine)
		if err != nil {
			return 0, err
		}
		if b.left, err = parseChunkSize(l); err != nil {
			return 0, err
		}
		if b.left == 0 {
			b.done = true
			return 0, b.readTrailer()
		}
		b.inChunk = true
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := in.read(p)
	b.left -= int64(n)
	if err != nil {
		return n, unexpected(err)
	}
	if b.left > 0 {
		return n, nil
	}
	l, err := in.line(0 + 2)
	if err == nil && len(l) != 0 {
		err = malformed("no CRLF after a chunk")
	}
	if err != nil {
		return n, err
	}
	b.inChunk = false
	// The last chunk is often there already: then this read is the final one.
	if bytes.HasPrefix(in.buf[in.r0:in.w0], lastChunk) {
		in.r0 += len(lastChunk)
		b.done = true
	}
	return n, nil
}

var lastChunk = []byte("0\r\n\r\n")

func parseChunkSize(l []byte) (int64, error) {
	var n int64
	i := 0
	for ; i < len(l); i++ {
		var d byte
		switch c := l[i]; {
		case c >= '0' && c <= '9':
			d = c - '0'
		case c >= 'a' && c <= 'f':
			d = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			d = c - 'A' + 10
		case c == ';' && i > 0 && validValue(string(l[i:])):
			return n, nil
		default:
			return 0, malformed("chunk size %q", clip(string(l)))
		}
		if i >= 15 {
			return 0, malformed("chunk size %q", clip(string(l)))
		}
		n = n<<4 | int64(d)
	}
	if i == 0 {
		return 0, malformed("empty chunk size")
	}
	return n, nil
}

// maxTrailers bounds the trailer fields of an answer.
const maxTrailers = 64

func (b *body) readTrailer() error {
	in := &b.c.in
	left := in.limit // as for a head
	for n := 0; ; n++ {
		l, err := in.line(left)
		if err != nil {
			return err
		}
		left -= len(l) + 2
		if len(l) == 0 {
			return nil
		}
		f, err := parseField(string(l))
		if err != nil {
			return err
		}
		if n == maxTrailers || !trailerAllowed(f.Name) {
			return malformed("trailer field %s", f.Name)
		}
		b.trailer = append(b.trailer, f)
	}
}

// trailers may be called once Read has returned io.EOF.
func (b *body) trailers() []policy.Field { return b.trailer }

// trailerAllowed refuses fields that frame, route or authenticate (RFC 9110 section 6.5.1).
func trailerAllowed(name string) bool {
	switch string(bytes.ToLower([]byte(name))) {
	case "content-length", "transfer-encoding", "host", "trailer", "connection", "content-encoding", "content-type",
		"content-range", "authorization", "set-cookie", "te", "upgrade", "cookie", "www-authenticate":
		return false
	}
	return true
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

// send starts sending the request body beside the reading of the answer.
func (b *body) send(r *Request) {
	b.out = &sender{c: b.c, body: r.Body, length: r.ContentLength, trailer: r.Trailer, moved: &b.moved, go100: make(chan struct{}), done: make(chan struct{})}
	if !r.ExpectContinue {
		close(b.out.go100)
		b.out.going = true
	}
	go b.out.run()
}

func (b *body) sending() bool { return b.out != nil }

// proceed lets a body go that waits for 100 Continue.
func (b *body) proceed() {
	if b.out != nil && !b.out.going {
		b.out.going = true
		close(b.out.go100)
	}
}

// withhold ends the wait for 100 Continue: a final answer came instead, and the
// upstream wants no body (RFC 9110 section 10.1.1).
func (b *body) withhold() {
	if b.out != nil && !b.out.going {
		b.out.unwanted.Store(true)
		b.proceed()
	}
}

// failed returns what the sender failed of, if it did.
func (b *body) failed() error {
	if b.out == nil {
		return nil
	}
	b.out.mu.Lock()
	defer b.out.mu.Unlock()
	return b.out.err
}

// abandon lets go of a sender whose connection is closed.
func (b *body) abandon() { b.withhold() }

// sender copies a request body to the upstream. It ends when the body does, when
// the connection is closed, or when reading the body fails, whichever is first;
// whoever owns the body has to see to it that reading fails once the exchange is over.
type sender struct {
	c       *conn
	body    io.Reader
	length  int64
	trailer func() []policy.Field
	moved   *atomic.Int64
	go100   chan struct{}
	going   bool // go100 is closed

	unwanted atomic.Bool // the body is not to be read at all
	waiting  atomic.Bool // for more of the body

	done chan struct{} // closed when run has ended
	mu   sync.Mutex
	err  error
	over bool
}

// starved reports whether it waits for its own side: an upstream that loses its
// patience then is not to blame.
func (s *sender) starved() bool { return s != nil && s.waiting.Load() }

// senderGrace is how long the end of an exchange waits for its sender: an
// upstream may have read the last byte, and answered, before the write of that
// byte has returned here.
const senderGrace = 5 * time.Millisecond

// finished reports whether the whole body was sent.
func (s *sender) finished() bool {
	if s == nil {
		return true
	}
	t := time.NewTimer(senderGrace)
	defer t.Stop()
	select {
	case <-s.done:
	case <-t.C:
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over && s.err == nil
}

// continueWait is how long a body waits for 100 Continue.
const continueWait = time.Second

func (s *sender) run() {
	t := time.NewTimer(continueWait)
	select {
	case <-s.go100:
	case <-t.C:
	}
	t.Stop()
	if s.unwanted.Load() {
		s.setErr(errUnwanted)
		return
	}
	err := s.copy()
	if err != nil {
		// The upstream must not take a part for the whole, and whoever waits for
		// an answer must stop waiting: it will not come.
		s.setErr(err)
		var be bodyError
		if errors.As(err, &be) {
			s.c.nc.Close()
		}
		return
	}
	s.setErr(nil)
}

// errUnwanted keeps a connection from being used again whose request has no body.
var errUnwanted = errors.New("the upstream answered without asking for the body")

func (s *sender) setErr(err error) {
	s.mu.Lock()
	s.err, s.over = err, true
	s.mu.Unlock()
	close(s.done)
}

var sendBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func (s *sender) copy() error {
	buf := sendBuffers.Get().(*[32 << 10]byte)
	defer sendBuffers.Put(buf)
	left := s.length
	const room = 10 // chunk size in hex, CRLF
	for {
		s.waiting.Store(true)
		n, err := s.body.Read(buf[room : len(buf)-2])
		s.waiting.Store(false)
		if n > 0 {
			b := buf[room : room+n]
			switch {
			case s.length < 0:
				b = chunk(buf[:], room, n)
			case int64(n) > left:
				return bodyError{errors.New("longer than its Content-Length")}
			default:
				left -= int64(n)
			}
			s.c.nc.SetWriteDeadline(time.Now().Add(s.c.p.o.BodyTimeout))
			if _, werr := s.c.nc.Write(b); werr != nil {
				return werr
			}
			s.moved.Add(int64(n))
		}
		switch {
		case err == io.EOF && s.length < 0:
			return s.finish()
		case err == io.EOF && left > 0:
			return bodyError{io.ErrUnexpectedEOF}
		case err == io.EOF || err == nil && s.length >= 0 && left == 0:
			return nil
		case err != nil:
			return bodyError{err}
		}
	}
}

// chunk frames n bytes at buf[room:] in place.
func chunk(buf []byte, room, n int) []byte {
	var size [8]byte
	hex := strconv.AppendInt(size[:0], int64(n), 16)
	start := room - len(hex) - 2
	copy(buf[start:], hex)
	buf[room-2], buf[room-1] = '\r', '\n'
	buf[room+n], buf[room+n+1] = '\r', '\n'
	return buf[start : room+n+2]
}

// finish writes the last chunk and the trailer.
func (s *sender) finish() error {
	b := []byte("0\r\n")
	if s.trailer != nil {
		for _, f := range s.trailer() {
			if trailerAllowed(f.Name) {
				b = append(append(append(append(b, f.Name...), ": "...), f.Value...), "\r\n"...)
			}
		}
	}
	s.c.nc.SetWriteDeadline(time.Now().Add(s.c.p.o.BodyTimeout))
	_, err := s.c.nc.Write(append(b, "\r\n"...))
	return err
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

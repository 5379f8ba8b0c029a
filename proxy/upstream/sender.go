package upstream

import (
	"errors"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"edge/proxy/policy"
)

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

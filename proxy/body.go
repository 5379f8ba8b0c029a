package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// clientBody reads a request body and keeps a slow client from holding a
// connection for ever: it may lag behind the minimum rate by the grace period.
// Only time spent waiting for the client counts, not time in which the
// upstream took nothing. One goroutine
// reads at a time.
type clientBody struct {
	src    io.ReadCloser
	rc     *http.ResponseController
	rate   int           // bytes a second
	grace  time.Duration // most that credit can be
	credit time.Duration // waiting that the client has left
	most   int64         // bytes that the route takes; 0: any number
	timer  *time.Timer   // runs while a Read does

	mu      sync.Mutex
	idle    sync.Cond // no Read is in progress any more
	until   time.Time // when the Read in progress has used up the credit
	n       int64
	err     error // first error but io.EOF
	reading bool
	asked   bool // for a first byte
	eof     bool
	over    bool // the upstream may not read any more
	ended   bool // nobody may
}

// errBodyTooLong ends a body that is longer than its route takes.
var errBodyTooLong = errors.New("the request body is longer than the route takes")

var errBodyOver = errors.New("read of a request body after the exchange")

func newClientBody(r *http.Request, rc *http.ResponseController, l *Limits) *clientBody {
	b := &clientBody{src: r.Body, rc: rc, rate: l.BodyRate, grace: l.BodyGrace, credit: l.BodyGrace}
	b.idle.L = &b.mu
	return b
}

func (b *clientBody) Read(p []byte) (int, error) { return b.read(p, false) }

func (b *clientBody) read(p []byte, ours bool) (int, error) {
	start := time.Now()
	if !b.begin(start, ours) {
		return 0, errBodyOver
	}
	n, err := b.src.Read(p)
	b.timer.Stop()
	b.credit += time.Duration(n) * time.Second / time.Duration(b.rate)
	b.credit = min(b.credit-time.Since(start), b.grace)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	b.idle.Broadcast()
	b.n += int64(n)
	b.eof = b.eof || err == io.EOF
	if b.most > 0 && b.n > b.most && err == nil {
		err = errBodyTooLong
	}
	if err != nil && err != io.EOF && b.err == nil {
		b.err = err
	}
	return n, err
}

// begin starts the clock of a Read. A deadline on the connection would do for
// HTTP/1, but the deadline of an HTTP/2 stream strikes also when nobody reads.
func (b *clientBody) begin(now time.Time, ours bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over && !ours || b.reading {
		return false
	}
	b.asked = true
	b.reading, b.until = true, now.Add(b.credit)
	if b.timer == nil {
		b.timer = time.AfterFunc(b.credit, b.expire)
	} else {
		b.timer.Reset(b.credit)
	}
	return true
}

// expire ends a Read that took too long. It may come late, when that Read is
// over and another has begun, or the exchange has ended.
func (b *clientBody) expire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading && !b.ended && !time.Now().Before(b.until) {
		b.rc.SetReadDeadline(time.Unix(1, 0))
	}
}

// finish takes the body away from the upstream: a Read in progress fails, so
// does every later one.
func (b *clientBody) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if b.reading {
		b.rc.SetReadDeadline(time.Unix(1, 0))
	}
}

// drain reads what is left, up to a limit: only at a body's end can the next
// request on an HTTP/1 connection be found.
func (b *clientBody) drain(buf []byte) {
	for n := 0; n < lingerBytes && b.failed() == nil && !b.complete(); {
		m, err := b.read(buf, true)
		if n += m; err != nil {
			return
		}
	}
}

// end is called last. It returns the bytes that were read.
func (b *clientBody) end() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	return b.n
}

// failed returns what went wrong on the client's side, if anything did.
func (b *clientBody) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// wanted reports whether anybody has begun to read the body.
func (b *clientBody) wanted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// settled is failed for a request whose context has ended: net/http ends it
// before the Read that found out why returns.
func (b *clientBody) settled() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.reading {
		b.idle.Wait()
	}
	return b.err
}

// complete reports whether the body has been read to its end.
func (b *clientBody) complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.eof
}

// closeBody ends the reading of the request's body.
func (x *exchange) closeBody(aborted bool) {
	b := x.body
	if b == nil {
		x.boundRest()
		return
	}
	b.finish()
	if h1 := x.c.h1.Load(); h1 != nil && !aborted && !b.complete() {
		x.rc.Flush()
		if x.r.Header["Expect"] != nil && !b.wanted() {
			// Reading now would send 100 Continue after the answer. net/http has
			// announced that it closes the connection.
			h1.kill()
			x.ev.BytesIn = b.end()
			return
		}
		buf := x.srv.buffers.Get().(*[copyBuffer]byte)
		b.drain(buf[:])
		x.srv.buffers.Put(buf)
		if !b.complete() {
			h1.kill()
		}
	}
	x.ev.BytesIn = b.end()
}

// boundRest gives a client a moment for a body that nobody wanted: net/http
// reads it after the answer, to find the next request, and would wait for ever. A client that waits for "100 Continue" sends none of it.
func (x *exchange) boundRest() {
	if x.r.ProtoMajor >= 2 || x.r.Body == nil || x.r.Body == http.NoBody {
		return
	}
	rest := x.st.engine.limits.BodyGrace
	if x.r.Header["Expect"] != nil {
		rest = lingerTime
	}
	x.rc.SetReadDeadline(time.Now().Add(rest))
}

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
// upstream took nothing. One goroutine reads; any may call failed and finish.
type clientBody struct {
	src    io.ReadCloser
	rc     *http.ResponseController
	rate   int           // bytes a second
	grace  time.Duration // most that credit can be
	credit time.Duration // waiting that the client has left
	set    time.Time     // deadline in force

	mu      sync.Mutex
	n       int64
	err     error // first error but io.EOF
	reading bool
	over    bool
}

var errBodyOver = errors.New("read of a request body after the exchange")

func newClientBody(r *http.Request, rc *http.ResponseController, l *Limits) *clientBody {
	return &clientBody{src: r.Body, rc: rc, rate: l.BodyRate, grace: l.BodyGrace, credit: l.BodyGrace}
}

func (b *clientBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.over {
		b.mu.Unlock()
		return 0, errBodyOver
	}
	start := time.Now()
	// Moving a deadline costs a timer, on HTTP/2 a message to another
	// goroutine: a second's worth of precision will do.
	if want := start.Add(b.credit); want.Sub(b.set) > time.Second {
		b.rc.SetReadDeadline(want)
		b.set = want
	}
	b.reading = true
	b.mu.Unlock()

	n, err := b.src.Read(p)

	b.credit += time.Duration(n) * time.Second / time.Duration(b.rate)
	b.credit = min(b.credit-time.Since(start), b.grace)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	b.n += int64(n)
	if err != nil && err != io.EOF && b.err == nil {
		b.err = err
	}
	return n, err
}

// failed returns what went wrong on the client's side, if anything did.
func (b *clientBody) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// finish ends all reading, also one in progress, and returns the bytes read.
func (b *clientBody) finish() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if b.reading {
		b.rc.SetReadDeadline(time.Unix(1, 0))
	}
	return b.n
}

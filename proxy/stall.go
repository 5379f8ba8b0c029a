package proxy

import (
	"net/http"
	"sync"
	"time"
)

// On HTTP/1 a client that takes nothing stalls the connection, and conn bounds
// that. On HTTP/2 it can stall one stream by granting no window while the
// connection is well: stallTimer bounds that, by resetting the stream.
type stallTimer struct {
	rc    *http.ResponseController
	limit time.Duration
	timer *time.Timer

	mu      sync.Mutex
	until   time.Time
	writing bool
}

func newStallTimer(rc *http.ResponseController, limit time.Duration) *stallTimer {
	t := &stallTimer{rc: rc, limit: limit}
	t.timer = time.AfterFunc(limit, t.expire)
	return t
}

// do runs a write that may block.
func (t *stallTimer) do(write func() error) error {
	t.mu.Lock()
	t.writing, t.until = true, time.Now().Add(t.limit)
	t.mu.Unlock()
	t.timer.Reset(t.limit)
	err := write()
	t.timer.Stop()
	t.mu.Lock()
	t.writing = false
	t.mu.Unlock()
	return err
}

// expire may come late, when its write is over: the controller must not be
// used once the handler has returned.
func (t *stallTimer) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.writing && !time.Now().Before(t.until) {
		t.rc.SetWriteDeadline(time.Unix(1, 0))
	}
}

// write writes a part of the body.
func (x *exchange) write(p []byte) (n int, err error) {
	switch {
	case x.r.ProtoMajor < 2 && len(p) > heldFrom:
		return x.writeHeld(p)
	case x.r.ProtoMajor < 2:
		return x.w.Write(p)
	}
	err = x.stallTimer().do(func() error {
		n, err = x.w.Write(p)
		return err
	})
	return n, err
}

func (x *exchange) flush() error {
	if x.r.ProtoMajor < 2 {
		return x.rc.Flush()
	}
	return x.stallTimer().do(x.rc.Flush)
}

func (x *exchange) stallTimer() *stallTimer {
	if x.stall == nil {
		x.stall = newStallTimer(http.NewResponseController(x.w), x.st.engine.limits.WriteStall)
	}
	return x.stall
}

// guardWrites bounds what net/http writes after the handler returned.
func (x *exchange) guardWrites() {
	if x.r.ProtoMajor >= 2 {
		x.rc.SetWriteDeadline(time.Now().Add(x.st.engine.limits.WriteStall))
	}
}

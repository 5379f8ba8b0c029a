package proxy

import (
	"net/http"
	"time"
)

// On HTTP/1 a client that takes nothing stalls the connection, and conn bounds
// that. On HTTP/2 it can stall one stream by granting no window while the
// connection is well: stallTimer bounds that, by resetting the stream.
type stallTimer struct {
	limit time.Duration
	timer *time.Timer
}

func (t *stallTimer) arm()    { t.timer.Reset(t.limit) }
func (t *stallTimer) disarm() { t.timer.Stop() }

// finish leaves a deadline for what net/http still holds back.
func (t *stallTimer) finish(rc *http.ResponseController) {
	t.timer.Stop()
	rc.SetWriteDeadline(time.Now().Add(t.limit))
}

// write writes a part of the body.
func (x *exchange) write(p []byte) (int, error) {
	if x.r.ProtoMajor < 2 {
		return x.w.Write(p)
	}
	t := x.stallTimer()
	t.arm()
	n, err := x.w.Write(p)
	t.disarm()
	return n, err
}

func (x *exchange) flush() error {
	if x.r.ProtoMajor < 2 {
		return x.rc.Flush()
	}
	t := x.stallTimer()
	t.arm()
	err := x.rc.Flush()
	t.disarm()
	return err
}

func (x *exchange) stallTimer() *stallTimer {
	if x.stall == nil {
		limit, rc := x.st.engine.limits.WriteStall, x.rc
		timer := time.AfterFunc(limit, func() { rc.SetWriteDeadline(time.Unix(1, 0)) })
		x.stall = &stallTimer{limit, timer}
	}
	return x.stall
}

// guardWrites bounds the writes that net/http does after the handler returned.
func (x *exchange) guardWrites() {
	if x.r.ProtoMajor >= 2 && x.stall == nil {
		x.rc.SetWriteDeadline(time.Now().Add(x.st.engine.limits.WriteStall))
	}
}

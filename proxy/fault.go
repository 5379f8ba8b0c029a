package proxy

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"
)

// failBody answers for a client whose body stopped or was malformed.
func (x *exchange) failBody(err error) {
	x.ev.Err = err
	x.w.Header()["Connection"] = closeValue
	var bad *refusal
	switch {
	case errors.As(err, &bad):
		x.fail(bad.status)
	case errors.Is(err, errBodyTooLong):
		x.ev.Limited = "body"
		x.fail(http.StatusRequestEntityTooLarge)
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.fail(http.StatusRequestTimeout)
	default:
		x.ev.Status = statusClientGone
		panic(http.ErrAbortHandler)
	}
}

// panicLog counts panics in requests and logs each with its stack.
type panicLog struct{ n atomic.Uint64 }

func (p *panicLog) log(log *slog.Logger, cause any) {
	p.n.Add(1)
	log.Error("panic in a request; please report it", "error", cause, "stack", string(debug.Stack()))
}

// Panics returns how many requests ended in a panic.
func (s *Server) Panics() uint64 { return s.panics.n.Load() }

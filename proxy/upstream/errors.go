package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
)

// Error is a failed exchange with an upstream.
type Error struct {
	Op        string // "queue", "connect", "write", "header", "body"
	Address   string
	Timeout   bool
	Malformed bool // the upstream broke the protocol
	Client    bool // no fault of the upstream: the body of the request failed, or did not come
	Err       error
}

func (e *Error) Error() string {
	return fmt.Sprintf("upstream %s: %s: %v", e.Address, e.Op, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Status is the status code for a client: 504 where the upstream was too slow,
// 503 where nobody could be asked, 502 for everything else.
func (e *Error) Status() int {
	switch {
	case e.Timeout:
		return http.StatusGatewayTimeout
	case errors.Is(e.Err, ErrClosed), errors.Is(e.Err, ErrUnavailable):
		return http.StatusServiceUnavailable
	}
	return http.StatusBadGateway
}

// ErrClosed is wrapped by errors of a pool that has been closed.
var ErrClosed = errors.New("pool is closed")

// ErrUnavailable is wrapped by errors of requests that no server was asked for:
// there was no room, or none was well.
var ErrUnavailable = errors.New("no upstream server is available")

// errMalformed is wrapped by what the parser refuses.
var errMalformed = errors.New("malformed answer")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

// fail wraps an error of one step. A deadline that passed because ctx ended is
// the context's error, not a timeout of the upstream.
func (p *Server) fail(ctx context.Context, op string, err error) *Error {
	if cerr := ctx.Err(); cerr != nil {
		return &Error{Op: op, Address: p.o.Address, Timeout: errors.Is(cerr, context.DeadlineExceeded), Err: cerr}
	}
	var ne net.Error
	timeout := errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
	return &Error{Op: op, Address: p.o.Address, Timeout: timeout, Malformed: errors.Is(err, errMalformed), Err: err}
}

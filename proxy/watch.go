package proxy

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// watch is how an HTTP/1 connection is read. net/http sets a read deadline six
// times for each request, and reads beside every handler, to notice a client that
// leaves. Nearly all of that is in vain: a busy connection reaches no deadline, and
// most answers are there before anybody would care. So a deadline costs something
// only where a Read would outlast it, and the client is looked at once somebody waits
// for its leaving. A Read never ends later than at the deadline set last, nor sooner.
type watch struct {
	mu      sync.Mutex
	wake    sync.Cond // for wait
	until   time.Time // the deadline that was set last; zero: none
	armed   time.Time // the one that the connection has, at until or earlier while it is read
	reading bool      // a Read of the connection is in progress
	looking bool      // whoever carries the request waits for its end
	waiting bool      // wait does
	closed  bool
}

// setDeadline is SetReadDeadline.
func (w *watch) setDeadline(nc net.Conn, t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = t
	if w.waiting && !t.IsZero() {
		w.wake.Signal()
	}
	if !w.reading {
		return nil
	}
	w.armed = t
	return nc.SetReadDeadline(t)
}

// read is Read of the connection.
func (w *watch) read(nc net.Conn, p []byte) (n int, err error) {
	for early := false; ; {
		w.begin(nc, early)
		n, err = nc.Read(p)
		if early = w.end(err) && n == 0; !early {
			return n, err
		}
	}
}

// begin sees to it that the connection's deadline is no later than the one in
// force. One that is earlier may stay unless it has just struck.
func (w *watch) begin(nc net.Conn, struck bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading = true
	if struck || !w.until.IsZero() && (w.armed.IsZero() || w.until.Before(w.armed)) {
		w.armed = w.until
		nc.SetReadDeadline(w.until)
	}
}

// end reports whether err is a deadline that is not in force any more.
func (w *watch) end(err error) (early bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading = false
	return err != nil && errors.Is(err, os.ErrDeadlineExceeded) && !w.over()
}

// over reports whether the deadline in force has passed.
func (w *watch) over() bool { return !w.until.IsZero() && !time.Now().Before(w.until) }

// wait comes before the Read by which net/http looks at the client beside a
// handler. It returns nil when that Read is to be made, else its error.
func (w *watch) wait() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = true
	for !w.looking && !w.closed && w.until.IsZero() {
		w.wake.Wait()
	}
	w.waiting = false
	switch {
	case w.closed:
		return net.ErrClosed
	case w.over():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// look begins to look at the client, until rest.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looking = true
	w.wake.Signal()
}

func (w *watch) rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looking = false
}

// close ends a wait: the connection was closed.
func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.wake.Signal()
}

// watchedContext is the context of a request on an HTTP/1 connection. It ends
// when the client leaves: whoever asks for Done wants to know.
type watchedContext struct {
	context.Context
	watch *watch
}

// Done implements context.Context.
func (c *watchedContext) Done() <-chan struct{} {
	c.watch.look()
	return c.Context.Done()
}

// context is that of what is done for the request.
func (x *exchange) context() context.Context {
	if g := x.c.h1.Load(); g != nil {
		return &watchedContext{x.r.Context(), &g.watch}
	}
	return x.r.Context()
}

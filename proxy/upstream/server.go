package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"edge"
	"edge/proxy/proxyproto"
)

// Server owns the connections to one upstream server. Safe for concurrent use.
type Server struct {
	o   Options
	tls *tls.Config
	h2  *http.Transport

	mu     sync.Mutex
	idle   []*conn  // last in, first out
	first  net.Conn // dialled, for the HTTP/2 transport
	closed bool
	inUse  int
	reaper *time.Timer // closes what has been idle too long
	armed  bool        // the reaper will run

	requests, failures atomic.Uint64
	last               atomic.Pointer[failure]
	down               atomic.Bool // the last connect failed
	multi              atomic.Bool // the upstream speaks HTTP/2
}

type failure struct {
	err  string
	when time.Time
}

// New returns a pool; it connects when it is asked to.
func New(o Options) *Server {
	def(&o.ConnectTimeout, 5*time.Second)
	def(&o.HeaderTimeout, 60*time.Second)
	def(&o.IdleTimeout, 60*time.Second)
	def(&o.BodyTimeout, 5*time.Minute)
	def(&o.MaxIdle, 128)
	def(&o.HeaderBytes, 64<<10)
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	if o.ServerName == "" {
		o.ServerName, _, _ = net.SplitHostPort(o.Address)
	}
	p := &Server{o: o}
	p.multi.Store(o.Scheme == "h2c")
	if o.Scheme == "https" {
		p.tls = &tls.Config{ServerName: o.ServerName, RootCAs: o.Roots, NextProtos: []string{"h2", "http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(16)}
		if o.Identity != nil {
			p.tls.Certificates = []tls.Certificate{*o.Identity}
		}
		if o.ProxyProtocol > 0 {
			p.tls.NextProtos = []string{"http/1.1"} // a stream cannot say whose it is
		}
	}
	p.h2 = p.newMulti()
	return p
}

func def[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// maxAttempts bounds the tries of one request: a connection from the pool that
// turns out to be dead, and a fresh one.
const maxAttempts = 3

// RoundTrip sends a request and returns the head of the final answer; the body
// is read from the Response. Errors are *Error. It sends a request again only
// where that is safe: nothing of an answer has come, the connection had been
// idle before, and the request is replayable or not a byte of it was sent.
// Neither r nor its header is kept after the return, but for Body and Trailer,
// which are read until the body of the Response is closed.
func (p *Server) RoundTrip(ctx context.Context, r *Request) (*Response, error) {
	p.requests.Add(1)
	for attempt := 1; ; attempt++ {
		res, again, err := p.try(ctx, r, attempt == maxAttempts)
		if err == nil {
			res.Attempts = attempt
			return res, nil
		}
		if again && attempt < maxAttempts && ctx.Err() == nil {
			continue
		}
		if ctx.Err() == nil && !err.Client {
			p.failures.Add(1)
			p.last.Store(&failure{err.Error(), time.Now()})
		}
		return nil, err
	}
}

// try makes one attempt. again means that another one is safe.
func (p *Server) try(ctx context.Context, r *Request, fresh bool) (res *Response, again bool, err *Error) {
	if p.multi.Load() && r.Upgrade == "" {
		res, err := p.roundTrip2(ctx, r)
		return res, false, err // net/http has tried again where that is safe
	}
	var c *conn
	if !fresh && p.o.ProxyProtocol == 0 {
		c = p.takeIdle()
	}
	if c == nil {
		nc, derr := p.dial(ctx, r)
		if derr != nil {
			return nil, false, p.fail(ctx, "connect", derr)
		}
		if tc, ok := nc.(*tls.Conn); ok && tc.ConnectionState().NegotiatedProtocol == "h2" {
			p.speaksHTTP2(nc)
			res, err := p.roundTrip2(ctx, r)
			return res, false, err
		}
		c = newConn(p, nc)
		p.count(1)
	}
	res, sent, rerr := c.exchange(ctx, r)
	if rerr == nil {
		return res, false, nil
	}
	c.close()
	p.count(-1)
	again = c.uses > 0 && !rerr.Timeout && !rerr.Malformed && !c.answered && (r.Replayable || !sent)
	return nil, again, rerr
}

func (p *Server) count(n int) {
	p.mu.Lock()
	p.inUse += n
	p.mu.Unlock()
}

// dial connects, TLS included. r is nil for connections that many requests share.
func (p *Server) dial(ctx context.Context, r *Request) (net.Conn, error) {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	dctx, cancel := context.WithTimeout(ctx, p.o.ConnectTimeout)
	defer cancel()
	nc, err := p.connect(dctx, r)
	if err == nil && p.tls != nil {
		cfg := p.tls
		if r != nil && r.Upgrade != "" {
			cfg = cfg.Clone()
			cfg.NextProtos = []string{"http/1.1"}
		}
		tc := tls.Client(newLink(nc), cfg)
		if err = tc.HandshakeContext(dctx); err != nil {
			_ = nc.Close()
		}
		nc = tc
	}
	if ctx.Err() == nil {
		p.down.Store(err != nil)
	}
	if err != nil {
		if ctx.Err() == nil && errors.Is(dctx.Err(), context.DeadlineExceeded) {
			err = errors.Join(errConnectTimeout, err)
		}
		return nil, err
	}
	return nc, nil
}

// connect makes the connection beneath TLS, with a PROXY protocol header where
// the server wants one.
func (p *Server) connect(ctx context.Context, r *Request) (net.Conn, error) {
	network, address := "tcp", p.o.Address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	nc, err := p.o.Dial(ctx, network, address)
	if err != nil || p.o.ProxyProtocol == 0 {
		return nc, err
	}
	var from, to netip.AddrPort
	if r != nil {
		from, to = r.Client, r.Local
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = nc.SetWriteDeadline(deadline)
	}
	if _, err := nc.Write(proxyproto.Append(nil, p.o.ProxyProtocol, from, to)); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return nc, nc.SetWriteDeadline(time.Time{})
}

// Connect makes a connection, TLS included, and closes it: a check of whether
// that can be done.
func (p *Server) Connect(ctx context.Context) error {
	nc, err := p.dial(ctx, nil)
	if err != nil {
		return err
	}
	return nc.Close()
}

// errConnectTimeout is a net.Error, so that it counts as a timeout.
var errConnectTimeout error = connectTimeout{}

type connectTimeout struct{}

func (connectTimeout) Error() string   { return "no connection within connect_timeout" }
func (connectTimeout) Timeout() bool   { return true }
func (connectTimeout) Temporary() bool { return true }

// takeIdle returns the connection that was used last, counted as in use, or nil.
// It looks at each first: what came after an answer was complete would be taken
// for the answer to somebody else's request.
func (p *Server) takeIdle() *conn {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.inUse++
		p.mu.Unlock()
		if time.Since(c.idleSince) < p.o.IdleTimeout && c.alive() {
			return c
		}
		p.discard(c)
	}
}

// release puts a connection back after a complete exchange.
func (p *Server) release(c *conn) {
	c.idleSince = time.Now()
	c.uses++
	p.mu.Lock()
	p.inUse--
	keep := !p.closed && len(p.idle) < p.o.MaxIdle && p.o.ProxyProtocol == 0
	if keep {
		p.idle = append(p.idle, c)
		if !p.armed {
			p.arm(p.o.IdleTimeout)
		}
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

// arm lets the reaper run after d; p.mu is held.
func (p *Server) arm(d time.Duration) {
	p.armed = true
	if p.reaper == nil {
		p.reaper = time.AfterFunc(d, p.reap)
	} else {
		p.reaper.Reset(d)
	}
}

// reap closes the connections at the bottom of the stack whose time is over,
// also those of a pool that nobody uses any more: the upstream may have closed
// its side long ago, and each holds a descriptor.
func (p *Server) reap() {
	now := time.Now()
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].idleSince) >= p.o.IdleTimeout {
		n++
	}
	stale := slices.Clone(p.idle[:n])
	p.idle = slices.Delete(p.idle, 0, n)
	if p.armed = len(p.idle) > 0; p.armed {
		p.arm(p.idle[0].idleSince.Add(p.o.IdleTimeout).Sub(now))
	}
	p.mu.Unlock()
	for _, c := range stale {
		c.close()
	}
}

// discard ends a connection whose exchange was not completed.
func (p *Server) discard(c *conn) {
	c.close()
	p.count(-1)
}

// Host is Options.Host of the server.
func (p *Server) Host() string { return p.o.Host() }

// Close closes idle connections now and the others when their request is over.
func (p *Server) Close() {
	p.mu.Lock()
	idle, first := p.idle, p.first
	p.idle, p.first, p.closed = nil, nil, true
	if p.reaper != nil {
		p.reaper.Stop()
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
	if first != nil {
		first.Close()
	}
	p.h2.CloseIdleConnections()
}

// Status describes the upstream. Site is left to the caller.
func (p *Server) Status() edge.UpstreamStatus {
	p.mu.Lock()
	s := edge.UpstreamStatus{InUse: p.inUse, Idle: len(p.idle)}
	p.mu.Unlock()
	s.Address, s.Healthy = p.o.Address, !p.down.Load()
	s.Requests, s.Failures = p.requests.Load(), p.failures.Load()
	if f := p.last.Load(); f != nil {
		s.LastError, s.LastFail = f.err, f.when
	}
	return s
}

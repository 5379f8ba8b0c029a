package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"edge/proxy/policy"
)

// HTTP/2 to the upstream: net/http has the connections and their streams, the
// pool dials them.

// newMulti returns the HTTP/2 side of a pool.
func (p *Server) newMulti() *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dialMulti(ctx) },
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return p.dialMulti(ctx)
		},
		DisableCompression: true, IdleConnTimeout: p.o.IdleTimeout, MaxIdleConnsPerHost: p.o.MaxIdle,
		MaxResponseHeaderBytes: int64(p.o.HeaderBytes), Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: 30 * time.Second},
	}
	t.Protocols.SetUnencryptedHTTP2(p.o.Scheme == "h2c")
	t.Protocols.SetHTTP2(p.o.Scheme == "https")
	return t
}

// dialMulti hands over the connection by which the upstream turned out to speak
// HTTP/2, and dials more when streams need them.
func (p *Server) dialMulti(ctx context.Context) (net.Conn, error) {
	p.mu.Lock()
	nc := p.first
	p.first = nil
	p.mu.Unlock()
	if nc != nil {
		return nc, nil
	}
	return p.dial(ctx, nil)
}

// speaksHTTP2 notes that the upstream chose h2 and keeps nc for the transport.
func (p *Server) speaksHTTP2(nc net.Conn) {
	p.mu.Lock()
	old := p.first
	p.first = nc
	p.multi.Store(true)
	p.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

// roundTrip2 sends r on a stream.
func (p *Server) roundTrip2(ctx context.Context, r *Request) (*Response, *Error) {
	rctx, cancel := context.WithCancelCause(ctx)
	q := request2(rctx, cancel, p, r)
	// The time for the header starts when the request is out; a body that is
	// still being sent gives more.
	timer := time.AfterFunc(p.o.HeaderTimeout, func() { cancel(errHeaderTimeout) })
	b, _ := q.Body.(*body2)
	if b != nil {
		b.timer, b.every = timer, p.o.HeaderTimeout
	}
	p.count(1)
	res, err := p.h2.RoundTrip(q)
	headerInTime := timer.Stop()
	starved := b != nil && b.waiting.Load()
	if err != nil || !headerInTime && context.Cause(rctx) == errHeaderTimeout {
		if err == nil {
			res.Body.Close()
		}
		if cause := context.Cause(rctx); cause != nil && ctx.Err() == nil {
			err = cause // and not what the library made of it
		}
		cancel(nil)
		p.count(-1)
		op := "header"
		var e *net.OpError
		if errors.As(err, &e) && e.Op == "dial" {
			op = "connect"
		}
		failed := p.fail(ctx, op, err)
		failed.Client = starved || isBodyError(err)
		return nil, failed
	}
	out := &Response{Status: res.StatusCode, ContentLength: res.ContentLength, Address: p.o.Address}
	for name, values := range res.Header {
		for _, v := range values {
			out.Header = append(out.Header, policy.Field{Name: name, Value: v})
		}
	}
	out.Body = &answer2{p: p, body: res.Body, ctx: ctx, cancel: cancel}
	out.Trailer = func() []policy.Field { return listFields(res.Trailer) }
	return out, nil
}

var errHeaderTimeout error = headerTimeout{}

type headerTimeout struct{}

func (headerTimeout) Error() string   { return "no answer within header_timeout" }
func (headerTimeout) Timeout() bool   { return true }
func (headerTimeout) Temporary() bool { return true }

// request2 is r as net/http has it. refuse ends it, with a cause.
func request2(ctx context.Context, refuse context.CancelCauseFunc, p *Server, r *Request) *http.Request {
	if r.Interim != nil {
		n := 0
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if n++; n > maxInterim {
					refuse(malformed("more than %d interim answers", maxInterim))
				} else if err := r.Interim(code, listFields(http.Header(h))); err != nil {
					refuse(err)
				}
				return context.Cause(ctx)
			},
		})
	}
	scheme := "http"
	if p.tls != nil {
		scheme = "https"
	}
	path, query, _ := strings.Cut(r.Target, "?")
	q := &http.Request{
		Method: r.Method, Host: r.Host, Proto: "HTTP/2.0", ProtoMajor: 2,
		URL:    &url.URL{Scheme: scheme, Host: p.o.Host(), Opaque: path, RawQuery: query},
		Header: make(http.Header, len(r.Header)+1),
	}
	if strings.HasPrefix(path, "//") {
		// An opaque path of two slashes would be read as an authority.
		q.URL.Opaque, q.URL.RawPath = "", path
		q.URL.Path, _ = url.PathUnescape(path)
	}
	for _, f := range r.Header {
		name := http.CanonicalHeaderKey(f.Name)
		q.Header[name] = append(q.Header[name], f.Value)
	}
	if _, ok := q.Header["User-Agent"]; !ok {
		q.Header["User-Agent"] = []string{""} // or the library would name itself
	}
	if r.Body != nil {
		q.Body, q.ContentLength = &body2{Reader: r.Body, trailer: r.Trailer, header: &q.Trailer, refuse: refuse}, r.ContentLength
		if r.Trailer != nil {
			q.Trailer = http.Header{}
			for _, name := range r.TrailerNames {
				q.Trailer[http.CanonicalHeaderKey(name)] = nil
			}
		}
	}
	return q.WithContext(ctx)
}

// body2 is the request body; at its end the trailer becomes known.
type body2 struct {
	io.Reader
	trailer func() []policy.Field
	header  *http.Header
	timer   *time.Timer
	every   time.Duration
	waiting atomic.Bool // for more of the body
	refuse  context.CancelCauseFunc
}

func (b *body2) Read(p []byte) (int, error) {
	b.waiting.Store(true)
	n, err := b.Reader.Read(p)
	b.waiting.Store(false)
	if n > 0 && b.timer != nil && b.timer.Stop() {
		b.timer.Reset(b.every)
	}
	if err == io.EOF && b.trailer != nil {
		for _, f := range b.trailer() {
			b.header.Add(f.Name, f.Value)
		}
	}
	if err != nil && err != io.EOF {
		err = bodyError{err}
		b.refuse(err)
	}
	return n, err
}

// Close does nothing: the body belongs to whoever gave it.
func (b *body2) Close() error { return nil }

// answer2 is the body of an answer on a stream.
type answer2 struct {
	p      *Server
	body   io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	closed bool
}

func (a *answer2) Read(b []byte) (int, error) {
	if a.timer == nil {
		a.timer = time.AfterFunc(a.p.o.BodyTimeout, func() { a.cancel(errBodyTimeout) })
	} else {
		a.timer.Reset(a.p.o.BodyTimeout)
	}
	n, err := a.body.Read(b)
	a.timer.Stop()
	if err != nil && err != io.EOF {
		err = a.p.fail(a.ctx, "body", err)
	}
	return n, err
}

var errBodyTimeout = errors.New("no byte of the body within its time")

func (a *answer2) Close() error {
	if a.closed {
		return nil
	}
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
	err := a.body.Close()
	a.cancel(nil)
	a.p.count(-1)
	return err
}

func listFields(h http.Header) []policy.Field {
	var out []policy.Field
	for name, values := range h {
		for _, v := range values {
			out = append(out, policy.Field{Name: name, Value: v})
		}
	}
	return out
}

package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"

	"edge/proxy/policy"
	"edge/proxy/upstream"
)

// stubPool is a Pool on net/http's client.
type stubPool struct {
	o upstream.Options
	t http.Transport
}

func newStubPool(o upstream.Options) *stubPool {
	p := &stubPool{o: o}
	p.t.DisableCompression = true
	p.t.ExpectContinueTimeout = 0
	if o.Scheme == "h2c" {
		p.t.Protocols = new(http.Protocols)
		p.t.Protocols.SetUnencryptedHTTP2(true)
	}
	return p
}

func (p *stubPool) Close() { p.t.CloseIdleConnections() }

func (p *stubPool) RoundTrip(ctx context.Context, r *upstream.Request) (*upstream.Response, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error { return r.Interim(code, listOf(http.Header(h))) },
	})
	q, err := http.NewRequestWithContext(ctx, r.Method, "http://"+p.o.Address+r.Target, nil)
	if err != nil {
		return nil, err
	}
	if r.Body != nil {
		q.Body = io.NopCloser(&trailingBody{r.Body, func() {
			for _, f := range r.Trailer() {
				q.Trailer.Set(f.Name, f.Value)
			}
		}})
		q.ContentLength = r.ContentLength
		q.Trailer = http.Header{"X-Sum": nil}
	}
	q.Host = r.Host
	for _, f := range r.Header {
		q.Header.Add(f.Name, f.Value)
	}
	if r.Upgrade != "" {
		q.Header.Set("Connection", "Upgrade")
		q.Header.Set("Upgrade", r.Upgrade)
	}
	s, err := p.t.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	res := &upstream.Response{Status: s.StatusCode, Body: s.Body, ContentLength: s.ContentLength, Address: p.o.Address, Attempts: 1, Header: listOf(s.Header)}
	res.Trailer = func() []policy.Field { return listOf(s.Trailer) }
	if s.StatusCode == 101 {
		res.Upgraded = upgradedConn{ReadWriteCloser: s.Body.(io.ReadWriteCloser)}
	}
	return res, nil
}

type upgradedConn struct {
	net.Conn
	io.ReadWriteCloser
}

func (c upgradedConn) Read(p []byte) (int, error)  { return c.ReadWriteCloser.Read(p) }
func (c upgradedConn) Write(p []byte) (int, error) { return c.ReadWriteCloser.Write(p) }
func (c upgradedConn) Close() error                { return c.ReadWriteCloser.Close() }

type trailingBody struct {
	io.Reader
	eof func()
}

func (b *trailingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.eof()
	}
	return n, err
}

func listOf(h http.Header) (out []policy.Field) {
	for k, vv := range h {
		for _, v := range vv {
			out = append(out, policy.Field{Name: k, Value: v})
		}
	}
	return out
}

type tableFunc func(*policy.Request) policy.Decision

func (f tableFunc) Decide(r *policy.Request) policy.Decision { return f(r) }

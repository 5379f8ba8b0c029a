package proxy

import (
	"context"
	"net/http"

	"edge/proxy/policy"
	"edge/proxy/upstream"
)

type stubPool struct {
	o upstream.Options
	t http.Transport
}

func newStubPool(o upstream.Options) *stubPool { return &stubPool{o: o} }
func (p *stubPool) Close()                     { p.t.CloseIdleConnections() }
func (p *stubPool) RoundTrip(ctx context.Context, r *upstream.Request) (*upstream.Response, error) {
	q, err := http.NewRequestWithContext(ctx, r.Method, "http://"+p.o.Address+r.Target, r.Body)
	if err != nil {
		return nil, err
	}
	if r.Body != nil {
		q.ContentLength = r.ContentLength
	}
	q.Host = r.Host
	for _, f := range r.Header {
		q.Header.Add(f.Name, f.Value)
	}
	s, err := p.t.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	res := &upstream.Response{Status: s.StatusCode, Body: s.Body, ContentLength: s.ContentLength, Address: p.o.Address, Attempts: 1}
	for k, vv := range s.Header {
		for _, v := range vv {
			res.Header = append(res.Header, policy.Field{Name: k, Value: v})
		}
	}
	return res, nil
}

type tableFunc func(*policy.Request) policy.Decision

func (f tableFunc) Decide(r *policy.Request) policy.Decision { return f(r) }

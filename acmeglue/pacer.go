package acmeglue

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A CA is asked again and again until it has validated and issued. The first
// questions come quickly, since many CAs are done in milliseconds, the later
// ones ever more slowly, and Retry-After is honoured where the CA sends it. The
// ACME library has one fixed interval; so the interval is made here, below it.

// pace is what the requests of one operation have in common.
type pace struct {
	mu         sync.Mutex
	last       string // URL polled last
	wait       time.Duration
	retryAfter time.Time // of the last error answer
	status     int       // of that answer
	notBefore  time.Time // the last answer's demand, for the URL polled last
}

type paceKey struct{}

func withPace(ctx context.Context) (context.Context, *pace) {
	p := &pace{}
	return context.WithValue(ctx, paceKey{}, p), p
}

const (
	firstPoll = 10 * time.Millisecond
	maxPoll   = 5 * time.Second
)

// next returns how long to wait before url is asked once more.
func (p *pace) next(url string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != url {
		p.last, p.wait, p.notBefore = url, 0, time.Time{}
		return 0
	}
	if p.wait == 0 {
		p.wait = firstPoll
	} else {
		p.wait = min(p.wait*3/2, maxPoll)
	}
	return max(p.wait, time.Until(p.notBefore))
}

// pacer is a transport that keeps the pace of the operation in the context.
type pacer struct{ next http.RoundTripper }

func (t pacer) RoundTrip(req *http.Request) (*http.Response, error) {
	p, _ := req.Context().Value(paceKey{}).(*pace)
	if p == nil {
		return t.next.RoundTrip(req)
	}
	if req.Method == http.MethodPost {
		if err := sleep(req.Context(), p.next(req.URL.String())); err != nil {
			return nil, err
		}
	}
	res, err := t.next.RoundTrip(req)
	if err == nil {
		p.answered(res.StatusCode, parseRetryAfter(res.Header.Get("Retry-After"), time.Now()))
	}
	return res, err
}

// answered notes how long the CA wants to be left alone.
func (p *pace) answered(status int, after time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if status < 400 {
		p.notBefore = after
		return
	}
	p.retryAfter, p.status = after, status
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// parseRetryAfter reads both forms of RFC 9110 section 10.2.3.
func parseRetryAfter(v string, now time.Time) time.Time {
	if n, err := strconv.Atoi(v); err == nil && n >= 0 && n < 365*24*3600 {
		return now.Add(time.Duration(n) * time.Second)
	}
	if t, err := http.ParseTime(v); err == nil {
		return t
	}
	return time.Time{}
}

// explained carries the Retry-After of the answer that an error came from.
type explained struct {
	err        error
	retryAfter time.Time
	status     int
}

func (e *explained) Error() string { return e.err.Error() }
func (e *explained) Unwrap() error { return e.err }

func (p *pace) explain(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil || p.status == 0 {
		return err
	}
	return &explained{err, p.retryAfter, p.status}
}

// newTransport is for talking to CAs: everything has a limit.
func newTransport(roots *x509.CertPool) http.RoundTripper {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    8,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
}

// CloseIdleConnections lets go of connections to the CA.
func (i *Issuer) CloseIdleConnections() { i.client.HTTPClient.CloseIdleConnections() }

// CloseIdleConnections is looked for by http.Client.
func (t pacer) CloseIdleConnections() { closeIdle(t.next) }

package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are what a Client is made of.
type Options struct {
	// Base is what paths are put behind: "https://pve.example.org:8006/api2/json".
	Base string
	// Roots verify the service; nil: the system's.
	Roots *x509.CertPool
	// Fingerprint, where set, is the SHA-256 of the service's leaf, in hex, with colons or
	// without: it is trusted then, whoever issued it, and no other is. Of several, with
	// commas between them, any: a service whose own certificate is delivered changes it.
	Fingerprint string
	// Sign adds credentials to each request before it is sent, repeated ones too; nil: none.
	Sign func(r *http.Request, body []byte) error
	// Secrets are kept out of errors.
	Secrets []string
	// AllowHTTP allows plain HTTP to the loopback.
	AllowHTTP bool

	Dial      func(ctx context.Context, network, addr string) (net.Conn, error) // nil: net.Dialer's
	Transport func(http.RoundTripper) http.RoundTripper                         // nil: none

	Timeout time.Duration // of one request; zero: 30 seconds
	Limit   int64         // of an answer, in bytes; zero: 1 MiB
	// Tries is how often something is asked that fails for a reason that passes; zero: 4.
	Tries int
	// Wait is what is done between tries; nil: a timer.
	Wait func(ctx context.Context, d time.Duration) error
	Now  func() time.Time // nil: time.Now
}

// Client speaks to one service. Safe for concurrent use.
type Client struct {
	o    Options
	base *url.URL
	http *http.Client
}

// Request is one request.
type Request struct {
	Method string
	Path   string // escaped, behind Base, with its slash: "/apps/x/domains"
	Query  url.Values
	Header http.Header
	Body   []byte
	Type   string // Content-Type of the body
	// Again allows it to be sent again where nobody knows whether it arrived. GET, HEAD,
	// PUT and DELETE are sent again anyway.
	Again bool
}

// Response is an answer of 2xx.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// New checks the options.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.Base)
	if err != nil || base.Hostname() == "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return nil, fmt.Errorf("%q is no address of a service; write https://HOST:PORT", clip(userinfo.ReplaceAllString(o.Base, "//")))
	}
	if base.Scheme != "https" && (base.Scheme != "http" || !o.AllowHTTP || !loopback(base.Hostname())) {
		return nil, fmt.Errorf("%s: credentials and keys go over https only", o.Base)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots}
	if o.Fingerprint != "" {
		verify, err := pinned(o.Fingerprint)
		if err != nil {
			return nil, err
		}
		config.InsecureSkipVerify = true // the fingerprint says more than a chain
		config.VerifyConnection = verify
	}
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	var transport http.RoundTripper = &http.Transport{
		DialContext: dial, TLSClientConfig: config, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
		TLSHandshakeTimeout: 10 * time.Second, DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment,
	}
	if o.Transport != nil {
		transport = o.Transport(transport)
	}
	return &Client{o, base, &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Do sends a request until it is answered with 2xx, or with something that does not
// pass. An answer that is no success is a *StatusError.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	again := r.Again || slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete}, r.Method)
	pause := 500 * time.Millisecond
	for try := 1; ; try++ {
		resp, err := c.once(ctx, r)
		if err == nil {
			return resp, nil
		}
		wait, passes := c.passes(err, pause, again)
		if !passes || try >= cmp.Or(c.o.Tries, 4) || ctx.Err() != nil {
			return nil, err
		}
		if werr := c.wait(ctx, wait); werr != nil {
			return nil, fmt.Errorf("%w (%w)", err, werr)
		}
		pause *= 2
	}
}

// passes says whether it is of use to ask again, and when.
func (c *Client) passes(err error, pause time.Duration, again bool) (time.Duration, bool) {
	var status *StatusError
	if !errors.As(err, &status) {
		return pause, !final(err) && (again || unsent(err)) // nobody knows whether it arrived
	}
	switch status.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return min(max(c.retryAfter(status.Header), pause), time.Minute), true // it was not done
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return pause, again
	}
	return 0, false
}

func (c *Client) retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n >= 0 && n < 1<<20 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return at.Sub(c.now())
	}
	return 0
}

func (c *Client) wait(ctx context.Context, d time.Duration) error {
	if c.o.Wait != nil {
		return c.o.Wait(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Client) now() time.Time {
	if c.o.Now != nil {
		return c.o.Now()
	}
	return time.Now()
}

// once sends a request once.
func (c *Client) once(ctx context.Context, r Request) (*Response, error) {
	timeout := cmp.Or(c.o.Timeout, 30*time.Second)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	if r.Path != "" && r.Path[0] != '/' {
		return nil, &finalError{fmt.Errorf("%s %s: the path %q does not begin with a slash", r.Method, c.base.Host, clip(c.redact(r.Path)))}
	}
	target := strings.TrimSuffix(c.base.String(), "/") + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, bytes.NewReader(r.Body))
	if err != nil {
		return nil, &finalError{c.clean(err)}
	}
	for name, values := range r.Header {
		req.Header[name] = slices.Clone(values)
	}
	if r.Type != "" {
		req.Header.Set("Content-Type", r.Type)
	}
	if c.o.Sign != nil {
		if err := c.o.Sign(req, r.Body); err != nil {
			return nil, &finalError{c.clean(err)}
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // its URL may have a query with secrets
		}
		return nil, c.clean(fmt.Errorf("%s %s%s: %w", r.Method, c.base.Host, r.Path, err))
	}
	defer resp.Body.Close() // it was read
	limit := cmp.Or(c.o.Limit, 1<<20)
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case resp.StatusCode/100 != 2:
		return nil, c.refused(r, resp, body[:min(len(body), 64<<10)])
	case err != nil:
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, c.clean(fmt.Errorf("%s %s%s: the answer ended early: %w", r.Method, c.base.Host, r.Path, err))
	case int64(len(body)) > limit:
		return nil, &finalError{c.clean(fmt.Errorf("%s %s%s: the answer has more than %d bytes", r.Method, c.base.Host, r.Path, limit))}
	}
	return &Response{resp.StatusCode, resp.Header, body}, nil
}

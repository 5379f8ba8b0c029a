package selfcheck

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"edge"
	"edge/installers/target"
)

// Patience is how long a site may take to give an answer.
type Patience struct {
	Tries int
	Pause time.Duration // between two tries
	// Hint is what people can do when it does not come.
	Hint string
}

const (
	timeout   = 10 * time.Second // of one request
	redirects = 10
	maxAnswer = 4 << 10 // bytes; a key authorization has about ninety
)

// Await asks for each answer until it comes.
func Await(ctx context.Context, env *target.Env, batch []edge.Answer, p Patience) error {
	for _, a := range batch {
		if err := await(ctx, env, a, p); err != nil {
			return err
		}
	}
	return nil
}

func await(ctx context.Context, env *target.Env, a edge.Answer, p Patience) error {
	for try := 1; ; try++ {
		err := ask(ctx, env, a)
		switch {
		case err == nil:
			return nil
		case context.Cause(ctx) != nil:
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case try >= p.Tries && unreachable(err):
			env.Log.Warn("this machine cannot reach the site, so nobody knows whether it gives the answer", "name", a.Identifier.Value, "error", err)
			return nil
		case try >= p.Tries:
			return fmt.Errorf("%w; %s", err, p.Hint)
		}
		if err := env.Pause(ctx, p.Pause); err != nil {
			return err
		}
	}
}

// unreachable reports whether nothing was reached that could have answered.
func unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial"
}

func ask(ctx context.Context, env *target.Env, a edge.Answer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	host := a.Identifier.Value
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		host = "[" + host + "]"
	}
	at := (&url.URL{Scheme: "http", Host: host, Path: "/.well-known/acme-challenge/" + a.Token}).String()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	resp, err := client(env).Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // at is where it began
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("%s: %w", at, err)
	}
	defer resp.Body.Close() // read as far as it matters
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if got := strings.TrimRight(string(body), " \t\r\n"); resp.StatusCode != http.StatusOK || got != a.KeyAuth {
		return fmt.Errorf("%s answers %.40q with %.60q, not the key authorization", at, resp.Status, body)
	}
	return nil
}

// client follows redirects to the ports that a CA follows them to, and trusts every
// certificate, since the one that is coming may be the first.
func client(env *target.Env) *http.Client {
	var transport http.RoundTripper = &http.Transport{
		DialContext: env.Dial, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10},
	}
	if env.Transport != nil {
		transport = env.Transport(transport)
	}
	return &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		switch {
		case len(via) > redirects:
			return errors.New("too many redirects")
		case r.URL.Port() != "" && r.URL.Port() != "80" && r.URL.Port() != "443":
			return fmt.Errorf("it leads to port %s, where no CA goes", r.URL.Port())
		}
		return nil
	}}
}

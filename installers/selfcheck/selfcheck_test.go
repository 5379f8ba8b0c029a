package selfcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/installers/target"
)

// bench is a site under the name a.test, whose port 80 and 443 are servers on the
// loopback; b.test is nowhere.
func bench(t *testing.T, handler http.HandlerFunc) (*target.Env, *bytes.Buffer) {
	t.Helper()
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	said := &bytes.Buffer{}
	return &target.Env{
		Log:  slog.New(slog.NewTextHandler(said, nil)),
		Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			switch addr {
			case "a.test:80":
				addr = plain.Listener.Addr().String()
			case "a.test:443":
				addr = secure.Listener.Addr().String()
			default:
				return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: addr}}
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}, said
}

func answer(host string) []edge.Answer {
	return []edge.Answer{{Identifier: edge.Identifier{Type: edge.DNS, Value: host}, Type: edge.HTTP01, Token: "tok", KeyAuth: "tok.key"}}
}

func TestAwait(t *testing.T) {
	asked := 0
	env, said := bench(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		switch {
		case r.Host != "a.test" || r.URL.Path != "/.well-known/acme-challenge/tok":
			t.Errorf("%s %s", r.Host, r.URL)
		case r.TLS == nil:
			http.Redirect(w, r, "https://a.test"+r.URL.Path, http.StatusMovedPermanently)
		case asked < 6: // two requests a try
			http.Error(w, "not yet", http.StatusForbidden)
		default:
			fmt.Fprintln(w, "tok.key")
		}
	})
	if err := Await(t.Context(), env, answer("a.test"), Patience{Tries: 3}); err != nil || asked != 6 {
		t.Errorf("%v after %d requests", err, asked)
	}
	if said.Len() > 0 {
		t.Error(said)
	}
	if err := Await(t.Context(), env, answer("b.test"), Patience{Tries: 3}); err != nil || !strings.Contains(said.String(), "cannot reach the site") {
		t.Errorf("%v %s", err, said)
	}
}

func TestAwaitFails(t *testing.T) {
	for says, handler := range map[string]http.HandlerFunc{
		"not the key authorization; do this": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "tok.other") },
		"403 Forbidden":                      func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "tok.key", http.StatusForbidden) },
		"too many redirects":                 func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
		"no CA goes": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://a.test:8080/", http.StatusFound)
		},
		"EOF": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		env, _ := bench(t, handler)
		err := Await(t.Context(), env, answer("a.test"), Patience{Tries: 2, Hint: "do this"})
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "http://a.test/.well-known/") {
			t.Errorf("%s: %v", says, err)
		}
	}
	env, _ := bench(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 1<<20)) })
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("it is over"))
	if err := Await(ctx, env, answer("a.test"), Patience{Tries: 2}); err == nil || !strings.Contains(err.Error(), "it is over") {
		t.Error(err)
	}
	if err := Await(t.Context(), env, answer("a.test"), Patience{Tries: 1}); err == nil || len(err.Error()) > 300 {
		t.Error(err)
	}
}

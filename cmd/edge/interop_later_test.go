package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"edge/internal/edgetest"
)

// A renewal that nothing but a rate limit stands in the way of is told from others
// by its exit code, and hides no other failure. No later run asks the CA before it
// wants to be asked, by whatever name.
func TestRenewLater(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	tr.do("edge", "certonly -n --agree-tos -m a@example.org --standalone --http-01-port PORT -d a.example.test")
	var all, orders atomic.Int64
	tr.ca.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if all.Add(1); !strings.Contains(r.URL.Path, "order-plz") {
			return false
		}
		orders.Add(1)
		w.Header().Set("Retry-After", "3600")
		return answer("", "application/problem+json", 429, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many of these"}`)(w, r)
	})
	renew := func(program string, want int) outcome {
		t.Helper()
		args := strings.Fields("renew --force-renewal --no-random-sleep-on-renew")
		if program == "edge" {
			args = append(args, "--no-preflight")
		}
		out := tr.run(program, args...)
		if out.code != want || !strings.Contains(out.stderr, "too many of these") || !strings.Contains(out.stderr, "1 renew failure(s)") {
			t.Errorf("%s: exit status %d, want %d\n%s", program, out.code, want, out.stderr)
		}
		return out
	}
	renew("edge", exitTryLater)
	if orders.Load() != 1 {
		t.Errorf("%d orders", orders.Load())
	}
	all.Store(0)
	out := renew("edge", exitTryLater)
	renew(ours, exitFailed)
	if all.Load() != 0 {
		t.Errorf("the CA was asked %d times while it wants to be left alone", all.Load())
	}
	if !strings.Contains(out.stderr, "not asked before ") {
		t.Errorf("no word of when:\n%s", out.stderr)
	}
	// A lineage that cannot be read is a failure of another kind.
	tr.write("config/renewal/broken.conf", "version = 2\n", 0o644)
	renew("edge", exitFailed)
	if v := tr.version("a.example.test"); v != "1" {
		t.Errorf("version %s", v)
	}
}

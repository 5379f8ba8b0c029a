package acmeglue

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"edge"
	"edge/internal/edgetest"
)

// Every error gets a cause that people can act on.
func TestErrorsAreClassified(t *testing.T) {
	problem := func(kind string, status int, sub ...string) error {
		p := acme.Problem{Type: kind, Status: status}
		for _, s := range sub {
			p.Subproblems = append(p.Subproblems, acme.Subproblem{Problem: acme.Problem{Type: s}})
		}
		return fmt.Errorf("new order: %w", p)
	}
	const ns = "urn:ietf:params:acme:error:"
	for _, tc := range []struct {
		err  error
		want edge.Reason
	}{
		{problem(ns+"dns", 400), edge.ReasonDNS},
		{problem(ns+"connection", 400), edge.ReasonConnection},
		{problem(ns+"tls", 400), edge.ReasonConnection},
		{problem(ns+"unauthorized", 403), edge.ReasonUnauthorized},
		{problem(ns+"incorrectResponse", 403), edge.ReasonUnauthorized},
		{problem(ns+"rateLimited", 429), edge.ReasonRateLimited},
		{problem(ns+"caa", 403), edge.ReasonCAA},
		{problem(ns+"serverInternal", 500), edge.ReasonServer},
		{problem(ns+"badNonce", 400), edge.ReasonServer},
		{problem(ns+"rejectedIdentifier", 400), edge.ReasonPermission},
		{problem(ns+"externalAccountRequired", 400), edge.ReasonPermission},
		{problem(ns+"userActionRequired", 403), edge.ReasonPermission},
		{problem(ns+"compound", 400, ns+"somethingNew", ns+"caa"), edge.ReasonCAA},
		{problem("about:blank", 429), edge.ReasonRateLimited},
		{problem("about:blank", 403), edge.ReasonPermission},
		{problem("something of this CA's own", 400), edge.ReasonServer},
		{fmt.Errorf("x: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), edge.ReasonConnection},
		{&net.DNSError{Name: "ca.test", IsNotFound: true}, edge.ReasonDNS},
		{context.DeadlineExceeded, edge.ReasonTimeout},
		{os.ErrDeadlineExceeded, edge.ReasonTimeout},
		{fmt.Errorf("store: %w", os.ErrPermission), edge.ReasonPermission},
		{errors.New("who knows"), edge.ReasonServer},
	} {
		if got := reasonOf(tc.err); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.err, got, tc.want)
		}
	}
}

// A CA is polled soon, then ever more slowly, and never before it has said.
func TestPollingStartsShortAndObeysRetryAfter(t *testing.T) {
	p := &pace{}
	var waits []time.Duration
	for range 30 {
		waits = append(waits, p.next("https://ca.test/order/1"))
	}
	if waits[0] != 0 || waits[1] != firstPoll || waits[2] <= waits[1] || waits[29] != maxPoll {
		t.Errorf("waits %v", waits)
	}
	p.answered(200, time.Now().Add(time.Minute))
	if d := p.next("https://ca.test/order/1"); d < 59*time.Second {
		t.Errorf("asked again after %v, against Retry-After", d)
	}
	if d := p.next("https://ca.test/finalize/1"); d != 0 {
		t.Errorf("another URL has to wait %v", d)
	}
}

func TestKeyTypes(t *testing.T) {
	g := openGate(t)
	i := g.issuer(t, g.ca(t, edgetest.CAOptions{}), nil)
	for kind, want := range map[KeyType]string{"": "P-256", P256: "P-256", P384: "P-384", RSA2048: "2048", RSA4096: "4096"} {
		issued, leaf := mustIssue(t, i, Order{Identifiers: []edge.Identifier{{Type: edge.DNS, Value: "k" + string(kind) + ".test"}}, KeyType: kind})
		var got string
		switch k := leaf.PublicKey.(type) {
		case *ecdsa.PublicKey:
			got = k.Curve.Params().Name
		case *rsa.PublicKey:
			got = fmt.Sprint(k.N.BitLen())
		}
		if got != want || issued.Key == nil {
			t.Errorf("key type %q: %s, want %s", kind, got, want)
		}
	}
}

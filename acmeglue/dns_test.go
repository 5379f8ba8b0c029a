package acmeglue

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/internal/edgetest"
)

func startKnot(t *testing.T, zone string, extra ...string) *edgetest.Knot {
	t.Helper()
	k, err := edgetest.StartKnot(zone, extra...)
	if errors.Is(err, edgetest.ErrNoKnot) && os.Getenv("CI") != "true" {
		t.Skipf("not run: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("knot: %s", k.Log())
		}
		k.Close()
	})
	return k
}

func byKnot(k *edgetest.Knot) *DNSOptions {
	return &DNSOptions{Provider: "rfc2136", Server: k.Addr, KeyName: k.KeyName, KeyAlgorithm: "hmac-sha256", KeySecret: k.KeySecret,
		Resolvers: []string{k.Addr}, PropagationTimeout: 20 * time.Second}
}

// A wildcard and its apex at the same time: two values at one name, both seen by
// the CA, both gone afterwards. The name server is a real one.
func TestDNS01WildcardAndApex(t *testing.T) {
	k := startKnot(t, "example.test")
	ca, err := edgetest.NewCA(edgetest.CAOptions{DNS: k.Addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Close)
	g := &gate{registry: NewRegistry()}
	i := g.issuer(t, ca, func(o *IssuerOptions) {
		o.Challenges, o.DNS = []edge.ChallengeType{edge.DNS01}, byKnot(k)
	})
	issued, leaf := mustIssue(t, i, orderFor(t, "example.test", "*.example.test"))
	if issued.Challenge != edge.DNS01 || leaf.VerifyHostname("any.example.test") != nil {
		t.Errorf("by %s for %v", issued.Challenge, leaf.DNSNames)
	}
	if left, err := edgetest.LookupTXT(k.Addr, "_acme-challenge.example.test"); err != nil || len(left) != 0 {
		t.Errorf("records left behind: %v %v", left, err)
	}
}

// CNAME delegation: the record is written where the CNAME points. A validation
// that fails leaves nothing behind either.
func TestDNS01DelegationAndCleanup(t *testing.T) {
	k := startKnot(t, "example.test", "_acme-challenge.www 60 CNAME challenges")
	ca, err := edgetest.NewCA(edgetest.CAOptions{DNS: k.Addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Close)
	g := &gate{registry: NewRegistry()}
	i := g.issuer(t, ca, func(o *IssuerOptions) {
		o.Challenges, o.DNS = []edge.ChallengeType{edge.DNS01}, byKnot(k)
		o.DNS.OverrideDomain = "challenges.example.test"
	})
	mustIssue(t, i, orderFor(t, "www.example.test"))
	// Nothing delegates this one: the CA finds no record.
	_, err = i.Issue(context.Background(), orderFor(t, "other.example.test"))
	var ie *edge.IssueError
	if !errors.As(err, &ie) {
		t.Errorf("got %v", err)
	}
	if left, err := edgetest.LookupTXT(k.Addr, "challenges.example.test"); err != nil || len(left) != 0 {
		t.Errorf("records left behind: %v %v", left, err)
	}
	bad := byKnot(k)
	bad.KeySecret = "d3Jvbmd3cm9uZ3dyb25nd3Jvbmd3cm9uZ3dyb25nMTI="
	wrong := g.issuer(t, ca, func(o *IssuerOptions) { o.Challenges, o.DNS = []edge.ChallengeType{edge.DNS01}, bad })
	if _, err = wrong.Issue(context.Background(), orderFor(t, "www.example.test")); !errors.As(err, &ie) || ie.Reason != edge.ReasonDNS {
		t.Errorf("wrong key: got %v", err)
	}
	if err != nil && strings.Contains(err.Error(), bad.KeySecret) {
		t.Error("the key is in the error")
	}
}

func TestDNS01Cloudflare(t *testing.T) {
	d, err := edgetest.NewDNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	cf := edgetest.NewCloudflare(d, "example.test", "token-1")
	t.Cleanup(cf.Close)
	ca, err := edgetest.NewCA(edgetest.CAOptions{DNS: d.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Close)
	g := &gate{registry: NewRegistry()}
	with := func(token string) *Issuer {
		return g.issuer(t, ca, func(o *IssuerOptions) {
			o.Challenges = []edge.ChallengeType{edge.DNS01}
			o.DNS = &DNSOptions{Provider: "cloudflare", APIToken: token, HTTPClient: cf.Client(), Resolvers: []string{d.Addr()}, PropagationTimeout: 20 * time.Second}
		})
	}
	mustIssue(t, with("token-1"), orderFor(t, "example.test", "*.example.test"))
	if cf.Records() != 0 || len(cf.Faults()) != 0 || len(d.TXT("_acme-challenge.example.test")) != 0 {
		t.Errorf("%d records left, refused: %v", cf.Records(), cf.Faults())
	}
	_, err = with("token-2").Issue(context.Background(), orderFor(t, "example.test"))
	var ie *edge.IssueError
	if !errors.As(err, &ie) || ie.Reason != edge.ReasonDNS || strings.Contains(err.Error(), "token-2") {
		t.Errorf("wrong token: got %v", err)
	}
}

// lossy has requests done and their answers lost.
type lossy struct {
	http.RoundTripper
	lose func(*http.Request) bool
}

func (l lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.RoundTripper.RoundTrip(r)
	if err == nil && l.lose(r) {
		res.Body.Close()
		return nil, errors.New("connection reset by peer")
	}
	return res, err
}

// A record may be there without our knowing it: it neither stops an order nor stays.
func TestDNS01RecordOfUnknownOrigin(t *testing.T) {
	d, err := edgetest.NewDNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	cf := edgetest.NewCloudflare(d, "lost.test", "token-1")
	t.Cleanup(cf.Close)
	a := edge.Answer{Type: edge.DNS01, Identifier: edge.Identifier{Type: edge.DNS, Value: "lost.test"}, Token: "t", KeyAuth: "t.k"}
	lose := 0
	client := cf.Client()
	client.Transport = lossy{client.Transport, func(r *http.Request) bool {
		if r.Method != http.MethodPost || lose == 0 {
			return false
		}
		lose--
		return true
	}}
	open := func() Authenticator {
		auth, err := NewDNSAuthenticator("dns-cloudflare", DNSOptions{Provider: "cloudflare", APIToken: "token-1", HTTPClient: client, Resolvers: []string{d.Addr()}})
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
	name := "_acme-challenge.lost.test"
	for n, works := range []bool{true, true, false} {
		lose = n // answers get lost
		auth := open()
		if err := auth.Present(t.Context(), []edge.Answer{a}); (err == nil) != works {
			t.Errorf("%d answers lost: %v", n, err)
		}
		if works != (len(d.TXT(name)) == 1) {
			t.Errorf("%d answers lost: records %v", n, d.TXT(name))
		}
		if err := auth.Cleanup(t.Context(), []edge.Answer{a}); err != nil || cf.Records() != 0 || len(d.TXT(name)) != 0 {
			t.Errorf("%d answers lost: %v, %d records left", n, err, cf.Records())
		}
	}
	// A process that was killed has left it, and another one goes on with its order.
	if err := open().Present(t.Context(), []edge.Answer{a}); err != nil {
		t.Fatal(err)
	}
	auth := open()
	if err := auth.Present(t.Context(), []edge.Answer{a}); err != nil {
		t.Error(err)
	}
	// Two orders have the same answer: the record is there for the last of them.
	if err := auth.Present(t.Context(), []edge.Answer{a}); err != nil {
		t.Error(err)
	}
	for left := 1; left >= 0; left-- {
		if err := auth.Cleanup(t.Context(), []edge.Answer{a}); err != nil || len(d.TXT(name)) != left || cf.Records() != left {
			t.Errorf("%v, records %v", err, d.TXT(name))
		}
	}
}

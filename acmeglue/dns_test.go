package acmeglue

import (
	"context"
	"errors"
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

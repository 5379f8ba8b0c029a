package acmeglue

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"edge"
	"edge/internal/edgetest"
)

// gate answers challenges from a Registry on real sockets, as a front door does.
type gate struct {
	registry    *Registry
	http, https string
}

func openGate(t testing.TB) *gate {
	t.Helper()
	g := &gate{registry: NewRegistry()}
	hl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if k, ok := g.registry.HTTP01(host, strings.TrimPrefix(r.URL.Path, edge.HTTP01Prefix)); ok {
			io.WriteString(w, k)
			return
		}
		http.NotFound(w, r)
	})}
	var wg sync.WaitGroup
	wg.Go(func() { hs.Serve(hl) })
	tl, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{NextProtos: []string{edge.ALPNProto}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		var c *tls.Certificate
		var ok bool
		if edge.IsACMEInvalid(h.ServerName) {
			c, ok = g.registry.TLSSNI01(h.ServerName)
		} else {
			c, ok = g.registry.TLSALPN01(h.ServerName)
		}
		if !ok {
			return nil, errors.New("nothing for " + h.ServerName)
		}
		return c, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		for {
			c, err := tl.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(5 * time.Second))
				c.(*tls.Conn).Handshake()
				io.Copy(io.Discard, c)
			})
		}
	})
	g.http, g.https = hl.Addr().String(), tl.Addr().String()
	t.Cleanup(func() { hs.Close(); tl.Close(); wg.Wait() })
	return g
}

func (g *gate) ca(t testing.TB, o edgetest.CAOptions) *edgetest.CA {
	t.Helper()
	o.HTTPPort, o.TLSPort = edgetest.Port(g.http), edgetest.Port(g.https)
	ca, err := edgetest.NewCA(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Close)
	return ca
}

func (g *gate) issuer(t testing.TB, ca *edgetest.CA, change func(*IssuerOptions)) *Issuer {
	t.Helper()
	o := IssuerOptions{Directory: ca.URL(), Email: "ops@example.org", Roots: ca.ServerPool(), Registry: g.registry}
	if change != nil {
		change(&o)
	}
	if o.Storage == nil {
		o.Storage = openStorage(t)
	}
	i, err := NewIssuer(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.CloseIdleConnections)
	return i
}

func orderFor(t testing.TB, names ...string) Order {
	t.Helper()
	key, err := newKey(P256)
	if err != nil {
		t.Fatal(err)
	}
	o := Order{Key: key}
	for _, n := range names {
		id, err := edge.ParseIdentifier(n)
		if err != nil {
			t.Fatal(err)
		}
		o.Identifiers = append(o.Identifiers, id)
	}
	return o
}

func mustIssue(t testing.TB, i *Issuer, o Order) (*Issued, *x509.Certificate) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	issued, err := i.Issue(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := parseLeaf(issued.Chain)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range o.Identifiers {
		if !strings.HasPrefix(id.Value, "*.") && leaf.VerifyHostname(id.Value) != nil {
			t.Errorf("the certificate has %v %v, not %s", leaf.DNSNames, leaf.IPAddresses, id)
		}
	}
	if n := i.o.Registry.Len(); n != 0 {
		t.Errorf("%d answers were left behind", n)
	}
	return issued, leaf
}

// Each method of validation, several names, and an address.
func TestIssueByEachChallenge(t *testing.T) {
	g := openGate(t)
	ca := g.ca(t, edgetest.CAOptions{})
	for _, kind := range []edge.ChallengeType{edge.HTTP01, edge.TLSALPN01} {
		i := g.issuer(t, ca, func(o *IssuerOptions) { o.Challenges = []edge.ChallengeType{kind} })
		issued, _ := mustIssue(t, i, orderFor(t, "a.test", "b.test", "127.0.0.1"))
		if issued.Challenge != kind {
			t.Errorf("validated by %s, want %s", issued.Challenge, kind)
		}
	}
}

// Where one method fails, the next one is tried with a new order.
func TestFallBackToNextChallenge(t *testing.T) {
	g := openGate(t)
	// This CA looks for TLS-ALPN-01 where nobody answers.
	ca, err := edgetest.NewCA(edgetest.CAOptions{HTTPPort: edgetest.Port(g.http), TLSPort: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Close)
	i := g.issuer(t, ca, nil)
	if issued, _ := mustIssue(t, i, orderFor(t, "a.test")); issued.Challenge != edge.HTTP01 || ca.Orders() != 2 {
		t.Errorf("validated by %s with %d orders", issued.Challenge, ca.Orders())
	}
	only := g.issuer(t, ca, func(o *IssuerOptions) { o.Challenges = []edge.ChallengeType{edge.TLSALPN01} })
	_, err = only.Issue(context.Background(), orderFor(t, "b.test"))
	var ie *edge.IssueError
	if !errors.As(err, &ie) || ie.Reason != edge.ReasonUnauthorized || ie.Name != "b.test" {
		t.Errorf("got %v", err)
	}
}

// A CA that has TLS-SNI-01 only is served, where it is asked for.
func TestTLSSNI01(t *testing.T) {
	g := openGate(t)
	ca := g.ca(t, edgetest.CAOptions{SNIOnly: true})
	sni := func(o *IssuerOptions) { o.Challenges = []edge.ChallengeType{edge.TLSSNI01} }
	if issued, _ := mustIssue(t, g.issuer(t, ca, sni), orderFor(t, "a.test", "b.test", "c.test")); issued.Challenge != edge.TLSSNI01 {
		t.Errorf("validated by %s", issued.Challenge)
	}
	_, err := g.issuer(t, ca, nil).Issue(context.Background(), orderFor(t, "d.test"))
	var ie *edge.IssueError
	if !errors.As(err, &ie) || ie.Reason != edge.ReasonPermission || !strings.Contains(err.Error(), "tls-sni-01") {
		t.Errorf("without tls-sni-01: got %v", err)
	}
}

// The certificate of TLS-SNI-01 has the names that another implementation computed.
func TestTLSSNI01Vectors(t *testing.T) {
	dir := os.Getenv("EDGE_SHARED")
	if dir == "" {
		dir = "../../shared"
	}
	b, err := os.ReadFile(dir + "/golden/tls-sni-01/vectors.json")
	if errors.Is(err, os.ErrNotExist) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the recorded vectors are missing: set EDGE_SHARED (%v)", err)
		}
		t.Skipf("not run: no recorded vectors (%v)", err)
	} else if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Thumbprint string
		Vectors    []struct{ Token, SNI01 string }
	}
	if err := json.Unmarshal(b, &doc); err != nil || len(doc.Vectors) == 0 {
		t.Fatal(err)
	}
	r := NewRegistry()
	for _, v := range doc.Vectors {
		a := edge.Answer{Type: edge.TLSSNI01, Identifier: edge.Identifier{Type: edge.DNS, Value: "a.test"}, Token: v.Token, KeyAuth: v.Token + "." + doc.Thumbprint}
		if err := r.Put(a); err != nil {
			t.Fatal(err)
		}
		c, ok := r.TLSSNI01(v.SNI01)
		if !ok {
			t.Fatalf("no answer for %s", v.SNI01)
		}
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil || len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != v.SNI01 {
			t.Errorf("names %v, want %s (%v)", leaf.DNSNames, v.SNI01, err)
		}
		r.Remove(a)
		if _, ok := r.TLSSNI01(v.SNI01); ok {
			t.Error("still there after Remove")
		}
	}
}

// One account for many orders at once, found again after a restart, also where
// only its key is left, also where the CA has forgotten it.
func TestAccounts(t *testing.T) {
	g := openGate(t)
	ca := g.ca(t, edgetest.CAOptions{})
	storage := openStorage(t)
	with := func(email string) func(*IssuerOptions) {
		return func(o *IssuerOptions) { o.Storage, o.Email = storage, email }
	}
	i := g.issuer(t, ca, with("ops@example.org"))
	var wg sync.WaitGroup
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		o := orderFor(t, n+".test")
		wg.Go(func() {
			if _, err := i.Issue(context.Background(), o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	mustIssue(t, g.issuer(t, ca, with("ops@example.org")), orderFor(t, "f.test"))
	if n := ca.Accounts(); n != 1 {
		t.Fatalf("%d accounts, want 1", n)
	}
	accounts := newStorageAccounts(storage, i.key, i.o.Email)
	registration, key := accounts.registration(), accounts.key()
	if want := "acme/" + i.key + "/users/ops@example.org/ops"; registration != want+".json" || key != want+".key" {
		t.Errorf("account in %s and %s, want %s", registration, key, want)
	}
	if info, err := os.Stat(storage.Filename(key)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the account's key: %v %v", info.Mode(), err)
	}
	if err := storage.Delete(context.Background(), registration); err != nil {
		t.Fatal(err)
	}
	again := g.issuer(t, ca, with("ops@example.org"))
	mustIssue(t, again, orderFor(t, "g.test"))
	if n := ca.Accounts(); n != 1 {
		t.Errorf("%d accounts after the registration was lost, want 1", n)
	}
	mustIssue(t, g.issuer(t, ca, with("other@example.org")), orderFor(t, "h.test"))
	if n := ca.Accounts(); n != 2 {
		t.Errorf("%d accounts for two addresses", n)
	}
	// Another CA at the same place knows nothing of it.
	lost, err := again.accounts.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	lost.Location = strings.Replace(lost.Location, "/my-account/", "/my-account/nosuch", 1)
	if err := again.accounts.Save(context.Background(), lost); err != nil {
		t.Fatal(err)
	}
	mustIssue(t, g.issuer(t, ca, with("ops@example.org")), orderFor(t, "i.test"))
	if n := ca.Accounts(); n != 2 {
		t.Errorf("%d accounts after the CA forgot one whose key it knows, want 2", n)
	}
}

func TestEABAndProfiles(t *testing.T) {
	g := openGate(t)
	const hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	ca := g.ca(t, edgetest.CAOptions{EAB: map[string]string{"kid-1": hmac}, Profiles: map[string]time.Duration{"classic": 90 * 24 * time.Hour, "shortlived": 6 * 24 * time.Hour}})
	i := g.issuer(t, ca, func(o *IssuerOptions) { o.EAB, o.Profile = &EAB{KID: "kid-1", HMAC: hmac}, "shortlived" })
	_, leaf := mustIssue(t, i, orderFor(t, "a.test"))
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 7*24*time.Hour {
		t.Errorf("lifetime %v: not the profile asked for", life)
	}
	o := orderFor(t, "b.test")
	o.Profile = "nosuch"
	var ie *edge.IssueError
	if _, err := i.Issue(context.Background(), o); !errors.As(err, &ie) || ie.Reason != edge.ReasonPermission || !strings.Contains(err.Error(), "classic, shortlived") {
		t.Errorf("unknown profile: got %v", err)
	}
	if _, err := g.issuer(t, ca, nil).Issue(context.Background(), orderFor(t, "c.test")); !errors.As(err, &ie) || ie.Reason != edge.ReasonPermission {
		t.Errorf("without EAB: got %v", err)
	}
}

func TestPreferredChainAndReplaces(t *testing.T) {
	g := openGate(t)
	ca := g.ca(t, edgetest.CAOptions{AlternateRoots: 2})
	i := g.issuer(t, ca, nil)
	first, leaf := mustIssue(t, i, orderFor(t, "a.test"))
	def := chainRoot(t, first.Chain)
	for _, root := range ca.RootNames() {
		i := g.issuer(t, ca, func(o *IssuerOptions) { o.PreferredChain = root })
		issued, _ := mustIssue(t, i, orderFor(t, "b.test"))
		if got := chainRoot(t, issued.Chain); got != root {
			t.Errorf("asked for %q, got a chain to %q (default %q)", root, got, def)
		}
	}
	w, err := i.RenewalInfo(context.Background(), first.Chain)
	if err != nil || w.Start.IsZero() || w.Selected.Before(w.Start) || w.Selected.After(w.End) || w.RetryAfter.IsZero() {
		t.Errorf("renewal window %+v, %v", w, err)
	}
	old, err := ca.Store.GetOrderByIssuedSerial(hex.EncodeToString(leaf.SerialNumber.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second one finds it replaced already
		o := orderFor(t, "a.test")
		o.Replaces = first.Chain
		mustIssue(t, i, o)
		// Pebble notes it a little after it has issued.
		deadline := time.Now().Add(5 * time.Second)
		for replaced := false; !replaced; {
			old.RLock()
			replaced = old.IsReplaced
			old.RUnlock()
			if time.Now().After(deadline) {
				t.Fatal("the CA was not told which certificate was replaced")
			}
		}
	}
}

func chainRoot(t *testing.T, chain []byte) string {
	t.Helper()
	var last *x509.Certificate
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		last = c
	}
	return last.Issuer.CommonName
}

// Half of all nonces are refused, and every name is issued all the same.
func TestBadNonces(t *testing.T) {
	g := openGate(t)
	ca := g.ca(t, edgetest.CAOptions{BadNonces: 50})
	i := g.issuer(t, ca, nil)
	var wg sync.WaitGroup
	for _, n := range strings.Split("abcdefgh", "") {
		o := orderFor(t, n+".test")
		wg.Go(func() {
			if _, err := i.Issue(context.Background(), o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A process that died in the middle of an order does not cost a second one.
func TestOrderSurvivesRestart(t *testing.T) {
	g := openGate(t)
	ca := g.ca(t, edgetest.CAOptions{})
	storage := openStorage(t)
	keep := func(o *IssuerOptions) { o.Storage = storage }
	ctx, cancel := context.WithCancel(context.Background())
	ca.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/authZ/") {
			cancel() // dies here
			return true
		}
		return false
	})
	first := g.issuer(t, ca, keep)
	if _, err := first.Issue(ctx, orderFor(t, "a.test")); err == nil {
		t.Fatal("issued in spite of all")
	}
	ca.Fault(nil)
	mustIssue(t, g.issuer(t, ca, keep), orderFor(t, "a.test"))
	if n := ca.Orders(); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
	mustIssue(t, g.issuer(t, ca, keep), orderFor(t, "a.test"))
	if n := ca.Orders(); n != 2 {
		t.Errorf("%d orders, want 2: a finished order was used again", n)
	}
}

// Errors of the CA's HTTP side are classified, with the time to come back.
func TestRateLimited(t *testing.T) {
	g := openGate(t)
	ca := g.ca(t, edgetest.CAOptions{})
	i := g.issuer(t, ca, nil)
	mustIssue(t, i, orderFor(t, "a.test"))
	ca.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/order-plz" {
			return false
		}
		w.Header().Set("Retry-After", "3600")
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(429)
		io.WriteString(w, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many","status":429}`)
		return true
	})
	_, err := i.Issue(context.Background(), orderFor(t, "b.test"))
	var ie *edge.IssueError
	if !errors.As(err, &ie) || ie.Reason != edge.ReasonRateLimited || time.Until(ie.RetryAfter) < 59*time.Minute {
		t.Errorf("got %+v", ie)
	}
}

// What is logged has no key, no token and no HMAC in it.
func TestNoSecretsInLog(t *testing.T) {
	g := openGate(t)
	const hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	ca := g.ca(t, edgetest.CAOptions{EAB: map[string]string{"kid-1": hmac}})
	var mu sync.Mutex
	var log strings.Builder
	w := writerFunc(func(p []byte) (int, error) { mu.Lock(); defer mu.Unlock(); return log.Write(p) })
	i := g.issuer(t, ca, func(o *IssuerOptions) {
		o.EAB = &EAB{KID: "kid-1", HMAC: hmac}
		o.Log = slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	mustIssue(t, i, orderFor(t, "a.test"))
	key := newStorageAccounts(i.o.Storage, i.key, i.o.Email).key()
	pemKey, err := i.o.Storage.Load(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if log.Len() == 0 {
		t.Fatal("nothing was logged")
	}
	for _, secret := range []string{hmac, strings.Split(string(pemKey), "\n")[1], "PRIVATE KEY", "keyAuthorization"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

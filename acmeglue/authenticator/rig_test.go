package authenticator

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"edge"
	"edge/acmeglue"
	"edge/internal/edgetest"
)

// Pebble's validator never ends and cannot be told to; no other goroutine may be
// left by a test.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"),
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.process"))
}

var (
	_ acmeglue.Authenticator = (*Standalone)(nil)
	_ acmeglue.Authenticator = (*Door)(nil)
	_ acmeglue.Authenticator = (*chosen)(nil)
	_ acmeglue.Authenticator = (*Webroot)(nil)
	_ acmeglue.Authenticator = (*Manual)(nil)
	_ acmeglue.Authenticator = (*DNS)(nil)
	_ Resolver               = (*net.Resolver)(nil)
)

// freePort returns a port that nobody has just now, from a range that the kernel
// gives to nobody who does not ask for it.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 10000 + mathrand.IntN(20000)
		if isFree(port) {
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

func newCA(t testing.TB, o edgetest.CAOptions) *edgetest.CA {
	t.Helper()
	ca, err := edgetest.NewCA(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Close)
	return ca
}

// issue has a CA issue for names that are proved by an authenticator.
func issue(t testing.TB, ca *edgetest.CA, auth acmeglue.Authenticator, types []edge.ChallengeType, names ...string) (*x509.Certificate, error) {
	t.Helper()
	storage, err := acmeglue.OpenFileStorage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	i, err := acmeglue.NewIssuer(acmeglue.IssuerOptions{Directory: ca.URL(), Email: "ops@example.org", Roots: ca.ServerPool(),
		Storage: storage, Authenticator: auth, Challenges: types})
	if err != nil {
		t.Fatal(err)
	}
	defer i.CloseIdleConnections()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	issued, err := i.Issue(ctx, acmeglue.Order{Identifiers: identifiers(t, names...), Key: key})
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(issued.Chain)
	return x509.ParseCertificate(block.Bytes)
}

func mustIssue(t testing.TB, ca *edgetest.CA, auth acmeglue.Authenticator, types []edge.ChallengeType, names ...string) {
	t.Helper()
	leaf, err := issue(t, ca, auth, types, names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if leaf.VerifyHostname(strings.Replace(name, "*.", "any.", 1)) != nil {
			t.Errorf("the certificate has %v %v, not %s", leaf.DNSNames, leaf.IPAddresses, name)
		}
	}
}

func identifiers(t testing.TB, names ...string) (ids []edge.Identifier) {
	t.Helper()
	for _, name := range names {
		id, err := edge.ParseIdentifier(name)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// answer is what a CA could ask for.
func answer(t testing.TB, kind edge.ChallengeType, name string) edge.Answer {
	t.Helper()
	return trial(kind, identifiers(t, name)[0])
}

// logged collects a log.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

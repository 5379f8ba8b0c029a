package acmeglue

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"edge"
)

// fakeCA signs at once whatever it is asked for, and counts. It stands for a
// directory where the tests are about the Manager and not about ACME.
type fakeCA struct {
	key    string
	now    func() time.Time
	life   time.Duration
	ocsp   string
	serial atomic.Int64
	orders atomic.Int64
	asked  atomic.Int64 // renewal windows

	rootKey, interKey *ecdsa.PrivateKey
	root, inter       *x509.Certificate

	mu       sync.Mutex
	err      error         // for the next orders
	window   RenewWindow   // answered to RenewalInfo
	hold     chan struct{} // orders wait for it
	log      []string      // names in the order in which they were asked for
	replaced [][]byte
}

func newFakeCA(t testing.TB, key string, now func() time.Time) *fakeCA {
	t.Helper()
	ca := &fakeCA{key: key, now: now, life: 90 * 24 * time.Hour}
	mk := func(cn string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(ca.serial.Add(1)), Subject: pkix.Name{CommonName: cn},
			NotBefore: now().Add(-time.Hour), NotAfter: now().Add(10 * 365 * 24 * time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		if parent == nil {
			parent, parentKey = tmpl, k
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, k.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c, k
	}
	ca.root, ca.rootKey = mk("root of "+key, nil, nil)
	ca.inter, ca.interKey = mk("intermediate of "+key, ca.root, ca.rootKey)
	return ca
}

func (ca *fakeCA) Key() string       { return ca.key }
func (ca *fakeCA) Directory() string { return "https://" + ca.key + "/directory" }

func (ca *fakeCA) Issue(ctx context.Context, o Order) (*Issued, error) {
	ca.orders.Add(1)
	ca.mu.Lock()
	err, hold, window := ca.err, ca.hold, ca.window
	ca.log = append(ca.log, o.Identifiers[0].Value)
	ca.replaced = append(ca.replaced, o.Replaces)
	ca.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	key, err := newKey(o.KeyType)
	if err != nil {
		return nil, err
	}
	return &Issued{Chain: ca.sign(o.Identifiers, key.Public(), ca.now(), ca.now().Add(ca.life)), Key: key, Challenge: edge.TLSALPN01, RenewWindow: window}, nil
}

// sign makes a PEM chain of leaf and intermediate.
func (ca *fakeCA) sign(ids []edge.Identifier, pub any, from, to time.Time) []byte {
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(ca.serial.Add(1)), NotBefore: from, NotAfter: to, AuthorityKeyId: []byte("authority of " + ca.key)}
	if ca.ocsp != "" {
		tmpl.OCSPServer = []string{ca.ocsp}
	}
	for _, id := range ids {
		if id.Type == edge.IP {
			tmpl.IPAddresses = append(tmpl.IPAddresses, net.ParseIP(id.Value))
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, id.Value)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.inter, pub, ca.interKey)
	if err != nil {
		panic(err)
	}
	var out bytes.Buffer
	for _, der := range [][]byte{der, ca.inter.Raw} {
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			panic(err)
		}
	}
	return out.Bytes()
}

func (ca *fakeCA) RenewalInfo(context.Context, []byte) (RenewWindow, error) {
	ca.asked.Add(1)
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if ca.err != nil {
		return RenewWindow{}, ca.err
	}
	w := ca.window
	if !w.Start.IsZero() {
		w.RetryAfter = ca.now().Add(6 * time.Hour)
	}
	return w, nil
}

func (ca *fakeCA) fail(err error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.err = err
}

func (ca *fakeCA) setWindow(w RenewWindow) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.window = w
}

func (ca *fakeCA) names() []string {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return append([]string(nil), ca.log...)
}

// unreachableErr is what an HTTP client says of a host that is down.
func unreachableErr(ca *fakeCA) error {
	return &edge.IssueError{CA: ca.Directory(), Reason: edge.ReasonConnection,
		Err: &url.Error{Op: "Get", URL: ca.Directory(), Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}}}
}

// refusedErr is a CA's complaint about a name.
func refusedErr(ca *fakeCA, name string) error {
	return &edge.IssueError{Name: name, CA: ca.Directory(), Reason: edge.ReasonUnauthorized, Err: errors.New("wrong answer to the challenge")}
}

// events is an Observer that remembers.
type events struct {
	mu        sync.Mutex
	orders    []edge.OrderEvent
	decisions []edge.OnDemandEvent
}

func (e *events) Order(ev *edge.OrderEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.orders = append(e.orders, *ev)
}

func (e *events) OnDemand(ev *edge.OnDemandEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.decisions = append(e.decisions, *ev)
}

func (e *events) count(decision string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, d := range e.decisions {
		if d.Decision == decision {
			n++
		}
	}
	return n
}

func ids(t testing.TB, names ...string) []edge.Identifier {
	t.Helper()
	out := make([]edge.Identifier, len(names))
	for i, n := range names {
		id, err := edge.ParseIdentifier(n)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = id
	}
	return out
}

// store writes a certificate for name into storage as an earlier run would have.
func (ca *fakeCA) store(t testing.TB, storage *FileStorage, name string, from, to time.Time) []byte {
	t.Helper()
	st := ca.make(t, name, from, to)
	if err := (&certStore{storage: storage}).save(context.Background(), ca.key, name, st); err != nil {
		t.Fatal(err)
	}
	return st.chain
}

func (ca *fakeCA) make(t testing.TB, name string, from, to time.Time) *stored {
	t.Helper()
	key, err := newKey(P256)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := pemKey(key)
	if err != nil {
		t.Fatal(err)
	}
	st := &stored{chain: ca.sign(ids(t, name), key.Public(), from, to), key: raw, sans: []string{name}}
	st.meta.CA = ca.Directory()
	return st
}

func openStorage(t testing.TB) *FileStorage {
	t.Helper()
	s, err := OpenFileStorage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// running applies the settings and runs the manager until the returned function
// is called, or the test ends.
func running(t testing.TB, m *Manager, s Settings) (stop func()) {
	t.Helper()
	if err := m.Apply(s); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// eventually waits for a condition; it is for tests that run on the real clock.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func serial(t testing.TB, m *Manager, name string) string {
	t.Helper()
	c, err := m.Certificate(name, nil)
	if err != nil {
		t.Fatalf("certificate for %s: %v", name, err)
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := leaf.VerifyHostname(name); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(leaf.SerialNumber)
}

func pemKey(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// bubble runs a test on a clock of its own (testing/synctest).
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// certmagic's locks leave a goroutine behind for five seconds.
		t.Cleanup(func() { time.Sleep(6 * time.Second) })
		f(t)
	})
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

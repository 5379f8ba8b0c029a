package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"edge"
	"edge/proxy/policy"
	"edge/proxy/pool"
	"edge/proxy/upstream"
)

func TestMain(m *testing.M) {
	if os.Getenv("EDGE_TEST_CHILD") != "" {
		os.Exit(m.Run())
	}
	// net/http waits half a second after it has refused a request, whatever is closed meanwhile.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// rig is a Server on free ports with one backend behind it.
type rig struct {
	*Server
	t       testing.TB
	set     Settings
	http    string // address
	https   string
	roots   *x509.CertPool
	certs   *certs
	events  *events
	answers *answers
}

// rigWith starts a server whose every host goes to backend, after change had
// its way with options and settings.
func rigWith(t testing.TB, backend http.Handler, change ...func(*Options, *Settings)) *rig {
	t.Helper()
	r := &rig{t: t, certs: newCerts(), events: &events{}, answers: &answers{}}
	r.roots = r.certs.roots
	var log panicCatcher
	opts := Options{Observer: r.events, Challenges: r.answers, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	r.set = Settings{HTTP: []string{"127.0.0.1:0"}, HTTPS: []string{"127.0.0.1:0"}, HTTP3: true, Certificates: r.certs}
	if backend != nil {
		b := httptest.NewUnstartedServer(backend)
		b.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		b.Start()
		t.Cleanup(b.Close)
		r.set.Table, r.set.Pools = everythingTo(t, b.Listener.Addr().String())
	}
	for _, f := range change {
		f(&opts, &r.set)
	}
	r.Server = New(opts)
	err := r.Apply(r.set)
	for n := 0; n < 5 && errors.Is(err, syscall.EADDRINUSE); n++ {
		err = r.Apply(r.set) // the UDP port beside a free TCP port may be taken
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		r.Shutdown(ctx)
		if log.found.Load() {
			t.Error("net/http logged a panic")
		}
	})
	for _, a := range r.Addrs() {
		switch a.Listener {
		case "http":
			r.http = a.Addr.String()
		case "https":
			r.https = a.Addr.String()
		}
	}
	return r
}

// panicCatcher looks for panics that net/http had to catch.
type panicCatcher struct{ found atomic.Bool }

func (l *panicCatcher) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("panic serving")) {
		l.found.Store(true)
	}
	return len(p), nil
}

// client speaks HTTP/1.1 or HTTP/2 to the rig, whatever the host in the URL.
func (r *rig) client(h2 bool) *http.Client {
	tr := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: r.roots},
		ForceAttemptHTTP2:   h2,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			to := r.https
			if strings.HasSuffix(addr, ":80") {
				to = r.http
			}
			return new(net.Dialer).DialContext(ctx, network, to)
		},
	}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get asks once and returns status and body.
func (r *rig) get(h2 bool, url string) (int, string) {
	r.t.Helper()
	res, err := r.client(h2).Get(url)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// dial opens a raw connection to the plain HTTP port.
func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.http)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// raw sends bytes to the plain HTTP port and reads until the server closes.
func (r *rig) raw(s string) string {
	r.t.Helper()
	c := r.dial()
	io.WriteString(c, s)
	b, _ := io.ReadAll(c)
	return string(b)
}

// readResponse reads one answer from a raw connection.
func readResponse(t testing.TB, br *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("timed out waiting until %s", what)
}

// certs is a CertSource with a CA of its own that has any name under
// example.org, made when it is first asked for.
type certs struct {
	roots *x509.CertPool
	ca    *x509.Certificate
	key   *ecdsa.PrivateKey

	mu    sync.Mutex
	have  map[string]*tls.Certificate
	asked []string
	err   error
}

func newCerts() *certs {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, _ := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	ca, _ := x509.ParseCertificate(der)
	c := &certs{roots: x509.NewCertPool(), ca: ca, key: key, have: map[string]*tls.Certificate{}}
	c.roots.AddCert(ca)
	return c
}

func (c *certs) leaf(name string) *tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, c.ca, &key.PublicKey, c.key)
	if err != nil {
		panic(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (c *certs) Certificate(name string, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, name)
	if c.err != nil {
		return nil, c.err
	}
	if name != "example.org" && !strings.HasSuffix(name, ".example.org") {
		return nil, fmt.Errorf("%s: %w", name, edge.ErrNoCertificate)
	}
	if c.have[name] == nil {
		c.have[name] = c.leaf(name)
	}
	return c.have[name], nil
}

func (c *certs) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.asked...)
}

// answers is a Responder with fixed answers.
type answers struct {
	mu     sync.Mutex
	tokens map[string]string // host + " " + token
	alpn   map[string]*tls.Certificate
	sni    map[string]*tls.Certificate
	asked  []string
}

func (a *answers) HTTP01(host, token string) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, host+" "+token)
	if token == "panic" {
		panic("boom")
	}
	k, ok := a.tokens[host+" "+token]
	return k, ok
}

func (a *answers) TLSALPN01(sni string) (*tls.Certificate, bool) {
	c, ok := a.alpn[sni]
	return c, ok
}

func (a *answers) TLSSNI01(sni string) (*tls.Certificate, bool) {
	c, ok := a.sni[sni]
	return c, ok
}

// events keeps what an Observer was told.
type events struct {
	mu         sync.Mutex
	requests   []edge.RequestEvent
	handshakes []edge.HandshakeEvent
	challenges []edge.ChallengeEvent
	open       map[string]int // listener + " " + proto
	refused    []string
}

func (e *events) Conn(ev *edge.ConnEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open == nil {
		e.open = map[string]int{}
	}
	if ev.Refused != "" {
		e.refused = append(e.refused, ev.Refused)
	}
	e.open[ev.Listener+" "+ev.Proto] += ev.Delta
}

func (e *events) Handshake(ev *edge.HandshakeEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.handshakes = append(e.handshakes, *ev)
}

func (e *events) Request(ev *edge.RequestEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests = append(e.requests, *ev)
}

func (e *events) Challenge(ev *edge.ChallengeEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.challenges = append(e.challenges, *ev)
}

func (e *events) last(t testing.TB, n int) edge.RequestEvent {
	t.Helper()
	eventually(t, fmt.Sprintf("%d requests were reported", n), func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.requests) >= n
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests[n-1]
}

func everythingTo(t testing.TB, address string) (*policy.Table, map[string]*pool.Pool) {
	return everythingWith(t, upstream.Options{Scheme: "http", Address: address})
}

func everythingWith(t testing.TB, o upstream.Options) (*policy.Table, map[string]*pool.Pool) {
	t.Helper()
	return tableOf(t, policy.Site{Name: "any", Hosts: []string{"*"}, TLS: true, Pool: "a"}), map[string]*pool.Pool{"a": pool.Of(o)}
}

func tableOf(t testing.TB, sites ...policy.Site) *policy.Table {
	t.Helper()
	table, err := policy.NewTable(policy.Options{Sites: sites})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

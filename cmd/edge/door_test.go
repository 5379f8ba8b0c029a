package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edge/internal/config"
	"edge/internal/edgetest"
)

// rig is a whole front door in this process, with a CA and a backend.
type rig struct {
	t       *testing.T
	dir     string
	ca      *edgetest.CA
	backend *httptest.Server
	http    string
	https   string
	metrics string
	door    *door
	signals chan os.Signal
	ended   chan error
	log     *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t *testing.T, o edgetest.CAOptions, backend http.Handler) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), log: new(lockedBuffer)}
	addrs := reserve(t, 3)
	r.http, r.https, r.metrics = addrs[0], addrs[1], addrs[2]
	o.HTTPPort, o.TLSPort = edgetest.Port(r.http), edgetest.Port(r.https)
	ca, err := edgetest.NewCA(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Close)
	r.ca = ca
	r.write("ca.pem", string(ca.ServerRoots()))
	if backend == nil {
		backend = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			fmt.Fprintf(w, "backend host=%s for=%s proto=%s", req.Host, req.Header.Get("X-Forwarded-For"), req.Header.Get("X-Forwarded-Proto"))
		})
	}
	r.backend = httptest.NewServer(backend)
	t.Cleanup(r.backend.Close)
	return r
}

// reserve finds free loopback addresses.
func reserve(t *testing.T, n int) []string {
	t.Helper()
	var addrs []string
	for len(addrs) < n {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+(firstTry+int(tries.Add(1)))%ports)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// Ports for servers that bind later are below those that the kernel gives to
// connections, and no test gets one that another has had.
const firstPort, ports = 12000, 20000

var (
	firstTry = rand.IntN(ports)
	tries    atomic.Int64
)

func (r *rig) write(name, content string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// configure writes the configuration: head, then the sites as given.
func (r *rig) configure(sites string) string {
	return r.write("edge.yaml", fmt.Sprintf(`version: 1
listen: {http: ["%s"], https: ["%s"]}
acme:
  email: ops@example.org
  agree_tos: true
  ca: [{directory: "%s", roots: [ca.pem]}]
storage: {dir: "%s/state"}
admin: {socket: "%s/admin.sock"}
metrics: {listen: "%s"}
sites:
%s`, r.http, r.https, r.ca.URL(), r.dir, r.dir, r.metrics, strings.ReplaceAll(sites, "BACKEND", r.backend.URL)))
}

// start brings the door up with the configuration written last.
func (r *rig) start() {
	r.t.Helper()
	path := filepath.Join(r.dir, "edge.yaml")
	source := func() (*config.Config, error) { return config.Load(path) }
	r.startFrom(source)
}

// launch runs a door and waits until it is ready.
func (r *rig) launch(cfg *config.Config, source func() (*config.Config, error), log *slog.Logger) {
	r.t.Helper()
	var err error
	if r.door, err = newDoor(cfg, source, log); err != nil {
		r.t.Fatal(err)
	}
	r.signals, r.ended = make(chan os.Signal, 4), make(chan error, 1)
	go func() { r.ended <- r.door.run(context.Background(), cfg, r.signals) }()
	r.t.Cleanup(func() { r.stop() })
	r.eventually(func() error {
		select {
		case err := <-r.ended:
			r.ended <- err
			r.t.Fatalf("the door ended: %v", err)
		default:
		}
		return r.door.readiness()
	})
}

func (r *rig) stop() {
	r.t.Helper()
	if r.ended == nil {
		return
	}
	r.signals <- syscall.SIGTERM
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("the door ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		r.t.Error("the door did not end")
	}
	r.ended = nil
}

// eventually waits for a condition with a deadline.
func (r *rig) eventually(check func() error) {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("not within 20 s: %v\n%s", err, r.log)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// handshake returns the leaf that the door serves for a name.
func (r *rig) handshake(name string) (*x509.Certificate, error) {
	d := &net.Dialer{Timeout: 20 * time.Second}
	conn, err := tls.DialWithDialer(d, "tcp", r.https, &tls.Config{ServerName: name, RootCAs: r.ca.IssuedPool()})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

func (r *rig) client(h2 bool) *http.Client {
	t := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: r.ca.IssuedPool()},
		ForceAttemptHTTP2: h2,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to := r.https
			if strings.HasSuffix(addr, ":80") {
				to = r.http
			}
			return new(net.Dialer).DialContext(ctx, "tcp", to)
		},
	}
	r.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

func (r *rig) get(c *http.Client, url string) (int, string) {
	r.t.Helper()
	res, err := c.Get(url)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.log)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// A configured name gets its certificate at start, and requests flow on both
// protocols; plain HTTP is redirected.
func TestFrontDoor(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure("  - hosts: [www.example.test]\n    proxy: BACKEND\n")
	r.start()
	r.eventually(func() error { _, err := r.handshake("www.example.test"); return err })
	for _, h2 := range []bool{false, true} {
		status, body := r.get(r.client(h2), "https://www.example.test/")
		if status != 200 || body != "backend host=www.example.test for=127.0.0.1 proto=https" {
			t.Errorf("h2 %v: got %d %q", h2, status, body)
		}
	}
	if status, _ := r.get(r.client(false), "http://www.example.test/x"); status != 308 {
		t.Errorf("plain HTTP: got %d, want 308", status)
	}
	if _, err := r.handshake("other.example.test"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("unknown name: got %v, want the alert unrecognized_name", err)
	}
	if n := r.ca.Orders(); n != 1 {
		t.Errorf("the CA saw %d orders, want 1", n)
	}
}

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"edge/internal/edgetest"
)

// stage is all that the demo runs: the CA, the backend with the permission
// endpoint, and the edge process.
type stage struct {
	dir         string
	bin         string
	ca          *edgetest.CA
	roots       *x509.CertPool
	backend     *httptest.Server
	asked       atomic.Int64
	httpAddr    string
	httpsAddr   string
	metricsAddr string
	edge        *exec.Cmd
	exited      chan error
	log         string
	first       *x509.Certificate // of the first handshake
	before      map[string]float64
	managedLeaf *x509.Certificate
}

// Names of the demo. Every name resolves to 127.0.0.1 for the CA.
const (
	managedName = "www.demo.test"
	shopName    = "shop.customers.test"
	refusedHost = "intruder.example.test"
	reloadName  = "new.demo.test"
)

// lifetime is that of the certificates of the demo's CA: short, so that a
// renewal can be watched.
const lifetime = 20 * time.Second

func newStage(ctx context.Context, bin string) (_ *stage, err error) {
	s := &stage{bin: bin}
	if s.bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "edge-demo-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	s.httpAddr, s.httpsAddr, s.metricsAddr = ports[0], ports[1], ports[2]
	s.ca, err = edgetest.NewCA(edgetest.CAOptions{
		HTTPPort: edgetest.Port(s.httpAddr), TLSPort: edgetest.Port(s.httpsAddr),
		Profiles: map[string]time.Duration{"short": lifetime},
	})
	if err != nil {
		return nil, fmt.Errorf("test CA: %w", err)
	}
	s.roots = s.ca.IssuedPool()
	for name, pem := range map[string][]byte{"ca.pem": s.ca.ServerRoots(), "issued-by.pem": s.ca.IssuedRoots()} {
		if err := os.WriteFile(filepath.Join(s.dir, name), pem, 0o644); err != nil {
			return nil, err
		}
	}
	s.startBackend()
	if err := s.writeConfig(false); err != nil {
		return nil, err
	}
	if err := s.startEdge(ctx); err != nil {
		s.printLog()
		return nil, err
	}
	s.before, err = s.scrape(ctx)
	return s, err
}

func (s *stage) startBackend() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /allowed", func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if !strings.HasSuffix(r.URL.Query().Get("domain"), ".customers.test") {
			http.Error(w, "no", http.StatusForbidden)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello from the backend: host=%s proto=%s for=%s\n",
			r.Host, r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-For"))
	})
	s.backend = httptest.NewServer(mux)
}

func (s *stage) config() string { return filepath.Join(s.dir, "edge.yaml") }
func (s *stage) socket() string { return filepath.Join(s.dir, "admin.sock") }

func (s *stage) writeConfig(withNewSite bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
listen:
  http: ["%s"]
  https: ["%s"]
acme:
  email: demo@example.org
  agree_tos: true
  ca: [{directory: "%s", roots: [ca.pem]}]
storage: {dir: "%s"}
sites:
  - hosts: [%s]
    proxy: %s
  - hosts: ["*"]
    tls: {on_demand: {ask: "%s/allowed"}}
    proxy: %s
`, s.httpAddr, s.httpsAddr, s.ca.URL(), filepath.Join(s.dir, "state"), managedName, s.backend.URL, s.backend.URL, s.backend.URL)
	if withNewSite {
		fmt.Fprintf(&b, "  - hosts: [%s]\n    proxy: %s\n", reloadName, s.backend.URL)
	}
	fmt.Fprintf(&b, "metrics: {listen: \"%s\"}\nadmin: {socket: \"%s\"}\nlog: {level: info, format: text}\n", s.metricsAddr, s.socket())
	return os.WriteFile(s.config(), []byte(b.String()), 0o600)
}

// startEdge runs the binary and waits until it says that it is ready, the way
// that systemd does.
func (s *stage) startEdge(ctx context.Context) error {
	notify := filepath.Join(s.dir, "notify.sock")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	s.log = filepath.Join(s.dir, "edge.log")
	out, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer out.Close()
	s.edge = exec.Command(s.bin, "serve", "--config", s.config())
	s.edge.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify)
	s.edge.Stdout, s.edge.Stderr = out, out
	start := time.Now()
	if err := s.edge.Start(); err != nil {
		return err
	}
	s.exited = make(chan error, 1)
	go func() { s.exited <- s.edge.Wait() }()
	ready := make(chan error, 1)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				ready <- err
				return
			}
			if strings.Contains(string(buf[:n]), "READY=1") {
				ready <- nil
				return
			}
		}
	}()
	select {
	case err = <-ready:
	case err = <-s.exited:
		s.exited <- err
		err = fmt.Errorf("edge serve ended at once: %v", err)
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(20 * time.Second):
		err = errors.New("edge serve did not get ready within 20 s")
	}
	if err == nil {
		fmt.Printf("edge serve is ready after %v: http %s, https %s, metrics %s, configuration %s\n\n",
			time.Since(start).Round(time.Millisecond), s.httpAddr, s.httpsAddr, s.metricsAddr, s.config())
	}
	return err
}

// stopEdge ends the process as systemd would and wants exit status 0.
func (s *stage) stopEdge() error {
	if err := s.edge.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-s.exited:
		s.exited <- err
		if err != nil {
			return fmt.Errorf("edge serve after TERM: %w", err)
		}
		return nil
	case <-time.After(40 * time.Second):
		return errors.New("edge serve did not end within 40 s of TERM")
	}
}

func (s *stage) close() {
	if s.edge != nil && s.edge.Process != nil && s.exited != nil {
		_ = s.edge.Process.Kill()
		<-s.exited
	}
	if s.backend != nil {
		s.backend.Close()
	}
	if s.ca != nil {
		s.ca.Close()
	}
	_ = os.RemoveAll(s.dir)
}

func (s *stage) printLog() {
	if b, err := os.ReadFile(s.log); err == nil {
		fmt.Fprintf(os.Stderr, "--- edge's log\n%s---\n", b)
	}
}

func (s *stage) printCommands() {
	ca := filepath.Join(s.dir, "issued-by.pem")
	fmt.Printf(`
It stays up until you press Ctrl-C. Try, in another terminal:

  curl --cacert %[1]s --connect-to ::%[2]s https://%[3]s/
  curl --cacert %[1]s --connect-to ::%[2]s https://anything-you-like.customers.test/   # a new certificate
  curl --cacert %[1]s --connect-to ::%[2]s https://intruder.test/                      # refused
  curl http://%[4]s/metrics | grep edge_certificate
  %[5]s status --config %[6]s
  %[5]s reload --config %[6]s
`, ca, s.httpsAddr, managedName, s.metricsAddr, s.bin, s.config())
}

// dial makes one TLS connection to edge for a name.
func (s *stage) dial(ctx context.Context, name string) (*tls.Conn, error) {
	d := tls.Dialer{Config: &tls.Config{ServerName: name, RootCAs: s.roots}}
	conn, err := d.DialContext(ctx, "tcp", s.httpsAddr)
	if err != nil {
		return nil, err
	}
	return conn.(*tls.Conn), nil
}

// leaf makes a handshake for a name and returns the certificate and the time it took.
func (s *stage) leaf(ctx context.Context, name string) (*x509.Certificate, time.Duration, error) {
	start := time.Now()
	conn, err := s.dial(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], time.Since(start), nil
}

// freePorts finds n loopback addresses that nobody listens on.
func freePorts(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

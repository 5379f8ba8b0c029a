package targettest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"edge/installers"
	"edge/internal/edgetest"
)

// Service is what stands around the fake of a service: an HTTPS server with a certificate
// that its own root vouches for, faults in front of the fake's handler, and a TLS port
// that shows what was installed.
type Service struct {
	URL         string // https://127.0.0.1:PORT
	Roots       *x509.CertPool
	RootsPEM    []byte
	Fingerprint string // SHA-256 of its leaf, in hex
	At          installers.Endpoint

	handler http.Handler
	// Deny answers a request without the right credentials; nil: 401 and nothing else.
	Deny http.HandlerFunc

	mu      sync.Mutex
	fault   Fault
	over    chan struct{} // closed when the fault is
	asked   int           // since the fault began
	current map[string]*installed
	seq     int
}

// installed is a certificate, and the order in which it came.
type installed struct {
	pair *tls.Certificate
	leaf *x509.Certificate
	seq  int
}

// NewService starts both ports, until the end of the test.
func NewService(t testing.TB, handler http.Handler) *Service {
	t.Helper()
	s := &Service{handler: handler, current: map[string]*installed{}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(func() {
		s.setFault("")
		server.Close()
	})
	s.URL = server.URL
	s.Roots = x509.NewCertPool()
	s.Roots.AddCert(server.Certificate())
	s.RootsPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	sum := sha256.Sum256(server.Certificate().Raw)
	s.Fingerprint = hex.EncodeToString(sum[:])

	b := edgetest.NewChain(t, time.Now().Add(time.Hour), "nothing.installed.test")
	if err := s.Install("", b.Chain, b.Key); err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: s.certificate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s.At = installers.Endpoint{Addr: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				_ = c.(*tls.Conn).Handshake()
				_, _ = c.Read(make([]byte, 1))
			}()
		}
	}()
	return s
}

// Install has the TLS port show a certificate, under an id of the fake's own choice, for
// the names that it has; of several, the last. Nothing for chain and key takes it away.
// What cannot be a certificate with its key is an error.
func (s *Service) Install(id string, chain, key []byte) error {
	var next *installed
	if len(chain)+len(key) > 0 {
		pair, err := tls.X509KeyPair(chain, key)
		if err != nil {
			return err
		}
		next = &installed{pair: &pair, leaf: pair.Leaf}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	if next != nil {
		next.seq = s.seq
	}
	switch s.fault {
	case Never:
	case Slow:
		time.AfterFunc(time.Second, func() { s.put(id, next) })
	default:
		s.current[id] = next
	}
	return nil
}

func (s *Service) put(id string, next *installed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.current[id]; old == nil || next == nil || next.seq > old.seq {
		s.current[id] = next
	}
}

func (s *Service) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []*installed{}
	for _, c := range s.current {
		if c != nil && (hello.ServerName == "" || c.leaf.VerifyHostname(hello.ServerName) == nil) {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return s.current[""].pair, nil
	}
	return slices.MaxFunc(list, func(a, b *installed) int { return cmp.Compare(a.seq, b.seq) }).pair, nil
}

// Fault is for Rig.Fault.
func (s *Service) Fault(_ *testing.T, f Fault) (restore func()) {
	s.setFault(f)
	return func() { s.setFault("") }
}

func (s *Service) setFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		close(s.over)
	}
	s.fault, s.asked, s.over = f, 0, nil
	if f != "" {
		s.over = make(chan struct{})
	}
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked++
	fault, n, over := s.fault, s.asked, s.over
	s.mu.Unlock()
	switch {
	case fault == Unauthorized && s.Deny != nil:
		s.Deny(w, r)
	case fault == Unauthorized:
		w.WriteHeader(http.StatusUnauthorized)
	case fault == TooMany && n == 1:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case fault == FailingOnce && n == 1, fault == Failing && n%2 == 1:
		w.WriteHeader(http.StatusServiceUnavailable)
	case fault == Failing:
		w.WriteHeader(http.StatusInternalServerError)
	case fault == Silent:
		_, _ = io.Copy(io.Discard, r.Body) // else the end of the connection is not seen
		select {
		case <-over:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case fault == Half:
		half(s.handler, w, r)
	default:
		s.handler.ServeHTTP(w, r)
	}
}

// half does what is asked for, and breaks off in the answer.
func half(handler http.Handler, w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, r)
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close()
	body := rec.Body.Bytes()
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d \r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", rec.Code, rec.Header().Get("Content-Type"), len(body)+1)
	_, _ = c.Write(append(b.Bytes(), body[:len(body)/2]...))
}

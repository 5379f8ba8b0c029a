package edgetest

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// CAOptions say how a test CA behaves. HTTPPort and TLSPort are where it
// looks for answers, on whatever address its name server gives (127.0.0.1).
type CAOptions struct {
	HTTPPort, TLSPort int
	Strict            bool
	EAB               map[string]string        // key ID to base64url HMAC key; not nil: required
	Profiles          map[string]time.Duration // lifetime by profile; default: 90 days, named "default"
	BadNonces         int                      // percent
	AlternateRoots    int
	SNIOnly           bool // offer TLS-SNI-01 and nothing else
	ChainLength       int  // default 1 intermediate
	DNS               string
	Log               io.Writer // Pebble's log; nil: discarded
}

// CA is Pebble in this process.
type CA struct {
	server  *httptest.Server
	ca      *ca.CAImpl
	Store   *db.MemoryStore
	dns     *DNS
	orders  atomic.Int64
	accts   atomic.Int64
	mu      sync.Mutex
	fault   func(http.ResponseWriter, *http.Request) bool
	manage  http.Handler
	handler http.Handler
	sniOnly bool
	tlsPort int
}

// pebbleEnv guards the environment that Pebble's constructors read.
var pebbleEnv sync.Mutex

// NewCA starts a CA on a loopback port.
func NewCA(o CAOptions) (*CA, error) {
	c := &CA{Store: db.NewMemoryStore(), sniOnly: o.SNIOnly, tlsPort: o.TLSPort}
	if o.DNS == "" {
		d, err := NewDNS()
		if err != nil {
			return nil, err
		}
		c.dns, o.DNS = d, d.Addr()
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.ChainLength == 0 {
		o.ChainLength = 1
	}
	if o.Profiles == nil {
		o.Profiles = map[string]time.Duration{"default": 90 * 24 * time.Hour}
	}
	for kid, key := range o.EAB {
		if err := c.Store.AddExternalAccountKeyByID(kid, key); err != nil {
			return nil, err
		}
	}
	profiles := map[string]ca.Profile{}
	for name, life := range o.Profiles {
		profiles[name] = ca.Profile{Description: name, ValidityPeriod: uint64(life / time.Second)}
	}
	lg := log.New(o.Log, "", 0)
	restore := setPebbleEnv(map[string]string{
		"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": strconv.Itoa(o.BadNonces), "PEBBLE_AUTHZREUSE": "0",
	})
	c.ca = ca.New(lg, c.Store, "", "ecdsa", o.AlternateRoots, o.ChainLength, profiles)
	v := va.New(lg, o.HTTPPort, o.TLSPort, o.Strict, o.DNS, c.Store)
	w := wfe.New(lg, c.Store, v, c.ca, []string{"pebble.test"}, o.Strict, o.EAB != nil, 0, 0)
	restore()
	c.handler, c.manage = w.Handler(), w.ManagementHandler()
	c.server = httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	c.server.Config.ErrorLog = lg
	c.server.StartTLS()
	return c, nil
}

func setPebbleEnv(env map[string]string) (restore func()) {
	pebbleEnv.Lock()
	old := map[string]*string{}
	for k, v := range env {
		if was, ok := os.LookupEnv(k); ok {
			old[k] = &was
		} else {
			old[k] = nil
		}
		os.Setenv(k, v)
	}
	return func() {
		for k, v := range old {
			if v == nil {
				os.Unsetenv(k)
			} else {
				os.Setenv(k, *v)
			}
		}
		pebbleEnv.Unlock()
	}
}

func (c *CA) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	fault := c.fault
	c.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	if r.Method == http.MethodPost && r.URL.Path == "/order-plz" {
		c.freshOrder(r)
	}
	rec := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
	c.handler.ServeHTTP(rec, r)
	if r.Method != http.MethodPost {
		return
	}
	// The paths are Pebble's own and not exported: its version is pinned.
	switch challenge, ok := strings.CutPrefix(r.URL.Path, "/chalZ/"); {
	case r.URL.Path == "/order-plz" && rec.status == http.StatusCreated:
		c.orders.Add(1)
		if c.sniOnly {
			c.sniOrder(w.Header().Get("Location"))
		}
	case r.URL.Path == "/sign-me-up" && rec.status == http.StatusCreated:
		c.accts.Add(1)
	case ok && c.sniOnly && rec.status == http.StatusOK:
		c.sniValidate(challenge)
	}
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// URL is the directory.
func (c *CA) URL() string { return c.server.URL + wfe.DirectoryPath }

// Orders counts the orders that were created so far.
func (c *CA) Orders() int { return int(c.orders.Load()) }

// Accounts counts the accounts that were created so far.
func (c *CA) Accounts() int { return int(c.accts.Load()) }

// Fault sets a function that sees every request first; it returns true where
// it has answered. Nil takes it away.
func (c *CA) Fault(f func(http.ResponseWriter, *http.Request) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = f
}

// ServerRoots verify the CA's own HTTPS server, in PEM form.
func (c *CA) ServerRoots() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.server.Certificate().Raw})
}

// IssuedRoots verify the certificates that the CA issues, in PEM form.
func (c *CA) IssuedRoots() []byte {
	var b strings.Builder
	for i := range c.ca.GetNumberOfRootCerts() {
		b.Write(c.ca.GetRootCert(i).PEM())
	}
	return []byte(b.String())
}

// ServerPool is ServerRoots as a pool, IssuedPool is IssuedRoots as one.
func (c *CA) ServerPool() *x509.CertPool { return pool(c.ServerRoots()) }

// IssuedPool verifies the certificates that the CA issues.
func (c *CA) IssuedPool() *x509.CertPool { return pool(c.IssuedRoots()) }

func pool(b []byte) *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(b)
	return p
}

// Close ends the CA and its name server.
func (c *CA) Close() {
	c.server.Close()
	if c.dns != nil {
		c.dns.Close()
	}
}

// Port is the port of a "host:port" address.
func Port(address string) int {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		panic(fmt.Sprintf("edgetest.Port(%q): %v", address, err))
	}
	n, _ := strconv.Atoi(port)
	return n
}

// RootNames are the common names of the roots, default first.
func (c *CA) RootNames() []string {
	var names []string
	for i := range c.ca.GetNumberOfRootCerts() {
		names = append(names, c.ca.GetRootCert(i).Cert.Subject.CommonName)
	}
	return names
}

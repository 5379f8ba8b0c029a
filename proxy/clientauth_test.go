package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"edge/proxy/policy"
)

// clientCA issues certificates of clients, and takes them back.
type clientCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newClientCA(t testing.TB, name string) *clientCA {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, SubjectKeyId: []byte(name),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	return &clientCA{cert, key}
}

func (ca *clientCA) issue(t testing.TB, serial int64, until time.Duration) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "ann"}, EmailAddresses: []string{"ann@example.org"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(until), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (ca *clientCA) revoke(t testing.TB, signer *clientCA, serials ...int64) *x509.RevocationList {
	tmpl := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, n := range serials {
		tmpl.RevokedCertificateEntries = append(tmpl.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, tmpl, ca.cert, signer.key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (ca *clientCA) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.cert)
	return p
}

// as makes a client show a certificate, and remember sessions.
func as(c *http.Client, sessions tls.ClientSessionCache, certs ...tls.Certificate) *http.Client {
	var cfg *tls.Config
	switch t := c.Transport.(type) {
	case *http.Transport:
		cfg = t.TLSClientConfig
	case *http3.Transport:
		cfg = t.TLSClientConfig
	}
	// Whatever CAs the server names: a client may show what it likes.
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(certs) == 0 {
			return &tls.Certificate{}, nil
		}
		return &certs[0], nil
	}
	cfg.ClientSessionCache = sessions
	return c
}

// mutual is a rig in which secure.example.org asks for certificates, in a mode.
func mutual(t *testing.T, mode string, ca *clientCA, lists ...*x509.RevocationList) *rig {
	return rigWith(t, http.HandlerFunc(echo), func(_ *Options, s *Settings) {
		s.ClientAuth = map[string]*ClientAuth{"secure.example.org": {Mode: mode, Roots: ca.pool(), CRLs: lists}}
		s.Table = tableOf(t,
			policy.Site{Name: "open", Hosts: []string{"example.org"}, TLS: true, Pool: "a"},
			policy.Site{Name: "secure", Hosts: []string{"secure.example.org"}, TLS: true, ClientAuth: true, NeedCert: mode == "require", Routes: []policy.Route{{
				Request: []policy.HeaderEdit{{Op: policy.RemoveField, Name: "X-Client-Cert-*"}, {Op: policy.SetField, Name: "X-Client-Cert-Names", Value: "{client_cert_names}"}},
				Action:  policy.Action{Proxy: &policy.ProxyTo{Pool: "a"}}}}})
	})
}

func TestClientCertificates(t *testing.T) {
	ca, other := newClientCA(t, "clients"), newClientCA(t, "others")
	good, bad, old, taken := ca.issue(t, 10, time.Hour), other.issue(t, 11, time.Hour), ca.issue(t, 12, -time.Hour), ca.issue(t, 13, time.Hour)
	lists := []*x509.RevocationList{ca.revoke(t, ca, 13, 99)}
	const secure = "https://secure.example.org/"
	for _, tc := range []struct {
		mode, who string
		cert      []tls.Certificate
		want      int // 0: no connection
		names     string
	}{
		{"require", "nobody", nil, 0, ""},
		{"require", "ann", []tls.Certificate{good}, 200, "ann@example.org"},
		{"require", "a stranger", []tls.Certificate{bad}, 0, ""},
		{"require", "an expired one", []tls.Certificate{old}, 0, ""},
		{"require", "a revoked one", []tls.Certificate{taken}, 0, ""},
		{"verify_if_given", "nobody", nil, 200, ""},
		{"verify_if_given", "ann", []tls.Certificate{good}, 200, "ann@example.org"},
		{"verify_if_given", "a stranger", []tls.Certificate{bad}, 0, ""},
		{"verify_if_given", "a revoked one", []tls.Certificate{taken}, 0, ""},
		{"request", "nobody", nil, 200, ""},
		{"request", "a stranger", []tls.Certificate{bad}, 200, ""},
	} {
		t.Run(tc.mode+", "+tc.who, func(t *testing.T) {
			r := mutual(t, tc.mode, ca, lists...)
			eachDialect(t, r, func(t *testing.T, c *http.Client) {
				a := ask(as(c, nil, tc.cert...), requestTo(t, "GET", secure, nil, "X-Client-Cert-Names", "root"))
				if a.status != tc.want || a.header.Get("Got-X-Client-Cert-Names") != tc.names {
					t.Errorf("%d %v %v", a.status, a.err, a.header)
				}
			})
		})
	}
	// Each key of a CA that got a new one under its old name has a list of its own.
	next := newClientCA(t, "clients")
	both := mutual(t, "require", ca, ca.revoke(t, ca, 13), next.revoke(t, next, 14))
	both.set.ClientAuth["secure.example.org"].Roots.AddCert(next.cert)
	if err := both.Apply(both.set); err != nil {
		t.Fatal(err)
	}
	eachDialect(t, both, func(t *testing.T, c *http.Client) {
		for i, cert := range []tls.Certificate{good, taken, next.issue(t, 10, time.Hour), next.issue(t, 14, time.Hour)} {
			c.CloseIdleConnections()
			if a := ask(as(c, nil, cert), requestTo(t, "GET", secure, nil)); (a.status == 200) != (i%2 == 0) {
				t.Errorf("with two keys, certificate %d: %d %v", i, a.status, a.err)
			}
		}
	})
	// A list that somebody else signed is no list.
	r := mutual(t, "require", ca, ca.revoke(t, other, 1))
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		if a := ask(as(c, nil, good), requestTo(t, "GET", secure, nil)); a.status != 0 {
			t.Errorf("with a forged list: %d", a.status)
		}
	})
}

// CVE-2025-23419, CVE-2018-19148, CVE-2022-23632: neither a session nor a
// connection that was made for another host opens one that asks for certificates.
func TestVuln_CVE_2025_23419_SessionOfAnotherSite(t *testing.T) {
	ca := newClientCA(t, "clients")
	r := mutual(t, "require", ca)
	good := ca.issue(t, 10, time.Hour)
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		// One cache for all names, as an attacker would have.
		as(c, oneSession{tls.NewLRUClientSessionCache(1)})
		if a := ask(c, requestTo(t, "GET", site+"/", nil)); a.status != 200 {
			t.Fatal(a)
		}
		for _, host := range []string{"secure.example.org", "SECURE.example.org", "secure.example.org."} {
			req := requestTo(t, "GET", site+"/", nil)
			req.Host = host
			if a := ask(c, req); a.status != 421 {
				t.Errorf("Host %s on a connection for example.org: %d %v", host, a.status, a.err)
			}
		}
		c.CloseIdleConnections()
		if a := ask(c, requestTo(t, "GET", "https://secure.example.org/", nil)); a.status != 0 {
			t.Errorf("with a session of example.org: %d", a.status)
		}
	})
	// Who has shown the certificate shows it again: nothing is resumed.
	cfg := &tls.Config{RootCAs: r.roots, ServerName: "secure.example.org", Certificates: []tls.Certificate{good}, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	for range 3 {
		c, err := tls.Dial("tcp", r.https, cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		c.Read(make([]byte, 1)) // tickets would come now
		if c.ConnectionState().DidResume {
			t.Error("a session was resumed")
		}
		c.Close()
	}
}

// oneSession gives any name the same session.
type oneSession struct{ tls.ClientSessionCache }

func (o oneSession) Get(string) (*tls.ClientSessionState, bool) { return o.ClientSessionCache.Get("") }
func (o oneSession) Put(_ string, s *tls.ClientSessionState)    { o.ClientSessionCache.Put("", s) }

// A certificate of a CA below the root's is looked up as well, and so is that CA.
func TestRevokedIntermediate(t *testing.T) {
	root, below := newClientCA(t, "root"), newClientCA(t, "below")
	leaf := func(serial int64) *x509.Certificate {
		c, err := x509.ParseCertificate(below.issue(t, serial, time.Hour).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	mid := *below.cert
	mid.RawIssuer, mid.SerialNumber = root.cert.RawSubject, big.NewInt(50)
	for _, tc := range []struct {
		lists []*x509.RevocationList
		good  bool
	}{
		{nil, true},
		{[]*x509.RevocationList{root.revoke(t, root, 51), below.revoke(t, below, 11)}, true},
		{[]*x509.RevocationList{root.revoke(t, root, 50)}, false},
		{[]*x509.RevocationList{below.revoke(t, below, 10)}, false},
		{[]*x509.RevocationList{root.revoke(t, root, 10)}, true}, // another CA's serial
	} {
		if err := revoked([]*x509.Certificate{leaf(10), &mid, root.cert}, tc.lists); (err == nil) != tc.good {
			t.Errorf("%d lists: %v, want good: %v", len(tc.lists), err, tc.good)
		}
	}
}

// A list that goes out of date while it is in force still refuses what it lists,
// and is told of once.
func TestRevocationListGoesOutOfDate(t *testing.T) {
	ca := newClientCA(t, "clients")
	l := ca.revoke(t, ca, 13)
	var later atomic.Int64
	var log syncBuffer
	r := rigWith(t, http.HandlerFunc(echo), func(o *Options, s *Settings) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		s.ClientAuth = map[string]*ClientAuth{"secure.example.org": {Mode: "require", Roots: ca.pool(), CRLs: []*x509.RevocationList{l}}}
		s.Table = tableOf(t, policy.Site{Name: "secure", Hosts: []string{"secure.example.org"}, TLS: true, ClientAuth: true, NeedCert: true, Pool: "a"})
	})
	good, taken := ca.issue(t, 10, 4*time.Hour), ca.issue(t, 13, 4*time.Hour)
	visit := func(want int) {
		for _, d := range dialects() {
			for cert, status := range map[*tls.Certificate]int{&good: 200, &taken: 0} {
				if a := ask(as(d.client(r), nil, *cert), requestTo(t, "GET", "https://secure.example.org/", nil)); a.status != status {
					t.Errorf("%s: %d %v, want %d", d.name, a.status, a.err, status)
				}
			}
		}
		if n := strings.Count(log.String(), "out of date"); n != want {
			t.Errorf("told %d times, want %d: %s", n, want, log.String())
		}
	}
	visit(0)
	later.Store(int64(2 * time.Hour))
	visit(1)
	visit(1)
}

// syncBuffer is written by many.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Without CAs, nobody's certificate is good: not one of the Web's either.
func TestNoClientCAs(t *testing.T) {
	for _, mode := range []string{"require", "verify_if_given"} {
		if cfg := clientAuthConfig(&ClientAuth{Mode: mode}, tls.VersionTLS12, nil); cfg.ClientCAs == nil {
			t.Errorf("%s: the system's CAs would do", mode)
		}
	}
}

// A host below a wildcard is asked for what its own site asks, also nothing.
func TestOpenHostBelowWildcard(t *testing.T) {
	ca := newClientCA(t, "clients")
	r := rigWith(t, http.HandlerFunc(echo), func(_ *Options, s *Settings) {
		s.ClientAuth = map[string]*ClientAuth{"*.example.org": {Mode: "require", Roots: ca.pool()}, "open.example.org": nil}
		s.Table = tableOf(t,
			policy.Site{Name: "open", Hosts: []string{"open.example.org"}, TLS: true, Pool: "a"},
			policy.Site{Name: "secure", Hosts: []string{"*.example.org"}, TLS: true, ClientAuth: true, NeedCert: true, Pool: "a"})
	})
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		as(c, oneSession{tls.NewLRUClientSessionCache(1)})
		if a := ask(c, requestTo(t, "GET", "https://open.example.org/", nil)); a.status != 200 {
			t.Errorf("open: %d %v", a.status, a.err)
		}
		req := requestTo(t, "GET", "https://open.example.org/", nil)
		req.Host = "x.example.org"
		if a := ask(c, req); a.status != 421 {
			t.Errorf("Host x on a connection for open: %d %v", a.status, a.err)
		}
		c.CloseIdleConnections()
		if a := ask(c, requestTo(t, "GET", "https://x.example.org/", nil)); a.status != 0 {
			t.Errorf("x: %d", a.status)
		}
	})
}

// A connection is no way around a list that was loaded after it was made, nor
// around other CAs; without either it stays.
func TestRevokedByReload(t *testing.T) {
	ca := newClientCA(t, "clients")
	for _, mode := range []string{"require", "verify_if_given"} {
		r := mutual(t, mode, ca)
		first := r.set
		for _, tc := range []struct {
			name string
			auth *ClientAuth
			good bool
		}{
			{"the same again", &ClientAuth{Mode: mode, Roots: ca.pool()}, true},
			{"a list of others", &ClientAuth{Mode: mode, Roots: ca.pool(), CRLs: []*x509.RevocationList{ca.revoke(t, ca, 99)}}, true},
			{"revoked", &ClientAuth{Mode: mode, Roots: ca.pool(), CRLs: []*x509.RevocationList{ca.revoke(t, ca, 10)}}, false},
			{"another CA", &ClientAuth{Mode: mode, Roots: newClientCA(t, "others").pool()}, false},
			{"taken unverified", &ClientAuth{Mode: "request", Roots: ca.pool()}, false},
		} {
			eachDialect(t, r, func(t *testing.T, c *http.Client) {
				if err := r.Apply(first); err != nil {
					t.Fatal(err)
				}
				as(c, nil, ca.issue(t, 10, time.Hour))
				if a := ask(c, requestTo(t, "GET", "https://secure.example.org/", nil)); a.status != 200 || a.header.Get("Got-X-Client-Cert-Names") != "ann@example.org" {
					t.Fatal(a)
				}
				next := first
				next.ClientAuth = map[string]*ClientAuth{"secure.example.org": tc.auth}
				if err := r.Apply(next); err != nil {
					t.Fatal(err)
				}
				for range 2 { // the second time from memory
					a := ask(c, requestTo(t, "GET", "https://secure.example.org/", nil))
					status, names := 200, "ann@example.org"
					if !tc.good {
						names = ""
						if mode == "require" {
							status = 421
						}
					}
					if a.status != status || a.header.Get("Got-X-Client-Cert-Names") != names {
						t.Errorf("%s, %s: %d %v %v", mode, tc.name, a.status, a.err, a.header)
					}
				}
			})
		}
	}
}

// A connection from before a reload that asks for certificates does not stay open for it.
func TestClientAuthAfterReload(t *testing.T) {
	ca := newClientCA(t, "clients")
	r := mutual(t, "require", ca)
	after := r.set
	before := r.set
	before.ClientAuth = nil
	before.Table = tableOf(t, policy.Site{Name: "secure", Hosts: []string{"secure.example.org"}, TLS: true, Pool: "a"})
	if err := r.Apply(before); err != nil {
		t.Fatal(err)
	}
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		if a := ask(c, requestTo(t, "GET", "https://secure.example.org/", nil)); a.status != 200 {
			t.Fatal(a)
		}
		if err := r.Apply(after); err != nil {
			t.Fatal(err)
		}
		if a := ask(c, requestTo(t, "GET", "https://secure.example.org/", nil)); a.status != 421 {
			t.Errorf("after the reload: %d %v", a.status, a.err)
		}
		if err := r.Apply(before); err != nil {
			t.Fatal(err)
		}
	})
}

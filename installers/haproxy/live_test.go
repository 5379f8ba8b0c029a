package haproxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
)

// env is the world as it is.
func (s *server) env(name string) *target.Env {
	runner := &installers.Runner{Work: s.t.TempDir(), Verify: 3 * time.Second}
	return &target.Env{
		Name: name, Run: installers.Run, Exec: installers.Exec, Dial: new(net.Dialer).DialContext, Getenv: os.Getenv, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Runner: runner,
		Lock: func(ctx context.Context, server installers.Server, _ string) (func() error, error) {
			_, err := runner.Recover(ctx, func(string) installers.Server { return server })
			return func() error { return nil }, err
		},
	}
}

func (s *server) target(name string, more ...string) *delivery.Local {
	s.t.Helper()
	k := Kind()
	tg, err := k.Target(context.Background(), s.values(more...), s.env(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return tg.(*delivery.Local)
}

func material(t testing.TB, name string, b edge.Bundle, hosts ...string) *delivery.Material {
	t.Helper()
	m, err := delivery.NewMaterial(name, b, hosts, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newMaterial(t testing.TB, name string, hosts ...string) *delivery.Material {
	return material(t, name, edgetest.NewChain(t, time.Now().Add(time.Hour), hosts...), hosts...)
}

// put delivers, and returns the error.
func (s *server) put(m *delivery.Material, more ...string) error {
	s.t.Helper()
	_, err := s.target(m.Name, more...).Put(context.Background(), m, nil)
	return err
}

func (s *server) mustPut(m *delivery.Material, more ...string) {
	s.t.Helper()
	if err := s.put(m, more...); err != nil {
		s.t.Fatal(err)
	}
	for _, host := range m.Hosts {
		s.shows(host, m)
	}
}

func (s *server) shows(host string, m *delivery.Material) {
	s.t.Helper()
	got, err := installers.Shows(context.Background(), installers.Endpoint{Addr: s.addr, Name: host}, m.Certs[0])
	if err != nil || !got.Equal(m.Certs[0]) {
		s.t.Errorf("%s: %v, %v", host, got, err)
	}
}

// reloads is how often the master has reloaded.
func (s *server) reloads() int {
	s.t.Helper()
	c := &cli{addr: s.path("master.sock"), master: true, dial: new(net.Dialer).DialContext}
	p, err := c.settled(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return p.reloads
}

func (s *server) reload() error {
	c := &cli{addr: s.path("master.sock"), master: true, dial: new(net.Dialer).DialContext}
	return c.reload(context.Background())
}

func confWith(certs string) string { return strings.Replace(someConf, `crt "${CERTS}/"`, certs, 1) }

func wants(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("want %q: %v", text, err)
	}
}

// A new name comes into a crt-list without a reload, and is there after one.
func TestCrtList(t *testing.T) {
	t.Parallel()
	for name, more := range map[string][]string{"stats": nil, "master": nil} {
		s := newServer(t, confWith("crt-list DIR/list.txt"))
		s.write("list.txt", s.path("certs/00-first.pem")+" [alpn h2] first.example.test\n# no line at the end")
		s.daemon.Start(t)
		if name == "master" {
			more = []string{"master_socket", "UNIX:" + s.path("master.sock")}
		}
		before := s.reloads()
		alive := s.hold(t)
		m := newMaterial(t, "*.example.test", "*.example.test", "b.test")
		s.mustPut(m, append(more, "update", byRuntime)...)
		file := s.path("certs/_.example.test.pem")
		want := s.path("certs/00-first.pem") + " [alpn h2] first.example.test\n# no line at the end\n" + file + "\n"
		if raw, err := os.ReadFile(s.path("list.txt")); err != nil || string(raw) != want {
			t.Errorf("%s: crt-list %q, %v", name, raw, err)
		}
		m = newMaterial(t, "*.example.test", "*.example.test", "b.test")
		s.mustPut(m, append(more, "update", byRuntime)...)
		if now := s.reloads(); now != before {
			t.Errorf("%s: %d reloads, before %d", name, now, before)
		}
		inMemory := s.memory()
		if err := s.reload(); err != nil {
			t.Fatal(err)
		}
		s.shows("any.example.test", m)
		if after := s.memory(); after != inMemory {
			t.Errorf("%s: after a reload\n%s\nbefore\n%s", name, after, inMemory)
		}
		if err := alive(); err != nil {
			t.Errorf("%s: the open connection: %v", name, err)
		}
	}
}

// A crt-list shows a certificate for some of its names only: it is not asked for others.
func TestFilters(t *testing.T) {
	t.Parallel()
	s := newServer(t, confWith("crt-list DIR/list.txt"))
	s.write("certs/one.pem", pemOf(t, "a.example.test", "b.example.test"))
	s.write("list.txt", s.path("certs/00-first.pem")+"\n"+s.path("certs/one.pem")+" a.example.test\n")
	s.daemon.Start(t)
	m := newMaterial(t, "one", "a.example.test", "b.example.test")
	if err := s.put(m); err != nil {
		t.Error(err)
	}
	s.shows("a.example.test", m)
}

// longChain has n certificates with nothing in them but their size.
func longChain(t *testing.T, n int, name string) edge.Bundle {
	t.Helper()
	var chain []byte
	var parent *x509.Certificate
	var key *ecdsa.PrivateKey
	for i := range n {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, SerialNumber: string(rune('a' + i))}, NotBefore: time.Now().Add(-time.Hour),
			NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: i < n-1, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
			ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 55555, 1}, Value: make([]byte, 1500)}},
		}
		if i == n-1 {
			c.DNSNames = []string{name}
		}
		signer := key
		if parent == nil {
			parent, signer = c, k
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, k.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		if parent, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		key = k
		chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), chain...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return edge.Bundle{Chain: chain, Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
}

// What is too large for the socket goes by a reload; the socket itself says nothing of it.
func TestLargePEM(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	s.daemon.Start(t)
	s.mustPut(newMaterial(t, "one", "a.example.test"))
	before, reloads := s.memory(), s.reloads()
	big := material(t, "one", longChain(t, 8, "a.example.test"), "a.example.test")
	if n := len(big.FullChainPEM) + len(big.KeyPEM); n < 17000 {
		t.Fatalf("%d bytes", n)
	}
	c := &cli{addr: s.path("admin.sock"), dial: new(net.Dialer).DialContext}
	if err := c.set(t.Context(), s.path("certs/one.pem"), string(big.FullChainPEM)+string(big.KeyPEM)); err == nil || s.memory() != before {
		t.Errorf("%v\n%s", err, s.memory())
	}
	wants(t, s.put(big, "update", byRuntime), "the socket takes")
	if s.reloads() != reloads {
		t.Error("it was reloaded")
	}
	s.mustPut(big)
	if got := s.reloads(); got != reloads+1 {
		t.Errorf("%d reloads, before %d", got, reloads)
	}
	m := newMaterial(t, "one", "a.example.test")
	s.mustPut(m)
	if got := s.reloads(); got != reloads+1 {
		t.Errorf("%d reloads for a small one", got)
	}
}

// Somebody else's file for the same names is renewed, with its own mode; the name of the
// delivery does not matter.
func TestSameNames(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	s.write("certs/shop.pem", pemOf(t, "a.example.test"))
	if err := os.Chmod(s.path("certs/shop.pem"), 0o640); err != nil {
		t.Fatal(err)
	}
	s.daemon.Start(t)
	s.mustPut(newMaterial(t, "one", "a.example.test", "www.a.example.test"))
	info, err := os.Stat(s.path("certs/shop.pem"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := os.Stat(s.path("certs/one.pem")); err == nil {
		t.Error("there is a second file")
	}
	s.mustPut(newMaterial(t, "two", "b.example.test"), "bundle", "true", "pem_name", "b.pem", "pem_mode", "0640", "pem_group", "1")
	info, err = os.Stat(s.path("certs/b.pem.ecdsa"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
}

// crt-base, a Unix socket and a folder of configuration files: HAProxy's names are its own.
func TestCrtBase(t *testing.T) {
	t.Parallel()
	s := newServer(t, strings.Replace(confWith("crt 00-first.pem crt sub"), "global\n", "global\n\tcrt-base DIR/certs/\n", 1))
	if err := os.Mkdir(s.path("certs/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write("certs/sub/x.pem", pemOf(t, "x.example.test"))
	s.daemon.Start(t)
	reloads := s.reloads()
	s.mustPut(newMaterial(t, "first", "first.example.test"), "update", byRuntime)
	s.mustPut(newMaterial(t, "one", "a.example.test"), "update", byRuntime)
	inMemory := s.memory()
	if s.reloads() != reloads {
		t.Error("it was reloaded")
	}
	if err := s.reload(); err != nil {
		t.Fatal(err)
	}
	if after := s.memory(); after != inMemory {
		t.Errorf("after a reload\n%s\nbefore\n%s", after, inMemory)
	}
}

// A socket that may not change anything is no reason to fail where there is another way.
func TestOperator(t *testing.T) {
	t.Parallel()
	s := newServer(t, strings.Replace(someConf, "level admin", "level operator", 1))
	s.daemon.Start(t)
	wants(t, s.put(newMaterial(t, "one", "a.example.test"), "stats_socket", s.path("admin.sock"), "update", byRuntime), `write "level admin"`)
	reloads := s.reloads()
	s.mustPut(newMaterial(t, "one", "a.example.test"), "stats_socket", s.path("admin.sock"))
	if s.reloads() != reloads+1 {
		t.Error("it was not reloaded")
	}
	s.mustPut(newMaterial(t, "one", "a.example.test")) // the master has all rights
	if s.reloads() != reloads+1 {
		t.Error("it was reloaded")
	}
}

// rsaChain is a certificate of the other kind.
func rsaChain(t *testing.T, name string) edge.Bundle {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return edge.Bundle{
		Chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:   pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
	}
}

// Two lineages of one name, of both kinds, in one bundle.
func TestBundle(t *testing.T) {
	t.Parallel()
	s := newServer(t, confWith("crt DIR/certs/site.pem"))
	old := rsaChain(t, "a.example.test")
	s.write("certs/site.pem.rsa", string(old.Chain)+string(old.Key))
	s.write("certs/site.pem.ecdsa", pemOf(t, "a.example.test"))
	s.daemon.Start(t)
	settings := []string{"update", byRuntime, "pem_name", "site.pem", "bundle", "true"}
	m := material(t, "rsa", rsaChain(t, "a.example.test"), "a.example.test")
	s.mustPut(m, settings...)
	s.mustPut(newMaterial(t, "ecdsa", "a.example.test"), settings...)
	s.shows("a.example.test", m)
}

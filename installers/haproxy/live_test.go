package haproxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/durable"
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

// A new name that is not shown leaves nothing: on the disk, in the list, in memory.
func TestNewNameUndone(t *testing.T) {
	t.Parallel()
	for _, c := range []string{`crt "${CERTS}/"`, "crt-list DIR/list.txt"} {
		for _, update := range []string{byRuntime, byReload} {
			s := newServer(t, confWith(c))
			s.write("list.txt", s.path("certs/00-first.pem")+"\n")
			s.daemon.Start(t)
			before := s.disk(".") + s.disk("certs") + s.memory()
			l := s.target("one", "update", update, "master_socket", s.path("master.sock"))
			l.Verify = []installers.Endpoint{{Addr: s.web}} // speaks no TLS
			l.Within = time.Second
			_, err := l.Put(t.Context(), newMaterial(t, "one", "a.example.test"), nil)
			wants(t, err, "everything was put back")
			if after := s.disk(".") + s.disk("certs") + s.memory(); after != before {
				t.Errorf("%s, %s: not as it was:\n%s\nbefore\n%s", c, update, after, before)
			}
		}
	}
}

// By reloads, connections go on, and one that did not happen is found by a handshake.
func TestByReload(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	s.daemon.Start(t)
	settings := []string{"update", byReload, "master_socket", s.path("master-relay.sock")}
	m := newMaterial(t, "one", "a.example.test")
	s.mustPut(m, settings...)
	alive := s.hold(t)
	m = newMaterial(t, "one", "a.example.test")
	s.mustPut(m, settings...)
	if err := alive(); err != nil {
		t.Error(err)
	}
	before := s.disk("certs") + s.memory()
	s.master.deaf.Store(true)
	l := s.target("one", settings...)
	l.Within = time.Second
	_, err := l.Put(t.Context(), newMaterial(t, "one", "a.example.test"), nil)
	wants(t, err, "it ignored the reload")
	if after := s.disk("certs") + s.memory(); after != before {
		t.Errorf("not as it was:\n%s\nbefore\n%s", after, before)
	}
	s.master.deaf.Store(false)
	s.shows("a.example.test", m)
	s.mustPut(newMaterial(t, "one", "a.example.test"), settings...)
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

// A run dies when HAProxy has the certificate in memory. Whatever is delivered next, both
// are as before when that is taken back.
func TestRecovered(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	s.daemon.Start(t)
	s.mustPut(newMaterial(t, "one", "a.example.test"))
	before := s.disk("certs") + s.memory()

	work := t.TempDir()
	dead := false
	env := s.env("one")
	env.Runner.Work = work
	env.Runner.Durable.Before = func(durable.Step, string) error {
		if dead {
			return errors.New("the process was killed")
		}
		return nil
	}
	env.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if have, err := os.ReadFile(s.path("certs/one.pem")); err == nil && !strings.Contains(before, string(have)) && strings.Contains(s.memory(), fingerprintOf(have)) {
			dead = true
		}
		if dead {
			return nil, errors.New("the process was killed")
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	k := Kind()
	tg, err := k.Target(t.Context(), s.values(), env)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tg.Put(t.Context(), newMaterial(t, "one", "a.example.test"), nil); err == nil || !dead {
		t.Fatalf("dead %t: %v", dead, err)
	}
	if now := s.disk("certs") + s.memory(); now == before {
		t.Fatal("nothing was changed")
	}
	reloads := s.reloads()
	env = s.env("two")
	env.Runner.Work = work
	if tg, err = k.Target(t.Context(), s.values(), env); err != nil {
		t.Fatal(err)
	}
	l := tg.(*delivery.Local)
	if _, err := l.Planner.Plan(t.Context(), newMaterial(t, "two", "b.example.test")); err != nil {
		t.Fatal(err) // as a look does
	}
	release, err := l.Lock(t.Context(), l.Planner, l.Planner.Root())
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if after := s.disk("certs") + s.memory(); after != before || s.reloads() != reloads+1 {
		t.Errorf("not as it was:\n%s\nbefore\n%s", after, before)
	}
}

func fingerprintOf(raw []byte) string {
	sum := sha1.Sum(firstCert(raw).Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
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

// A bad configuration is found before anything, and by the master's count of failures.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	s.daemon.Start(t)
	good, err := os.ReadFile(s.path("haproxy.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("haproxy.cfg", string(good)+"nonsense here\n")
	before := s.disk("certs") + s.memory()
	wants(t, s.put(newMaterial(t, "one", "a.example.test")), "unknown keyword 'nonsense'")
	wants(t, s.reload(), "failed: 1")
	if after := s.disk("certs") + s.memory(); after != before {
		t.Errorf("not as it was:\n%s", after)
	}
	s.write("haproxy.cfg", string(good))
	s.mustPut(newMaterial(t, "one", "a.example.test"))
}

// What is warned of, and for how long a certificate is another one than it seems.
func TestWarnings(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	s.write("certs/one.pem", pemOf(t, "old.example.test"))
	s.write("certs/one.pem.ocsp", "")
	if err := os.Chmod(s.path("certs/one.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.daemon.Start(t)
	for name, want := range map[string][]string{"0": {"0.pem is the first file of its folder"}, "two": nil, "one": {"everybody can read the private key", "one.pem.ocsp with the certificate"}} {
		m := newMaterial(t, name, "a.example.test")
		h, err := New(must(options(s.values(), s.env(name))))
		if err != nil {
			t.Fatal(err)
		}
		p, err := h.Plan(t.Context(), m)
		if err != nil || len(p.Warnings) != len(want) {
			t.Errorf("%s: %v, %q", name, err, p.Warnings)
			continue
		}
		for i := range want {
			if !strings.Contains(p.Warnings[i], want[i]) {
				t.Errorf("%s: %q", name, p.Warnings[i])
			}
		}
	}
}

func must(o Options, err error) Options {
	if err != nil {
		panic(err)
	}
	return o
}

// Where a unit of systemd has HAProxy, it reloads it; where it only seems so, not.
func TestReloadUnit(t *testing.T) {
	var asked []string
	o := &Options{Run: func(_ context.Context, argv []string) (string, error) {
		asked = argv
		return "42\n", nil
	}}
	cgroup := "0::/system.slice/haproxy@blue.service\n"
	if got := strings.Join(o.reloadUnit(t.Context(), cgroup, 42), " "); got != "systemctl reload haproxy@blue.service" {
		t.Errorf("%q", got)
	}
	if got := o.reloadUnit(t.Context(), cgroup, 43); got != nil || asked[len(asked)-1] != "haproxy@blue.service" {
		t.Errorf("%q, asked %q", got, asked)
	}
	if got := o.reloadUnit(t.Context(), "0::/user.slice\n", 42); got != nil {
		t.Errorf("%q", got)
	}
	w := &world{o: &Options{Reload: []string{"true", "x"}, Run: o.Run, Config: []string{"/x"}}, conf: parse(nil, lookupIn(nil))}
	if err := w.reload(t.Context()); err != nil || strings.Join(asked, " ") != "true x" {
		t.Errorf("%v, %q", err, asked)
	}
	w.o.Reload = nil
	wants(t, w.reload(t.Context()), "does not know how to reload HAProxy")
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

func TestFound(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	k := Kind()
	says, err := k.Found(t.Context(), s.values(), s.env(""))
	if err != nil || !strings.Contains(says, "HAProxy does not run") {
		t.Errorf("%q, %v", says, err)
	}
	s.daemon.Start(t)
	says, err = k.Found(t.Context(), s.values(), s.env(""))
	if want := "configuration " + s.path("haproxy.cfg") + ", the stats socket " + s.path("admin.sock"); err != nil || !strings.HasPrefix(says, "HAProxy 2.") || !strings.HasSuffix(says, want) {
		t.Errorf("%q, %v", says, err)
	}
	if _, err := k.Found(t.Context(), s.values("config", "/nothing.cfg"), s.env("")); err == nil {
		t.Error("a configuration that is not there is found")
	}
}

// Where certificates can go, and where not.
func TestChoose(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("a/x.pem", pemOf(t, "x.test"))
	write("a/x.pem.key", "")
	write("a/.hidden", "")
	write("b/y.pem", pemOf(t, "a.test"))
	write("c/z.pem", pemOf(t, "a.test"))
	write("d/one.pem.rsa", "")
	write("list1", dir+"/a/x.pem\n")
	write("list2", "")
	write("live/full.pem", "no key")
	if err := os.Symlink(dir+"/live/full.pem", dir+"/e.pem"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line, more string // of bind; "key=value" settings
		want       string // path, or in the error
	}{
		{"crt DIR/a", "", "DIR/a/one.pem"},
		{"crt DIR/a/", "pem_name=two.pem", "DIR/a/two.pem"},
		{"crt DIR/a crt DIR/d", "", "several folders"},
		{"crt DIR/a crt DIR/d", "crt_dir=DIR/d", "DIR/d/one.pem"},
		{"crt DIR/a crt DIR/b", "", "DIR/b/y.pem"},
		{"crt DIR/b crt DIR/c", "", "several files that the certificate could go to: DIR/b/y.pem, DIR/c/z.pem"},
		{"crt DIR/b crt DIR/c", "crt_dir=DIR/c", "DIR/c/z.pem"},
		{"crt DIR/a/x.pem", "", "single files, for other names: DIR/a/x.pem"},
		{"crt DIR/a/x.pem", "pem_name=x.pem", "DIR/a/x.pem"},
		{"crt DIR/a/x.pem crt DIR/new.pem", "", "DIR/new.pem"},
		{"crt DIR/d/one.pem", "pem_name=one.pem.rsa", "DIR/d/one.pem.rsa"},
		{"crt-list DIR/list1", "", "DIR/a/one.pem"},
		{"crt-list DIR/list2", "", "DIR/one.pem"},
		{"crt-list DIR/list1 crt-list DIR/list2", "", "several crt-lists"},
		{"crt-list DIR/list1 crt-list DIR/list2", "crt_list=DIR/list2", "DIR/one.pem"},
		{"crt-list DIR/list1", "crt_list=DIR/other", "no bind line"},
		{"crt-list DIR/nothing", "", "no such file"},
		{"crt DIR/a", "crt_dir=DIR/b", "no bind line"},
		{"crt rel.pem", "", "relative paths (rel.pem)"},
		{"", "", "no bind line of /x has certificates"},
		{"crt DIR/a acme", "", "itself (acme)"},
		{"crt DIR/b acme", "", "gets the certificate DIR/b/y.pem itself"},
		{"crt @store/y.pem", "", "gets the certificate DIR/b/y.pem itself"},
	} {
		c.line = strings.ReplaceAll(c.line, "DIR", dir)
		o := &Options{Name: "one", Config: []string{"/x"}}
		switch key, value, _ := strings.Cut(strings.ReplaceAll(c.more, "DIR", dir), "="); key {
		case "crt_dir":
			o.CrtDir = value
		case "crt_list":
			o.CrtList = value
		case "pem_name":
			o.PEMName = value
		}
		text := "crt-store store\n crt-base " + dir + "/b\n load crt y.pem acme LE\nfrontend f\n bind :443 ssl " + c.line + "\n"
		w := &world{o: o, conf: parse([]string{text}, lookupIn(nil))}
		got := ""
		at, err := w.choose(newMaterial(t, "one", "a.test"))
		if err != nil {
			got = err.Error()
		} else {
			got = at.path
		}
		if want := strings.ReplaceAll(c.want, "DIR", dir); got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%s, %s: %s, want %s", c.line, c.more, got, want)
		}
	}
	h := &HAProxy{}
	wants(t, h.planPEM(new(installers.Plan), &place{path: dir + "/e.pem"}, nil), "a file of something else is not overwritten")
}

func TestBadOptions(t *testing.T) {
	k := Kind()
	for want, said := range map[string]map[string][]string{
		"pem_mode":            {"pem_mode": {"0644"}},
		"pem_owner":           {"pem_owner": {"nobody-of-this-name"}},
		"cannot be the name":  {"pem_name": {"../x"}},
		"something else than": {"pem_name": {"x.pem.key"}},
		"not where a file":    {"config": {"haproxy.cfg"}},
	} {
		v, problems := target.Parse(&k, said, nil, false, true)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		_, err := k.Target(t.Context(), v, &target.Env{Name: "one"})
		wants(t, err, want)
	}
	v, _ := target.Parse(&k, map[string][]string{"reload": {"sudo systemctl restart haproxy"}, "pem_mode": {"0640"}, "pem_owner": {"12"}, "pem_group": {"0"}}, nil, false, true)
	o, err := options(v, &target.Env{})
	if err != nil || len(o.Reload) != 4 || o.Mode != fs.FileMode(0o640) || o.Owner.UID != 12 || o.Owner.GID != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

package proxmox

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/installers/delivery"
)

// foreign puts a certificate there that edge did not deliver.
func (f *fake) foreign(t *testing.T) {
	m := material(t)
	f.files = pair{m.FullChainPEM, m.KeyPEM}
}

// What is somebody else's is left alone, until that is forced; what cannot be done says so.
func TestRefused(t *testing.T) {
	ordered := map[string]string{"acme": "account=default,domains=pve1.example.org"}
	for name, c := range map[string]struct {
		product Product
		before  func(t *testing.T, f *fake)
		more    []string
		says    string // "" for success
		warns   string
	}{
		"foreign":        {VE, foreignT, nil, "did not deliver", ""},
		"forced":         {VE, foreignT, []string{"force", "true"}, "", "cannot be put back"},
		"own of backup":  {Backup, nil, nil, "", ""},
		"foreign backup": {Backup, foreignT, nil, "did not deliver", ""},
		"acme":           {VE, func(_ *testing.T, f *fake) { f.config = ordered }, nil, "orders its certificate itself (acme: account=default,domains=pve1", ""},
		"acme domain": {VE, func(_ *testing.T, f *fake) { f.config["acmedomain0"] = "x.test,plugin=y" }, nil,
			"orders its certificate itself (acmedomain0", ""},
		"acme forced":  {VE, func(_ *testing.T, f *fake) { f.config = ordered }, []string{"force", "true"}, "", ""},
		"no audit":     {VE, func(_ *testing.T, f *fake) { f.audit = false }, nil, "", "without Sys.Audit"},
		"no modify":    {VE, func(_ *testing.T, f *fake) { f.deny = 403 }, nil, "403 Permission check failed (/nodes/pve1, Sys.Modify); it needs Sys.Modify on /nodes/pve1", ""},
		"other node":   {VE, nil, []string{"node", "pve2", "address", ""}, "has no node pve2 but pve1", ""},
		"ve as backup": {VE, nil, []string{"product", "backup"}, "Authentication failed!; the token", ""},
		"password":     {VE, nil, []string{"token", "", "user", "root@pam", "password", "file:" + write(t, "p", password)}, "", ""},
		"wrong password": {VE, nil, []string{"token", "", "user", "root@pam", "password", "file:" + write(t, "p", "wrong")},
			"401 authentication failure; the token or the password", ""},
		"second factor": {VE, nil, []string{"token", "", "user", "tfa@pve", "password", "file:" + write(t, "p", password)}, "second factor", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, c.product)
			if c.before != nil {
				c.before(t, f)
			}
			before := f.snapshot(t)
			change, err := f.put(t, f.said(c.more...), material(t))
			if warns := strings.Join(change.Warnings, "\n"); !strings.Contains(warns, c.warns) || c.warns == "" && warns != "" {
				t.Errorf("it warns %q", warns)
			}
			if c.says == "" {
				if err != nil || f.snapshot(t) == before {
					t.Errorf("nothing was done: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it says %v", err)
			}
			if f.snapshot(t) != before {
				t.Error("something was changed")
			}
		})
	}
}

func foreignT(t *testing.T, f *fake) { f.foreign(t) }

// A key is one block of PKCS #8, whatever it was; kinds that no browser takes are refused.
func TestKeys(t *testing.T) {
	f := newFake(t, VE)
	m := material(t)
	der, err := x509.MarshalPKCS8PrivateKey(m.Key)
	if err != nil {
		t.Fatal(err)
	}
	want := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	m.KeyPEM = append([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), want...)
	if _, err := f.put(t, f.said(), m); err != nil {
		t.Error(err)
	}
	f.mu.Lock()
	got := string(f.files.key)
	f.mu.Unlock()
	if got != want {
		t.Errorf("the key that came is %q", got[:40])
	}
	ed := material(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed.Key = private
	if _, err := f.put(t, f.said("force", "true"), ed); err == nil || !strings.Contains(err.Error(), "RSA or ECDSA") {
		t.Errorf("Ed25519: %v", err)
	}
}

// The API is behind the certificate that is delivered: a fingerprint of before is no
// obstacle afterwards, and stands for nothing else.
func TestFingerprint(t *testing.T) {
	f := newFake(t, VE)
	own := material(t)
	current := &tls.Certificate{}
	show := func(m *delivery.Material) {
		pair, err := tls.X509KeyPair(m.FullChainPEM, m.KeyPEM)
		if err != nil {
			t.Fatal(err)
		}
		current = &pair
	}
	show(own)
	server := httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	server.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*current}}, nil
	}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	state := t.TempDir()
	said := f.said("server", server.URL, "ca", "", "fingerprint", hexOf(own.Leaf))
	put := func(m *delivery.Material) error {
		tg, err := f.make(t, state, said)
		if err != nil {
			t.Fatal(err)
		}
		c, err := tg.Put(t.Context(), m, nil) // as if the record were lost
		if err == nil {
			show(m)
			err = c.Commit(t.Context())
		}
		return err
	}
	for range 3 {
		if err := put(material(t)); err != nil {
			t.Fatal(err)
		}
	}
	show(material(t))
	if err := put(material(t)); err == nil || !strings.Contains(err.Error(), "not the one that was given") {
		t.Errorf("somebody else was taken for the node: %v", err)
	}
}

func hexOf(leaf [32]byte) string {
	const digits = "0123456789ABCDEF"
	var list []string
	for _, b := range leaf {
		list = append(list, string([]byte{digits[b>>4], digits[b&15]}))
	}
	return strings.Join(list, ":")
}

// Of a cluster, the node is the one that was said, else that of the API.
func TestCluster(t *testing.T) {
	f := newFake(t, VE)
	f.nodes = []string{"pve0", theNode}
	f.cluster = []map[string]any{
		{"type": "cluster", "name": "c", "nodes": 2, "quorate": 1, "id": "cluster"},
		{"type": "node", "name": "pve0", "ip": "192.0.2.10", "local": 0, "online": 1, "id": "node/pve0", "level": "", "nodeid": 1},
		{"type": "node", "name": theNode, "ip": "192.0.2.11", "local": 1, "online": 1, "id": "node/pve1", "level": "", "nodeid": 2},
	}
	find := func(more ...string) (string, error) {
		tg, err := f.make(t, "", f.said(append(more, "address", "")...))
		if err != nil {
			t.Fatal(err)
		}
		at, err := tg.(delivery.Placed).Places(context.Background(), material(t), nil)
		if err != nil {
			return "", err
		}
		return at[0].Addr, nil
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(f.URL, "https://"), ":")
	for node, want := range map[string]string{"": "127.0.0.1:" + port, theNode: "127.0.0.1:" + port, "pve0": "192.0.2.10:" + port} {
		if got, err := find("node", node); got != want || err != nil {
			t.Errorf("%q is at %s: %v", node, got, err)
		}
	}
	if _, err := find("node", "pve7"); err == nil || !strings.Contains(err.Error(), `has no node "pve7"`) {
		t.Error(err)
	}
	f.audit = false
	if _, err := find(); err == nil || !strings.Contains(err.Error(), "say node and address") {
		t.Error(err)
	}
	f.nodes, f.cluster = []string{"../../x"}, nil
	if _, err := find(); err == nil || !strings.Contains(err.Error(), "no name") {
		t.Error(err)
	}
}

// The first delivery is taken back by taking the certificate away; what the web server is
// not told is not looked for.
func TestFirstUndoneAndQuiet(t *testing.T) {
	f := newFake(t, VE)
	change, err := f.put(t, f.said(), material(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := change.Undo(t.Context()); err != nil || f.snapshot(t) != "" {
		t.Errorf("it is still there: %v", err)
	}
	f.asked()
	tg, err := f.make(t, "", f.said("restart", "false"))
	if err != nil {
		t.Fatal(err)
	}
	if _, placed := tg.(delivery.Placed); placed {
		t.Error("it says where the certificate is shown")
	}
	if _, err := tg.Put(t.Context(), material(t), nil); err != nil {
		t.Error(err)
	}
	if calls := f.asked(); strings.Count(calls, "POST /nodes/pve1/certificates/custom") != 1 {
		t.Error(calls)
	}
}

// A backup server has its own certificate in the same file: it is put back in any case,
// and a renewal gives back what edge delivered before.
func TestBackup(t *testing.T) {
	f := newFake(t, Backup)
	state, a, b := t.TempDir(), material(t), material(t)
	put := func(m *delivery.Material) delivery.Change {
		tg, err := f.make(t, state, f.said())
		if err != nil {
			t.Fatal(err)
		}
		c, err := tg.Put(t.Context(), m, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if err := put(a).Undo(t.Context()); err != nil || f.snapshot(t) != "" {
		t.Errorf("not its own: %v", err)
	}
	if err := put(a).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := f.snapshot(t)
	if err := put(b).Undo(t.Context()); err != nil || f.snapshot(t) != before {
		t.Errorf("not the one before: %v", err)
	}
}

// A run that was killed leaves a certificate that no record knows: it is still ours, and
// what comes after it can be undone to it. pvenode leaves no key behind.
func TestKilled(t *testing.T) {
	f := newFake(t, VE)
	for _, said := range []map[string][]string{f.said(), {"pvenode": {f.pvenode}, "address": {f.At.Addr}}} {
		f.mu.Lock()
		f.files = pair{}
		f.mu.Unlock()
		state := t.TempDir()
		put := func() delivery.Change {
			tg, err := f.make(t, state, said)
			if err != nil {
				t.Fatal(err)
			}
			c, err := tg.Put(t.Context(), material(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		if err := put().Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		put() // and dies
		before := f.snapshot(t)
		if c := put(); c.Undo == nil || len(c.Warnings) > 0 {
			t.Errorf("%v", c.Warnings)
		} else if err := c.Undo(t.Context()); err != nil {
			t.Error(err)
		}
		if strings.TrimSpace(f.snapshot(t)) != strings.TrimSpace(before) {
			t.Error("not as it was")
		}
		for _, name := range []string{".pvenode-key.pem", ".pvenode-chain.pem"} {
			if _, err := os.Stat(filepath.Join(state, name)); !os.IsNotExist(err) {
				t.Errorf("%s is still there", name)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	f := newFake(t, VE)
	for _, c := range []struct {
		says string
		more []string
	}{
		{"a token is needed", []string{"token", ""}},
		{"USER@REALM!NAME=SECRET", []string{"token", "file:" + write(t, "t", "0123456789")}},
		{"write one of the two", []string{"user", "root@pam"}},
		{"write USER@REALM", []string{"token", "", "user", "root", "password", "file:" + write(t, "p", "x")}},
		{"no name of a node", []string{"node", "a/b"}},
		{"write \"x\" as HOST:PORT", []string{"address", "x"}},
		{"https://HOST:PORT", []string{"server", "http://pve"}},
		{"https://HOST:PORT", []string{"server", "https://pve/api2"}},
		{"name it with server", []string{"server", ""}},
		{"https://localhost:8007", []string{"server", "", "product", "backup"}},
		{"64 hexadecimal digits", []string{"fingerprint", "AA:BB"}},
	} {
		tg, err := f.make(t, "", f.said(c.more...))
		if err == nil {
			_, err = tg.Look(t.Context(), material(t), nil)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v", c.more, err)
		}
	}
	for server, want := range map[string]string{"pve": "https://pve:8006", "pve:443": "https://pve:443", "[2001:db8::1]": "https://[2001:db8::1]:8006", "https://pve/": "https://pve:8006"} {
		if got, err := base(server, VE); got != want || err != nil {
			t.Errorf("%s: %s %v", server, got, err)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`[{"filename":"pveproxy-ssl.pem","fingerprint":"AA:BB","subject":"CN = x","issuer":"CN = y","san":["x"]}]`), "acme: account=default,domains=x\nacmedomain0: y,plugin=z\n#c: d\n")
	f.Add([]byte(`[{"filename":"proxy.pem","fingerprint":"`+strings.Repeat("ab:", 31)+`ab"}]`), "a:b:c")
	f.Fuzz(func(t *testing.T, raw []byte, config string) {
		orders(parseConfig(config))
		list, err := parseCertificates(raw)
		if err != nil {
			return
		}
		for _, p := range []Product{VE, Backup} {
			if c := custom(list, p); c != nil {
				_, _ = c.leaf()
			}
		}
	})
}

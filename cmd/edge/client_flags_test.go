package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// edge runs our program under its own name, without a person.
func (tr *tree) edge(line string) outcome {
	tr.t.Helper()
	return tr.must("edge", strings.Fields(line)...)
}

func (tr *tree) leaf(path ...string) *x509.Certificate {
	tr.t.Helper()
	certs := tr.chain(path...)
	return certs[0]
}

func (tr *tree) chain(path ...string) (certs []*x509.Certificate) {
	tr.t.Helper()
	raw, err := os.ReadFile(tr.path(path...))
	if err != nil {
		tr.t.Fatal(err)
	}
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			tr.t.Fatal(err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		tr.t.Fatalf("%v has no certificate", path)
	}
	return certs
}

func (tr *tree) live(name string) *x509.Certificate {
	tr.t.Helper()
	return tr.leaf("config", "live", name, "cert.pem")
}

const standaloneFlags = " -n --standalone --http-01-port PORT --no-preflight --agree-tos -m a@example.org "

// Kinds of keys, and what becomes of them at renewals.
func TestClientKeys(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	for name, c := range map[string]struct {
		flags string
		fits  func(any) bool
	}{
		"p256":    {"", func(k any) bool { e, ok := k.(*ecdsa.PublicKey); return ok && e.Curve == elliptic.P256() }},
		"p384":    {"--elliptic-curve secp384r1", func(k any) bool { e, ok := k.(*ecdsa.PublicKey); return ok && e.Curve == elliptic.P384() }},
		"rsa2048": {"--key-type rsa", func(k any) bool { r, ok := k.(*rsa.PublicKey); return ok && r.N.BitLen() == 2048 }},
		"rsa3072": {"--key-type rsa --rsa-key-size 3072", func(k any) bool { r, ok := k.(*rsa.PublicKey); return ok && r.N.BitLen() == 3072 }},
	} {
		tr.edge("certonly" + standaloneFlags + "-d " + name + ".example.test " + c.flags)
		if leaf := tr.live(name + ".example.test"); !c.fits(leaf.PublicKey) {
			t.Errorf("%s: the key is a %T", name, leaf.PublicKey)
		}
	}
	key := func() any { return tr.live("p256.example.test").PublicKey }
	same := func(a, b any) bool { return a.(*ecdsa.PublicKey).Equal(b) }
	first := key()
	tr.edge("renew --cert-name p256.example.test --force-renewal --no-random-sleep-on-renew --no-preflight --reuse-key")
	second := key()
	tr.edge("renew --cert-name p256.example.test --force-renewal --no-random-sleep-on-renew --no-preflight")
	third := key()
	tr.edge("renew --cert-name p256.example.test --force-renewal --no-random-sleep-on-renew --no-preflight --new-key")
	fourth := key()
	if !same(first, second) || !same(second, third) || same(third, fourth) {
		t.Errorf("--reuse-key keeps the key: %v; it is remembered: %v; --new-key gives up the key: %v", same(first, second), same(second, third), !same(third, fourth))
	}
	out := tr.run("edge", strings.Fields("renew --cert-name p256.example.test --force-renewal --no-random-sleep-on-renew --no-preflight --key-type rsa")...)
	if out.code != 1 || !strings.Contains(out.stderr, "Unable to change the --key-type of this certificate because --reuse-key is set") {
		t.Errorf("another type with --reuse-key: %d %s", out.code, out.stderr)
	}
}

// What is asked of the CA beyond names.
func TestClientOrders(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{
		AlternateRoots: 1, Profiles: map[string]time.Duration{"default": 90 * 24 * time.Hour, "shortlived": 6 * 24 * time.Hour},
	})
	tr.edge("certonly" + standaloneFlags + "-d staple.example.test --must-staple")
	if conf := tr.conf("staple.example.test.conf"); !strings.Contains(conf, "must_staple = True") {
		t.Errorf("--must-staple is not remembered: %s", conf)
	}
	roots := tr.ca.RootNames()
	other := roots[len(roots)-1]
	tr.must("edge", append(strings.Fields("certonly"+standaloneFlags+"-d chain.example.test --preferred-chain"), other)...)
	if c := tr.chain("config", "live", "chain.example.test", "fullchain.pem"); c[len(c)-1].Issuer.CommonName != other {
		t.Errorf("the chain ends at %s, not at %s", c[len(c)-1].Issuer.CommonName, other)
	}
	tr.edge("certonly" + standaloneFlags + "-d short.example.test --required-profile shortlived")
	if c := tr.live("short.example.test"); c.NotAfter.Sub(c.NotBefore) > 7*24*time.Hour {
		t.Errorf("a short-lived certificate lives from %s to %s", c.NotBefore, c.NotAfter)
	}
	tr.edge("certonly" + standaloneFlags + "-d usual.example.test --preferred-profile nosuch")
	out := tr.run("edge", strings.Fields("certonly"+standaloneFlags+"-d x.example.test --required-profile nosuch")...)
	if out.code != 1 || !strings.Contains(out.stderr, "nosuch") {
		t.Errorf("a profile that the CA lacks: %d %s", out.code, out.stderr)
	}
	tr.edge("certonly" + standaloneFlags + "--ip-address 127.0.0.1 --cert-name address")
	if c := tr.live("address"); len(c.IPAddresses) != 1 || c.IPAddresses[0].String() != "127.0.0.1" {
		t.Errorf("a certificate for an address: %v %v", c.DNSNames, c.IPAddresses)
	}
	out = tr.edge("certonly" + standaloneFlags + "-d dry.example.test --dry-run")
	if !strings.Contains(out.stdout, "The dry run was successful.") {
		t.Errorf("a dry run says %s", out.stdout)
	}
	if _, err := os.Stat(tr.path("config", "live", "dry.example.test")); !os.IsNotExist(err) {
		t.Errorf("a dry run leaves something: %v", err)
	}
}

// A request that somebody else made.
func TestClientCSR(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "csr.example.test"}, DNSNames: []string{"csr.example.test", "csr2.example.test"},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	tr.write("request.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), 0o644)
	out := tr.edge("certonly" + standaloneFlags + "--csr ROOT/request.pem")
	files, err := filepath.Glob(tr.path("0000_*.pem"))
	if err != nil || len(files) != 2 && len(files) != 3 {
		t.Fatalf("saved %v, %v; it says %s", files, err, out.stdout)
	}
	leaf := tr.leaf("0000_cert.pem")
	if !key.PublicKey.Equal(leaf.PublicKey) || !slices.Equal(leaf.DNSNames, []string{"csr.example.test", "csr2.example.test"}) {
		t.Errorf("a certificate for %v", leaf.DNSNames)
	}
	if !strings.Contains(out.stdout, "Certificates created using --csr will not be renewed automatically") {
		t.Errorf("it says %s", out.stdout)
	}
	if _, err := os.Stat(tr.path("config", "renewal", "csr.example.test.conf")); !os.IsNotExist(err) {
		t.Errorf("a lineage without a key: %v", err)
	}
}

// A CA that takes only those whom it knows.
func TestClientEAB(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{EAB: map[string]string{"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}})
	out := tr.run("edge", strings.Fields("register -n --agree-tos -m a@example.org")...)
	if out.code != 1 || !strings.Contains(out.stderr, "--eab-kid and --eab-hmac-key") {
		t.Errorf("without a binding: %d %s", out.code, out.stderr)
	}
	tr.edge("register -n --agree-tos -m a@example.org --eab-kid kid-1 --eab-hmac-key zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W")
	log, err := os.ReadFile(tr.path("logs", "letsencrypt.log"))
	if err != nil || strings.Contains(string(log), "zWNDZM6eQGHWpSRTPal5") {
		t.Errorf("the key of the binding is in the log, or there is none: %v", err)
	}
}

// Names that fail are left out, where that is allowed.
func TestClientSubset(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	if err := os.MkdirAll(tr.path("other"), 0o755); err != nil {
		t.Fatal(err)
	}
	defer tr.serveFiles()()
	// The second name's webroot is not what the web server serves.
	out := tr.must("edge", "certonly", "-n", "--webroot", "--agree-tos", "-m", "a@example.org", "--no-preflight", "--allow-subset-of-names",
		"--webroot-map", `{"good.example.test":"`+tr.path("web")+`","bad.example.test":"`+tr.path("other")+`"}`)
	if !strings.Contains(out.stdout, "Retrying without: bad.example.test") {
		t.Errorf("it says %s", out.stdout)
	}
	if names := tr.live("good.example.test").DNSNames; !slices.Equal(names, []string{"good.example.test"}) {
		t.Errorf("a certificate for %v", names)
	}
}

// reconfigure tries first and changes then.
func TestClientReconfigure(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	tr.edge("certonly" + standaloneFlags + "-d r.example.test")
	before := tr.conf("r.example.test.conf")
	out := tr.run("edge", strings.Fields("reconfigure -n --cert-name r.example.test --webroot -w ROOT/web --no-preflight")...)
	if out.code != 1 || tr.conf("r.example.test.conf") != before {
		t.Errorf("no web server, and still: %d %s%s", out.code, out.stdout, out.stderr)
	}
	defer tr.serveFiles()()
	out = tr.edge("reconfigure -n --cert-name r.example.test --webroot -w ROOT/web --no-preflight")
	if after := tr.conf("r.example.test.conf"); !strings.Contains(out.stdout, "Successfully updated configuration.") || !strings.Contains(after, "authenticator = webroot") {
		t.Errorf("it says %s; the file:\n%s", out.stdout, after)
	}
	if n := len(tr.chain("config", "archive", "r.example.test", "cert1.pem")); n != 1 {
		t.Errorf("%d certificates", n)
	}
	if _, err := os.Stat(tr.path("config", "archive", "r.example.test", "cert2.pem")); !os.IsNotExist(err) {
		t.Errorf("the dry run saved a certificate: %v", err)
	}
	out = tr.edge("reconfigure -n --cert-name r.example.test --webroot -w ROOT/web --no-preflight")
	if !strings.Contains(out.stdout, "No changes were made to the renewal configuration.") {
		t.Errorf("once more: %s", out.stdout)
	}
}

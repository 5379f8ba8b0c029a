package steward

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"edge/acmeglue/lineage"
)

// Flags that contradict --reuse-key are refused (certbot: renewal.py,
// _avoid_reuse_key_conflicts).
func TestReuseKeyConflicts(t *testing.T) {
	for _, c := range []struct {
		key      string // of the lineage
		line     string
		was      bool
		conflict string
	}{
		{"ecdsa", "", false, ""},
		{"ecdsa", "--key-type rsa", false, ""},
		{"ecdsa", "--reuse-key", false, ""},
		{"ecdsa", "--reuse-key --key-type rsa", false, "--key-type"},
		{"ecdsa", "--reuse-key --elliptic-curve secp384r1", false, "--elliptic-curve"},
		{"ecdsa", "--reuse-key --elliptic-curve secp256r1", false, ""},
		{"ecdsa", "--key-type rsa", true, "--key-type"},
		{"ecdsa", "--key-type rsa --no-reuse-key", true, ""},
		{"ecdsa", "--key-type rsa --reuse-key --new-key", true, ""},
		{"ecdsa", "--elliptic-curve secp384r1", true, "--elliptic-curve"},
		{"rsa", "--reuse-key --key-type rsa", false, ""},
		{"rsa", "--reuse-key --key-type rsa --rsa-key-size 4096", false, "--rsa-key-size"},
		{"rsa", "--key-type rsa --rsa-key-size 4096 --no-reuse-key", true, ""},
		{"rsa", "--key-type ecdsa", true, "--key-type"},
	} {
		r := newRig(t)
		key := ecKey(t)
		if c.key == "rsa" {
			key = rsaKey(t)
		}
		l := r.create("a", key, x509.Certificate{DNSNames: []string{"a.test"}}, "")
		err := checkReuse(r.options("certonly -d a.test "+c.line), l, c.was)
		if c.conflict == "" && err == nil {
			continue
		}
		if c.conflict == "" || err == nil || !strings.Contains(err.Error(), "Unable to change the "+c.conflict+" of this certificate") {
			t.Errorf("%s key, %q, reused before: %v: error %v, want one about %q", c.key, c.line, c.was, err, c.conflict)
		}
	}
}

// A key that is kept decides what the options say about it.
func TestReusedKey(t *testing.T) {
	r := newRig(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := r.create("a", p384, x509.Certificate{DNSNames: []string{"a.test"}}, "")
	o := r.options("certonly -d a.test --reuse-key")
	got, err := reusedKey(o, l)
	if err != nil || !p384.Equal(got) || o.EllipticCurve != "secp384r1" || o.KeyType != "ecdsa" {
		t.Errorf("%v, %v, %s %s", got, err, o.KeyType, o.EllipticCurve)
	}
	for _, line := range []string{"", "--reuse-key --new-key"} {
		if got, err := reusedKey(r.options("certonly -d a.test "+line), l); got != nil || err != nil {
			t.Errorf("%q: %v, %v; want a new key", line, got, err)
		}
	}
	r.write(l.Path(lineage.PrivKey), "nothing")
	if _, err := reusedKey(o, l); err == nil || !strings.Contains(err.Error(), "privkey.pem") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

// Keys are written as certbot writes them, and read in all forms that there are.
func TestKeyForms(t *testing.T) {
	ec, rsa := ecKey(t).(*ecdsa.PrivateKey), rsaKey(t)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	own, err := keyPEM(ec)
	if err != nil {
		t.Fatal(err)
	}
	ownRSA, err := keyPEM(rsa)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	for name, c := range map[string]struct {
		raw  []byte
		want crypto.Signer // nil: refused
	}{
		"PKCS #8":          {own, ec},
		"PKCS #8, RSA":     {ownRSA, rsa},
		"SEC 1":            {append(block("EC PARAMETERS", []byte{6, 0}), block("EC PRIVATE KEY", sec1)...), ec},
		"text before":      {append([]byte("a key:\n"), own...), ec},
		"a certificate":    {theCA().pem, nil},
		"damaged":          {bytes.Replace(own, []byte("MIG"), []byte("MIH"), 1), nil},
		"nothing":          {nil, nil},
		"an encrypted key": {block("ENCRYPTED PRIVATE KEY", []byte("x")), nil},
	} {
		got, err := parseKey(c.raw)
		if c.want == nil {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			continue
		}
		if err != nil || !c.want.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(got.Public()) {
			t.Errorf("%s: another key, %v", name, err)
		}
	}
	if !bytes.HasPrefix(own, []byte("-----BEGIN PRIVATE KEY-----\n")) {
		t.Errorf("written as %.40s", own)
	}
	if !matches(&x509.Certificate{PublicKey: ec.Public()}, ec.Public()) || matches(&x509.Certificate{PublicKey: ec.Public()}, rsa.Public()) {
		t.Error("a key does not match itself, or matches another")
	}
}

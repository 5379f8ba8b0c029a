package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// writePair writes cert.pem and key.pem for *.example.org and example.org.
func writePair(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.org"},
		DNSNames: []string{"example.org", "*.example.org"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b})), 0o600)
}

func TestStaticPair(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir)
	conf := func(host, tls string) string {
		return "version: 1\nsites: [{hosts: [" + host + "], tls: {" + tls + "}, proxy: 'http://127.0.0.1:1'}]\n"
	}
	for _, c := range []struct{ host, tls, want string }{
		{"www.example.org", "cert: cert.pem, key: key.pem", ""},
		{"'*.example.org'", "cert: cert.pem, key: key.pem", ""},
		{"'*'", "cert: cert.pem, key: key.pem", ""},
		{"other.test", "cert: cert.pem, key: key.pem", "does not cover other.test"},
		{"example.org", "cert: key.pem, key: cert.pem", "failed to find"},
		{"example.org", "cert: cert.pem, key: key.pem, key_type: p384", "leaves nothing to obtain"},
	} {
		_, err := Load(write(t, dir, "edge.yaml", conf(c.host, c.tls), 0o644))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: got %v, want %q", c.host, c.tls, err, c.want)
		}
	}
}

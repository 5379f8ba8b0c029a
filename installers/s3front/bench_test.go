package s3front

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"edge"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
)

// bench is an AWS with a target of it.
type bench struct {
	*fakeAWS
	env  *target.Env
	o    Options
	said *bytes.Buffer
}

func newBench(t *testing.T) *bench {
	b := &bench{fakeAWS: newFake(t), said: &bytes.Buffer{}}
	b.env = &target.Env{
		Name: "site", State: filepath.Join(t.TempDir(), "kept"), Now: time.Now, Log: slog.New(slog.NewTextHandler(b.said, nil)),
		Dial: new(net.Dialer).DialContext, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
	b.o = b.options(b.env)
	return b
}

func (b *bench) target() *Target {
	b.t.Helper()
	tg, err := NewTarget(b.o)
	if err != nil {
		b.t.Fatal(err)
	}
	return tg
}

// put delivers, as a new process would, and commits.
func (b *bench) put(m *delivery.Material, data []byte) delivery.Change {
	b.t.Helper()
	c, err := b.target().Put(b.t.Context(), m, data)
	if err == nil {
		err = c.Commit(b.t.Context())
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) material(names ...string) *delivery.Material {
	if names == nil {
		names = []string{"a.example.test"}
	}
	return b.made(edgetest.NewChain(b.t, time.Now().Add(time.Hour), names...), names)
}

func (b *bench) made(bundle edge.Bundle, names []string) *delivery.Material {
	b.t.Helper()
	m, err := delivery.NewMaterial("site", bundle, names, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

// keyed is a certificate with a key of another kind, or for less.
func (b *bench) keyed(key crypto.Signer, uses ...x509.ExtKeyUsage) *delivery.Material {
	b.t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"a.example.test"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: uses,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		b.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		b.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return b.made(edge.Bundle{Chain: append(block("CERTIFICATE", der), block("CERTIFICATE", caDER)...), Key: block("PRIVATE KEY", pkcs8)}, leaf.DNSNames)
}

func ecKey(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

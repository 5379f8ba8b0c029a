package gandi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

// maker makes RSA certificates, with two keys in turn: making one takes long.
type maker struct {
	mu   sync.Mutex
	keys []*rsa.PrivateKey
	n    int
}

func (m *maker) chain(t testing.TB, bits int, names ...string) edge.Bundle {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.keys) < 2 {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		m.keys = append(m.keys, k)
	}
	m.n++
	key := m.keys[m.n%2]
	issuer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Intermediate"}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	var b edge.Bundle
	for _, c := range []struct {
		cert *x509.Certificate
		key  any
	}{{leaf, key.Public()}, {ca, issuer.Public()}} {
		der, err := x509.CreateCertificate(rand.Reader, c.cert, ca, c.key, issuer)
		if err != nil {
			t.Fatal(err)
		}
		b.Chain = append(b.Chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	b.Key = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return b
}

func (f *hosting) options() HostingOptions {
	return HostingOptions{Key: apiKey, URL: f.URL + "/xmlrpc/", Roots: f.Roots, Timeout: 300 * time.Millisecond}
}

func TestTarget(t *testing.T) {
	m := &maker{}
	targettest.Run(t, func(t *testing.T) *targettest.Rig {
		f := newHostingFake(t)
		return &targettest.Rig{
			Target: func(_ context.Context, env *target.Env) (delivery.Target, error) {
				return newHosting(f.options(), env.API)
			},
			At:       []installers.Endpoint{f.At},
			Item:     func(it *delivery.Item) { it.Verify = []installers.Endpoint{f.At} },
			Snapshot: f.snapshot, Secrets: []string{apiKey}, Fault: f.Fault,
			NewChain: func(t testing.TB, names ...string) edge.Bundle { return m.chain(t, 2048, names...) },
		}
	})
}

func material(t *testing.T, b edge.Bundle) *delivery.Material {
	t.Helper()
	m, err := delivery.NewMaterial("one", b, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Other keys are refused before anything is sent, as are keys of the interface that are none.
func TestRSAOnly(t *testing.T) {
	f := newHostingFake(t)
	h, err := newHosting(f.options(), (&target.Env{}).API)
	if err != nil {
		t.Fatal(err)
	}
	for want, b := range map[string]edge.Bundle{
		"of another kind": edgetest.NewChain(t, time.Now().Add(time.Hour), "a.test"),
		"has 3072":        (&maker{}).chain(t, 3072, "a.test"),
	} {
		if _, err := h.Put(t.Context(), material(t, b), nil); err == nil || !strings.Contains(err.Error(), want) || len(f.certs) > 0 {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := newHosting(HostingOptions{Key: "short", URL: f.URL}, (&target.Env{}).API); err == nil {
		t.Error("a bad key was taken")
	}
}

// The entry before is removed at the end, one that is gone is missed, and an undo that
// finds nothing is done.
func TestStore(t *testing.T) {
	f := newHostingFake(t)
	mk := &maker{}
	h, err := newHosting(f.options(), (&target.Env{}).API)
	if err != nil {
		t.Fatal(err)
	}
	a := material(t, mk.chain(t, 2048, "a.test"))
	first, err := h.Put(t.Context(), a, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.Put(t.Context(), a, first.Data)
	if err != nil || len(f.certs) != 2 {
		t.Fatalf("%v %v", err, f.certs)
	}
	if err := second.Commit(t.Context()); err != nil || len(f.certs) != 1 {
		t.Errorf("%v %v", err, f.certs)
	}
	if why, err := h.Look(t.Context(), a, second.Data); err != nil || len(why) != 0 {
		t.Errorf("%v %v", why, err)
	}
	if why, err := h.Look(t.Context(), a, first.Data); err != nil || len(why) != 1 {
		t.Errorf("%v %v", why, err)
	}
	if err := first.Undo(t.Context()); err != nil {
		t.Errorf("%v", err)
	}
	// The fault repeats the key.
	o := f.options()
	o.Key = "zyxwvutsrqponmlkjihgfedc"
	if h, err = newHosting(o, (&target.Env{}).API); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Put(t.Context(), a, nil); err == nil || !strings.Contains(err.Error(), "CAUSE_NORIGHT") {
		t.Errorf("%v", err)
	}
}

func TestXMLRPC(t *testing.T) {
	call := encodeCall("a.b", "k<&>", int64(-7), map[string]any{"x": "1\n2", "a": int64(2)})
	method, params, err := decodeCall(call)
	if err != nil || method != "a.b" || len(params) != 3 || params[0] != any("k<&>") || params[1] != any(int64(-7)) || params[2].(map[string]any)["x"] != any("1\n2") {
		t.Errorf("%v %v %v", method, params, err)
	}
	for in, want := range map[string]string{
		"<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>4</int></value></member><member><name>faultString</name><value>no</value></member></struct></value></fault></methodResponse>": "fault 4: no",
		"<methodResponse><fault><value>x</value></fault></methodResponse>": "says nothing",
		"<methodResponse><params/></methodResponse>":                       "something else",
		"<html><body>down</body></html>":                                   "no methodResponse",
		"":                                                                 "no XML document",
		"<methodResponse><params><param><value><boolean>2</boolean></value></param></params></methodResponse>":                "boolean",
		"<methodResponse><params><param><value><int>x</int></value></param></params></methodResponse>":                        "invalid syntax",
		"<methodResponse><params><param><value><x/></value></param></params></methodResponse>":                                `type "x"`,
		"<!DOCTYPE x [<!ENTITY a \"b\">]><methodResponse><params><param><value>&a;</value></param></params></methodResponse>": "entity",
		strings.Repeat("<a>", 100): "too large",
	} {
		if _, err := decodeResponse([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

// FuzzResponse: whatever a service says, nothing panics.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("<methodResponse><params><param><value><struct><member><name>id</name><value><int>1</int></value></member></struct></value></param></params></methodResponse>"))
	f.Add([]byte("<methodResponse><params><param><value><array><data><value><base64>YQ==</base64></value><value><double>1.5</double></value></data></array></value></param></params></methodResponse>"))
	f.Add([]byte("<methodResponse><fault><value><nil/></value></fault></methodResponse>"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if v, err := decodeResponse(raw); err == nil && v == nil && !strings.Contains(string(raw), "nil") {
			t.Error("nothing was read, and nothing said")
		}
	})
}

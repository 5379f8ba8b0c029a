package acmeglue

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"edge"

	"github.com/caddyserver/certmagic"
)

// served is what handshakes get. It is never changed once it is published.
type served struct {
	tls.Certificate       // without Leaf: crypto/tls does not need it, and it is 3 KB
	notAfter        int64 // Unix seconds
}

// held is what edge remembers of a certificate beside the certificate itself.
// Ten thousand of them are meant to fit: no parsed certificate, no PEM, and
// strings that many share are kept once. Not changed once published.
type held struct {
	served    *served
	issuerKey string // storage key of the CA, "" for static pairs
	ca        string // directory URL
	issuer    string // common name
	names     []string
	keyType   string
	responder string // OCSP
	serial    []byte
	sum       [sha256.Size]byte
	notBefore time.Time
	notAfter  time.Time
	window    *RenewWindow // what the CA said, nil where it said nothing
}

// lifetime is the span for which the certificate is valid.
func (h *held) lifetime() time.Duration { return h.notAfter.Sub(h.notBefore) }

func (h *held) validAt(t time.Time) bool { return !t.Before(h.notBefore) && t.Before(h.notAfter) }

// share keeps one copy of what certificates have in common: intermediates and
// a few strings. It is bounded, since a CA may change its intermediates for ever.
type share struct {
	mu      sync.Mutex
	der     map[[sha256.Size]byte][]byte
	strings map[string]string
}

const maxShared = 1024

func (s *share) bytes(der []byte) []byte {
	sum := sha256.Sum256(der)
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.der[sum]; ok {
		return have
	}
	if s.der == nil || len(s.der) >= maxShared {
		s.der = make(map[[sha256.Size]byte][]byte)
	}
	der = bytes.Clone(der)
	s.der[sum] = der
	return der
}

func (s *share) string(v string) string {
	if v == "" {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.strings[v]; ok {
		return have
	}
	if s.strings == nil || len(s.strings) >= maxShared {
		s.strings = make(map[string]string)
	}
	v = strings.Clone(v)
	s.strings[v] = v
	return v
}

// errMismatch says that a key and a certificate do not belong together.
var errMismatch = errors.New("the private key does not belong to the certificate")

// parse checks a chain and its key (PEM) and makes them servable. Any of names
// has to be covered by the certificate where names are given.
func (s *share) parse(chain, key []byte, names ...string) (*held, error) {
	var ders [][]byte
	for rest := chain; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			ders = append(ders, block.Bytes)
		}
	}
	if len(ders) == 0 {
		return nil, errors.New("no certificate in PEM form")
	}
	leaf, err := x509.ParseCertificate(ders[0])
	if err != nil {
		return nil, fmt.Errorf("leaf certificate: %w", err)
	}
	signer, err := certmagic.PEMDecodePrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	if pub, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(signer.Public()) {
		return nil, errMismatch
	}
	if len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return covers(leaf, n) }) {
		return nil, fmt.Errorf("the certificate is not for %s but for %s", names[0], strings.Join(leaf.DNSNames, ", "))
	}
	for i := range ders {
		if i == 0 {
			ders[0] = bytes.Clone(ders[0]) // pem.Decode leaves room to spare
		} else {
			ders[i] = s.bytes(ders[i])
		}
	}
	h := &held{
		issuer:    s.string(leaf.Issuer.CommonName),
		keyType:   s.string(keyTypeOf(signer)),
		serial:    bytes.Clone(leaf.SerialNumber.Bytes()),
		sum:       sha256.Sum256(ders[0]),
		notBefore: leaf.NotBefore,
		notAfter:  leaf.NotAfter,
		served: &served{
			Certificate: tls.Certificate{Certificate: slices.Clip(ders), PrivateKey: signer},
			notAfter:    leaf.NotAfter.Unix(),
		},
	}
	if len(leaf.OCSPServer) > 0 && len(ders) > 1 {
		h.responder = s.string(leaf.OCSPServer[0])
	}
	h.names = make([]string, 0, len(leaf.DNSNames)+len(leaf.IPAddresses))
	for _, n := range leaf.DNSNames {
		h.names = append(h.names, strings.Clone(n))
	}
	for _, ip := range leaf.IPAddresses {
		h.names = append(h.names, ip.String())
	}
	return h, nil
}

// covers reports whether a leaf is for name, which may be a wildcard itself.
func covers(leaf *x509.Certificate, name string) bool {
	if strings.HasPrefix(name, "*.") {
		return slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) })
	}
	return leaf.VerifyHostname(name) == nil
}

func keyTypeOf(key crypto.Signer) string {
	switch k := key.Public().(type) {
	case *ecdsa.PublicKey:
		return fmt.Sprintf("p%d", k.Curve.Params().BitSize)
	case *rsa.PublicKey:
		return fmt.Sprintf("rsa%d", k.N.BitLen())
	case ed25519.PublicKey:
		return "ed25519"
	}
	return "unknown"
}

// bundle is the certificate in PEM form again.
func (h *held) bundle() (edge.Bundle, error) {
	var chain bytes.Buffer
	for _, der := range h.served.Certificate.Certificate {
		if err := pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return edge.Bundle{}, err
		}
	}
	key, err := certmagic.PEMEncodePrivateKey(h.served.PrivateKey)
	if err != nil {
		return edge.Bundle{}, err
	}
	return edge.Bundle{Chain: chain.Bytes(), Key: key}, nil
}

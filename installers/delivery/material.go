package delivery

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"edge"
)

// Material is a certificate that is fit for delivery: NewMaterial has looked at it.
type Material struct {
	Name string // of the lineage, or the host of a site
	// Hosts are the names that programs are told and servers are asked for: those that
	// were wanted, or, where nothing was said, those of the leaf.
	Hosts []string
	Certs []*x509.Certificate // leaf first
	Key   crypto.Signer
	// Certificates and key in PEM form, with nothing around the blocks.
	CertPEM, ChainPEM, FullChainPEM, KeyPEM []byte
	Leaf                                    [sha256.Size]byte // of the DER of the leaf
	// Live is a folder with certbot's four files of the certificate, for programs that
	// are told of it by its path. Empty: there is none.
	Live string
}

const (
	maxBundle = 256 << 10 // bytes of PEM
	maxCerts  = 16
)

// NewMaterial takes what came from the tree or the admin socket apart and checks it:
// the key is the leaf's, the chain is in order, the dates are right now, and the leaf
// is for every host. Other names that it has mean nothing then: they could have been
// chosen to mislead a program. No hosts: those of the leaf.
func NewMaterial(name string, b edge.Bundle, hosts []string, now time.Time) (*Material, error) {
	m, err := parse(name, b)
	if err == nil {
		err = m.check(hosts, now)
	}
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	return m, nil
}

func parse(name string, b edge.Bundle) (*Material, error) {
	if n := len(b.Chain) + len(b.Key); n > maxBundle {
		return nil, fmt.Errorf("chain and key have %d bytes, at most %d are taken", n, maxBundle)
	}
	m := &Material{Name: name}
	for block, rest := pem.Decode(b.Chain); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("the chain has a block %q", clip(block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", len(m.Certs)+1, err)
		}
		if m.Certs = append(m.Certs, c); len(m.Certs) > maxCerts {
			return nil, fmt.Errorf("the chain has more than %d certificates", maxCerts)
		}
		m.FullChainPEM = append(m.FullChainPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
		if len(m.Certs) == 1 {
			m.CertPEM = bytes.Clone(m.FullChainPEM)
		}
	}
	if len(m.Certs) == 0 {
		return nil, errors.New("no certificate in PEM form")
	}
	m.ChainPEM = m.FullChainPEM[len(m.CertPEM):]
	m.Leaf = sha256.Sum256(m.Certs[0].Raw)
	block, _ := pem.Decode(b.Key)
	if block == nil {
		return nil, errors.New("no private key in PEM form")
	}
	var err error
	if m.Key, err = parseKey(block); err != nil {
		return nil, err
	}
	m.KeyPEM = pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})
	return m, nil
}

func parseKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("the private key is in a block %q, which is not known", clip(block.Type))
	}
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key cannot sign")
	}
	return signer, nil
}

func (m *Material) check(hosts []string, now time.Time) error {
	leaf := m.Certs[0]
	pub, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(m.Key.Public()) {
		return errors.New("the private key does not belong to it")
	}
	for i := range len(m.Certs) - 1 {
		if err := m.Certs[i].CheckSignatureFrom(m.Certs[i+1]); err != nil {
			return fmt.Errorf("certificate %d of the chain was not issued by the one after it: %w", i+1, err)
		}
	}
	if now.Before(leaf.NotBefore) || !now.Before(leaf.NotAfter) {
		return fmt.Errorf("valid from %s to %s, which is not now", leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	for _, h := range hosts {
		if !covers(leaf, h) {
			return fmt.Errorf("it is not for %s but for %s", h, strings.Join(named(leaf), ", "))
		}
	}
	if m.Hosts = hosts; hosts == nil {
		m.Hosts = named(leaf)
	}
	return nil
}

// covers reports whether a leaf is for a host, which may be a wildcard itself.
func covers(leaf *x509.Certificate, host string) bool {
	if strings.HasPrefix(host, "*.") {
		for _, n := range leaf.DNSNames {
			if strings.EqualFold(n, host) {
				return true
			}
		}
		return false
	}
	return leaf.VerifyHostname(host) == nil
}

// named are the names of a leaf, DNS names first, then addresses. A name that could be
// an option, or more than one word, is left out: no client asks for it.
func named(leaf *x509.Certificate) []string {
	var names []string
	for _, n := range leaf.DNSNames {
		plain := func(c rune) bool {
			return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._*", c)
		}
		if n != "" && n[0] != '-' && !strings.ContainsFunc(n, func(c rune) bool { return !plain(c) }) {
			names = append(names, n)
		}
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// chainSum tells chains apart that have the same leaf.
func (m *Material) chainSum() string {
	sum := sha256.Sum256(m.FullChainPEM)
	return hex.EncodeToString(sum[:])
}

// clip bounds what is quoted of somebody else's text.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

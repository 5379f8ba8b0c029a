package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"path/filepath"
	"time"

	"edge"
	"edge/acmeglue/steward"
	"edge/installers/delivery"
)

// standIn looks like the certificate that is to be obtained, so that a target can say what
// it would do with it. It is shown to nobody.
func standIn(in steward.Installation, keyType string) (*delivery.Material, error) {
	b, err := standInBundle(in.Names, keyType)
	if err != nil {
		return nil, fmt.Errorf("certificate for the plan: %w", err)
	}
	m, err := delivery.NewMaterial(in.Lineage, b, in.Names, time.Now())
	if err == nil {
		m.Live = filepath.Dir(in.FullChain)
	}
	return m, err
}

func standInBundle(names []string, keyType string) (edge.Bundle, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return edge.Bundle{}, err
	}
	var key crypto.Signer = caKey
	if keyType == "rsa" {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return edge.Bundle{}, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "edge plan"}, BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if a, err := netip.ParseAddr(name); err == nil {
			leaf.IPAddresses = append(leaf.IPAddresses, a.AsSlice())
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return edge.Bundle{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return edge.Bundle{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return edge.Bundle{}, err
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return edge.Bundle{Chain: append(block("CERTIFICATE", der), block("CERTIFICATE", caDER)...), Key: block("PRIVATE KEY", pkcs8)}, nil
}

package answer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"

	"edge"
)

// SNI01 is a certificate for the name that a CA asks for in TLS-SNI-01
// (draft-ietf-acme-acme-01 section 7.3).
type SNI01 struct {
	edge.Answer
	Name      string
	Cert, Key []byte   // PEM
	Leaf      [32]byte // SHA-256 of the DER
}

// NewSNI01 makes one, for a day.
func NewSNI01(answer edge.Answer) (SNI01, error) {
	out := SNI01{Answer: answer, Name: edge.SNI01Name(answer.KeyAuth)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return out, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return out, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "edge"}, DNSNames: []string{out.Name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return out, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return out, err
	}
	out.Cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	out.Key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	out.Leaf = sha256.Sum256(der)
	return out, nil
}

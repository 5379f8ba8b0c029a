package nginx

import (
	"crypto/x509"
	"encoding/pem"
)

// leafOf reads the first certificate of a file, nil where there is none.
func leafOf(path string) *x509.Certificate {
	if path == "" {
		return nil
	}
	raw, err := readSome(path, 1<<20)
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return leaf
}

// keyKind is the algorithm of the key of a certificate, empty where it cannot be read.
func keyKind(path string) string {
	if leaf := leafOf(path); leaf != nil {
		return leaf.PublicKeyAlgorithm.String()
	}
	return ""
}

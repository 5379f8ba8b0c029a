package lineage

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Check looks for damage, as certbot does before it lists a lineage: the leaf is signed
// by the first certificate of the chain, fullchain is cert and chain, and the key is
// the leaf's.
func (l *Lineage) Check() error {
	var files [4][]byte
	for _, kind := range Kinds() {
		data, err := l.Read(kind)
		if err != nil {
			return err
		}
		files[kind] = data
	}
	leaf, err := parseLeaf(files[Cert])
	if err != nil {
		return fmt.Errorf("certificate %s: %w", l.Path(Cert), err)
	}
	issuer, err := parseLeaf(files[Chain])
	if err != nil {
		return fmt.Errorf("certificate %s: %w", l.Path(Chain), err)
	}
	// Not CheckSignatureFrom: certbot asks for the signature alone.
	if err := issuer.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature); err != nil {
		return fmt.Errorf("verifying the signature of the certificate located at %s has failed. Details: %w", l.Path(Cert), err)
	}
	if err := whole(files); err != nil {
		return fmt.Errorf("lineage %s: %w", l.name, err)
	}
	l.leaf = leaf
	return nil
}

func parseLeaf(data []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, errors.New("there is no certificate in the file")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}

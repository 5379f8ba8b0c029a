package delivery

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
)

// Whole says what is wrong with the PEM forms of a certificate: that the key is not the
// leaf's, or that they are out of order. NewMaterial has looked at what they were made
// of; services that take whatever they get are the reason to look again, at what is sent.
func (m *Material) Whole() error {
	pair, err := tls.X509KeyPair(m.FullChainPEM, m.KeyPEM)
	switch {
	case err != nil:
		return fmt.Errorf("certificate of %s: %w", m.Name, err)
	case !bytes.Equal(pair.Certificate[0], m.Certs[0].Raw) || len(pair.Certificate) != len(m.Certs):
		return fmt.Errorf("certificate of %s: the chain does not begin with its leaf", m.Name)
	case !bytes.Equal(bytes.Join([][]byte{m.CertPEM, m.ChainPEM}, nil), m.FullChainPEM):
		return fmt.Errorf("certificate of %s: leaf and chain are not those of the full chain", m.Name)
	}
	if _, err := tls.X509KeyPair(m.CertPEM, m.KeyPEM); err != nil {
		return errors.New("certificate of " + m.Name + ": the leaf alone is not the certificate of the key")
	}
	return nil
}

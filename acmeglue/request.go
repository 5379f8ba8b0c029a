package acmeglue

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"slices"

	"edge"
)

// IdentifiersOfCSR returns what a certificate request (DER) is for: its
// alternative names, and before them its common name where that is one more.
func IdentifiersOfCSR(der []byte) ([]edge.Identifier, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: its signature: %w", err)
	}
	names := csr.DNSNames
	for _, ip := range csr.IPAddresses {
		names = append(names, ip.String())
	}
	if cn := csr.Subject.CommonName; cn != "" && !slices.Contains(names, cn) {
		names = slices.Insert(names, 0, cn)
	}
	var ids []edge.Identifier
	for _, n := range names {
		id, err := edge.ParseIdentifier(n)
		if err != nil {
			return nil, fmt.Errorf("certificate request: %w", err)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, errors.New("the certificate request names nothing: it needs a common name or subject alternative names")
	}
	return ids, nil
}

// complete checks an order, and takes the identifiers from its request where it
// has no others.
func (o *Order) complete() error {
	if o.CSR == nil {
		if len(o.Identifiers) == 0 {
			return errors.New("an order needs an identifier")
		}
		return nil
	}
	if o.Key != nil || o.KeyType != "" || o.MustStaple {
		return errors.New("an order by certificate request has its key and extensions in the request")
	}
	ids, err := IdentifiersOfCSR(o.CSR)
	if err != nil {
		return err
	}
	if len(o.Identifiers) == 0 {
		o.Identifiers = ids
	}
	for _, id := range o.Identifiers {
		if !slices.Contains(ids, id) {
			return fmt.Errorf("the certificate request is not for %s", id)
		}
	}
	if len(ids) != len(o.Identifiers) {
		return fmt.Errorf("the certificate request is for %v, the order for %v", ids, o.Identifiers)
	}
	return nil
}

// demand says what a request has to be like to serve the order, so that two
// orders with equal demands can use one another's.
func (o *Order) demand() (string, error) {
	switch {
	case o.CSR != nil:
		return fmt.Sprintf("csr %x", sha256.Sum256(o.CSR)), nil
	case o.Key != nil:
		der, err := x509.MarshalPKIXPublicKey(o.Key.Public())
		if err != nil {
			return "", fmt.Errorf("certificate key: %w", err)
		}
		return fmt.Sprintf("key %x %v", sha256.Sum256(der), o.MustStaple), nil
	}
	t := o.KeyType
	if t == "" {
		t = P256
	}
	return fmt.Sprintf("new %s %v", t, o.MustStaple), nil
}

// mustStaple is the extension id-pe-tlsfeature with status_request (RFC 7633).
func mustStaple() pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}}
}

// request makes the certificate request of an order, and its key.
func (o *Order) request() (der []byte, key crypto.Signer, err error) {
	if o.CSR != nil {
		return o.CSR, nil, nil
	}
	if key = o.Key; key == nil {
		if key, err = newKey(o.KeyType); err != nil {
			return nil, nil, err
		}
	}
	template := &x509.CertificateRequest{}
	for _, id := range o.Identifiers {
		if id.Type == edge.IP {
			template.IPAddresses = append(template.IPAddresses, net.ParseIP(id.Value))
		} else {
			template.DNSNames = append(template.DNSNames, id.Value)
		}
	}
	if o.MustStaple {
		template.ExtraExtensions = []pkix.Extension{mustStaple()}
	}
	if der, err = x509.CreateCertificateRequest(rand.Reader, template, key); err != nil {
		return nil, nil, fmt.Errorf("certificate request: %w", err)
	}
	return der, key, nil
}

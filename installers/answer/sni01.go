package answer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/netip"
	"time"

	"edge"
)

// SNI01 is a certificate for the name that a CA asks for in TLS-SNI-01
// (draft-ietf-acme-acme-01 section 7.3) or TLS-ALPN-01 (RFC 8737).
type SNI01 struct {
	edge.Answer
	Name      string
	Cert, Key []byte   // PEM
	Leaf      [32]byte // SHA-256 of the DER
}

// NewSNI01 makes one for TLS-SNI-01, for a day.
func NewSNI01(answer edge.Answer) (SNI01, error) {
	name := edge.SNI01Name(answer.KeyAuth)
	return certificate(answer, name, &x509.Certificate{DNSNames: []string{name}})
}

// NewALPN01 makes one for TLS-ALPN-01, for a day. Its Name is the identifier.
func NewALPN01(answer edge.Answer) (SNI01, error) {
	sum := sha256.Sum256([]byte(answer.KeyAuth))
	proof, err := asn1.Marshal(sum[:])
	if err != nil {
		return SNI01{}, err
	}
	template := &x509.Certificate{
		DNSNames: []string{answer.Identifier.Value},
		// id-pe-acmeIdentifier, RFC 8737 section 3
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}, Critical: true, Value: proof}},
	}
	if answer.Identifier.Type == edge.IP { // RFC 8738 section 6
		ip, err := netip.ParseAddr(answer.Identifier.Value)
		if err != nil {
			return SNI01{}, err
		}
		template.DNSNames, template.IPAddresses = nil, append(template.IPAddresses, ip.AsSlice())
	}
	return certificate(answer, answer.Identifier.Value, template)
}

func certificate(answer edge.Answer, name string, template *x509.Certificate) (SNI01, error) {
	out := SNI01{Answer: answer, Name: name}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return out, err
	}
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return out, err
	}
	now := time.Now()
	template.Subject = pkix.Name{CommonName: "edge"}
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(24*time.Hour)
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
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

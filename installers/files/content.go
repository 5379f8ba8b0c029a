package files

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"io/fs"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"edge/installers/delivery"
	"edge/internal/durable"
)

// content is a file to be.
type content struct {
	name string
	data []byte
	attr durable.Attr
}

func (c content) sum() string {
	sum := sha256.Sum256(c.data)
	return hex.EncodeToString(sum[:])
}

// publicMode is that of files without a key.
const publicMode fs.FileMode = 0o644

// contents makes the files of the layout.
func (t *Target) contents(m *delivery.Material) ([]content, error) {
	var list []content
	for p, name := range t.o.Names {
		c := content{name: name, attr: durable.Attr{Mode: t.o.Mode, Owner: &t.o.Owner}}
		switch p {
		case Cert:
			c.data, c.attr.Mode = m.CertPEM, publicMode
		case Chain:
			c.data, c.attr.Mode = m.ChainPEM, publicMode
		case Fullchain:
			c.data, c.attr.Mode = m.FullChainPEM, publicMode
		case Key:
			c.data = m.KeyPEM
		case File:
			var err error
			if c.data, err = t.single(m); err != nil {
				return nil, err
			}
		}
		list = append(list, c)
	}
	return list, nil
}

// single is the one file of the layouts that have one.
func (t *Target) single(m *delivery.Material) ([]byte, error) {
	switch t.o.Layout {
	case KeyFirst:
		return append(bytes.Clone(m.KeyPEM), m.FullChainPEM...), nil
	case PKCS12:
		// AES-256 and SHA-256: OpenSSL 1.1, Java 8u301 and Windows Server 2019 read it.
		return pkcs12.Modern2023.Encode(m.Key, m.Certs[0], m.Certs[1:], t.o.Password)
	case JKS:
		return t.jks(m)
	}
	return append(bytes.Clone(m.FullChainPEM), m.KeyPEM...), nil
}

// alias is the name of the one entry of a JKS.
const alias = "edge"

func (t *Target) jks(m *delivery.Material) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(m.Key)
	if err != nil {
		return nil, err
	}
	// The time in it says when the certificate began: that of the file says the rest.
	entry := keystore.PrivateKeyEntry{CreationTime: m.Certs[0].NotBefore.Truncate(time.Second), PrivateKey: der}
	for _, c := range m.Certs {
		entry.CertificateChain = append(entry.CertificateChain, keystore.Certificate{Type: "X509", Content: c.Raw})
	}
	ks := keystore.New()
	if err := ks.SetPrivateKeyEntry(alias, entry, []byte(t.o.Password)); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = ks.Store(&b, []byte(t.o.Password))
	return b.Bytes(), err
}

// opens reports whether a keystore can be opened with the password that is configured
// now: it may be another one than when the file was written.
func (t *Target) opens(file []byte) bool {
	switch t.o.Layout {
	case PKCS12:
		_, _, _, err := pkcs12.DecodeChain(file, t.o.Password)
		return err == nil
	case JKS:
		ks := keystore.New()
		return ks.Load(bytes.NewReader(file), []byte(t.o.Password)) == nil
	}
	return true
}

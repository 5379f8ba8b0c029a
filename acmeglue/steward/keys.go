package steward

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"edge/acmeglue"
	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
)

// keyTypeOf is "rsa" or "ecdsa", as in renewal files.
func keyTypeOf(leaf *x509.Certificate) string {
	if leaf.PublicKeyAlgorithm == x509.RSA {
		return "rsa"
	}
	return "ecdsa"
}

// curveName is what certbot and OpenSSL call a curve.
func curveName(c elliptic.Curve) string {
	switch c {
	case elliptic.P384():
		return "secp384r1"
	case elliptic.P521():
		return "secp521r1"
	}
	return "secp256r1"
}

// keyKind is a type of key in certbot's words.
type keyKind struct {
	algorithm, curve string
	bits             int // of RSA
}

func (k keyKind) is(key any) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return k.bits == key.N.BitLen()
	case *ecdsa.PublicKey:
		return k.bits == 0 && k.curve == curveName(key.Curve)
	}
	return false
}

// longestRSA is the largest RSA key that is made, in bits.
const longestRSA = 8192

// keyFor is the key of a new certificate: a type for the usual kinds, so that an
// order that was left behind can be gone on with, else a key.
func keyFor(o *certbotcli.Options) (acmeglue.KeyType, crypto.Signer, error) {
	switch {
	case o.KeyType == "rsa" && (o.RSAKeySize < 2048 || o.RSAKeySize > longestRSA):
		return "", nil, text(fmt.Sprintf("Unsupported RSA key length: %d", o.RSAKeySize))
	case o.KeyType == "rsa" && o.RSAKeySize == 2048:
		return acmeglue.RSA2048, nil, nil
	case o.KeyType == "rsa" && o.RSAKeySize == 4096:
		return acmeglue.RSA4096, nil, nil
	case o.KeyType == "rsa":
		key, err := rsa.GenerateKey(rand.Reader, o.RSAKeySize)
		return "", key, err
	case o.EllipticCurve == "secp384r1":
		return acmeglue.P384, nil, nil
	case o.EllipticCurve == "secp521r1":
		key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		return "", key, err
	}
	return acmeglue.P256, nil, nil
}

// parseKey reads a private key in PEM form: PKCS #8, PKCS #1 or SEC 1.
func parseKey(raw []byte) (crypto.Signer, error) {
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			return nil, errors.New("no private key in PEM form")
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default: // such as EC PARAMETERS
			continue
		}
		if err != nil {
			return nil, err
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("a key of type %T signs nothing", key)
		}
		return signer, nil
	}
}

// keyPEM writes a private key as certbot does.
func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// reusedKey is the key that a renewal keeps, with the options changed to say what
// kind it is; nil where it gets a new one.
func reusedKey(o *certbotcli.Options, l *lineage.Lineage) (crypto.Signer, error) {
	if !o.ReuseKey || o.NewKey {
		return nil, nil
	}
	raw, err := l.Read(lineage.PrivKey)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Path(lineage.PrivKey), err)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		o.KeyType, o.RSAKeySize = "rsa", k.N.BitLen()
	case *ecdsa.PrivateKey:
		o.KeyType, o.EllipticCurve = "ecdsa", curveName(k.Curve)
	default:
		return nil, fmt.Errorf("%s: a key of type %T cannot be used again", l.Path(lineage.PrivKey), key)
	}
	return key, nil
}

// checkReuse refuses flags that --reuse-key contradicts (certbot: renewal.py,
// _avoid_reuse_key_conflicts). was is what the lineage says of itself.
func checkReuse(o *certbotcli.Options, l *lineage.Lineage, was bool) error {
	if o.IsSet("reuse_key") && !o.ReuseKey || !was && !o.ReuseKey || o.NewKey {
		return nil
	}
	leaf, err := l.Leaf()
	if err != nil {
		return err
	}
	conflict := ""
	switch pub := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if o.KeyType != "rsa" {
			conflict = "--key-type"
		} else if o.RSAKeySize != pub.N.BitLen() {
			conflict = "--rsa-key-size"
		}
	case *ecdsa.PublicKey:
		if o.KeyType != "ecdsa" {
			conflict = "--key-type"
		} else if o.EllipticCurve != curveName(pub.Curve) {
			conflict = "--elliptic-curve"
		}
	}
	if conflict == "" {
		return nil
	}
	return text(fmt.Sprintf("Unable to change the %s of this certificate because --reuse-key is set. To stop reusing the private key, specify --no-reuse-key. "+
		"To change the private key this one time and then reuse it in future, add --new-key.", conflict))
}

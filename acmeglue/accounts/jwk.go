package accounts

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
)

// maxKeyBits bounds the work that a key on disk can make.
const maxKeyBits = 8192

// ID is the name that certbot gives to the account of a key: the MD5 of the public
// key as SubjectPublicKeyInfo in PEM form, the newline at its end included.
func ID(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", err
	}
	sum := md5.Sum(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return hex.EncodeToString(sum[:]), nil
}

// jwk is a private key in the form of RFC 7517, with the members in certbot's order.
type jwk struct {
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	D   string `json:"d,omitempty"`
	P   string `json:"p,omitempty"`
	Q   string `json:"q,omitempty"`
	DP  string `json:"dp,omitempty"`
	DQ  string `json:"dq,omitempty"`
	QI  string `json:"qi,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	Crv string `json:"crv,omitempty"`
	Kty string `json:"kty"`
}

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func encodeKey(key crypto.Signer) ([]byte, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if len(k.Primes) != 2 {
			return nil, fmt.Errorf("an RSA key of %d primes has no form that certbot reads", len(k.Primes))
		}
		k.Precompute()
		return encodeJSON(jwk{Kty: "RSA", N: b64(k.N.Bytes()), E: b64(big.NewInt(int64(k.E)).Bytes()), D: b64(k.D.Bytes()),
			P: b64(k.Primes[0].Bytes()), Q: b64(k.Primes[1].Bytes()),
			DP: b64(k.Precomputed.Dp.Bytes()), DQ: b64(k.Precomputed.Dq.Bytes()), QI: b64(k.Precomputed.Qinv.Bytes())})
	case *ecdsa.PrivateKey:
		d, err := k.Bytes()
		if err != nil {
			return nil, err
		}
		point, err := k.PublicKey.Bytes() // 4, X, Y
		if err != nil {
			return nil, err
		}
		half := len(point) / 2
		return encodeJSON(jwk{Kty: "EC", Crv: k.Params().Name, D: b64(d), X: b64(point[1 : 1+half]), Y: b64(point[1+half:])})
	}
	return nil, fmt.Errorf("an account cannot have a key of type %T", key)
}

// decodeKey reads what certbot or encodeKey wrote. The error does not quote the key.
func decodeKey(b []byte) (crypto.Signer, error) {
	var j jwk
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, errors.New("it is not a JSON Web Key")
	}
	switch {
	case j.Kty == "RSA":
		return j.rsa()
	case j.Kty == "EC" && curves[j.Crv] != nil:
		return j.ec(curves[j.Crv])
	}
	return nil, fmt.Errorf("a key of type %.20q %.20q cannot be an account's", j.Kty, j.Crv)
}

func (j *jwk) rsa() (crypto.Signer, error) {
	var numbers [5]*big.Int
	for n, s := range []string{j.N, j.E, j.D, j.P, j.Q} {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || len(b) == 0 || len(b) > maxKeyBits/8+1 {
			return nil, fmt.Errorf("an RSA key needs n, e, d, p and q, of at most %d bits", maxKeyBits)
		}
		numbers[n] = new(big.Int).SetBytes(b)
	}
	e := numbers[1]
	if !e.IsInt64() || e.Int64() > 1<<31-1 {
		return nil, errors.New("the public exponent of its RSA key is too large")
	}
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: numbers[0], E: int(e.Int64())}, D: numbers[2], Primes: numbers[3:]}
	if err := k.Validate(); err != nil {
		return nil, err
	}
	k.Precompute()
	return k, nil
}

func (j *jwk) ec(curve elliptic.Curve) (crypto.Signer, error) {
	size := (curve.Params().BitSize + 7) / 8
	point := []byte{4}
	var d []byte
	for n, s := range []string{j.X, j.Y, j.D} {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || len(b) != size {
			return nil, fmt.Errorf("an EC key on %s needs x, y and d of %d bytes", j.Crv, size)
		}
		if n < 2 {
			point = append(point, b...)
		} else {
			d = b
		}
	}
	k, err := ecdsa.ParseRawPrivateKey(curve, d)
	if err != nil {
		return nil, err
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, err
	}
	if !k.PublicKey.Equal(pub) {
		return nil, errors.New("x and y of its EC key do not belong to d")
	}
	return k, nil
}

// sameKey reports whether two keys have one public key.
func sameKey(a, b crypto.Signer) bool {
	if a == nil || b == nil {
		return false
	}
	pub, ok := a.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(b.Public())
}

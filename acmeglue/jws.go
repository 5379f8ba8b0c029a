package acmeglue

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/big"
	"net/http"

	"github.com/mholt/acmez/v3/acme"
)

// The ACME library signs all that RFC 8555 has, except for two things: an empty
// list of contacts, which it leaves out, and external account bindings with
// another hash than SHA-256. Those are made here.

// jws is a signed object in the flattened form (RFC 7515 section 7.2.2).
type jws struct {
	Protected string `json:"protected"`
	Payload   string `json:"payload"`
	Signature string `json:"signature"`
}

type jwsHeader struct {
	Alg   string `json:"alg"`
	KID   string `json:"kid"`
	Nonce string `json:"nonce,omitempty"`
	URL   string `json:"url"`
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// seal signs payload with what sign makes of the signing input.
func seal(h jwsHeader, payload []byte, sign func(input []byte) ([]byte, error)) ([]byte, error) {
	head, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	out := jws{Protected: b64(head), Payload: b64(payload)}
	sig, err := sign([]byte(out.Protected + "." + out.Payload))
	if err != nil {
		return nil, err
	}
	out.Signature = b64(sig)
	return json.Marshal(out)
}

// signMAC binds a public key by a shared secret (RFC 8555 section 7.3.4).
func signMAC(alg, kid string, secret []byte, pub crypto.PublicKey, url string) ([]byte, error) {
	if alg == "" {
		alg = "HS256"
	}
	hashes := map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}
	newHash := hashes[alg]
	if newHash == nil {
		return nil, fmt.Errorf("algorithm %q is none of HS256, HS384, HS512", alg)
	}
	key, err := jwk(pub)
	if err != nil {
		return nil, err
	}
	return seal(jwsHeader{Alg: alg, KID: kid, URL: url}, key, func(input []byte) ([]byte, error) {
		m := hmac.New(newHash, secret)
		_, _ = m.Write(input)
		return m.Sum(nil), nil
	})
}

// jwk is a public key in the form of RFC 7517.
func jwk(pub crypto.PublicKey) ([]byte, error) {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return json.Marshal(map[string]string{"kty": "RSA", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())})
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4, X, Y
		if err != nil {
			return nil, err
		}
		half := len(point) / 2
		return json.Marshal(map[string]string{"kty": "EC", "crv": k.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])})
	}
	return nil, fmt.Errorf("an account cannot have a key of type %T", pub)
}

// signKey signs with an account's key (RFC 7518 section 3).
func signKey(key crypto.Signer) (alg string, sign func([]byte) ([]byte, error), err error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return "RS256", func(input []byte) ([]byte, error) {
			sum := sha256.Sum256(input)
			return rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
		}, nil
	case *ecdsa.PrivateKey:
		size := (k.Params().BitSize + 7) / 8
		algs := map[int]string{32: "ES256", 48: "ES384", 66: "ES512"}
		hashes := map[int]func() hash.Hash{32: sha256.New, 48: sha512.New384, 66: sha512.New}
		if algs[size] == "" {
			return "", nil, fmt.Errorf("curve %s has no signature in JOSE", k.Params().Name)
		}
		return algs[size], func(input []byte) ([]byte, error) {
			h := hashes[size]()
			_, _ = h.Write(input)
			r, s, err := ecdsa.Sign(rand.Reader, k, h.Sum(nil))
			if err != nil {
				return nil, err
			}
			return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), nil
		}, nil
	}
	return "", nil, fmt.Errorf("an account cannot have a key of type %T", key)
}

// post sends a signed request and drops the answer.
func (i *Issuer) post(ctx context.Context, a Account, url string, body any) error {
	dir, err := i.client.GetDirectory(ctx)
	if err != nil {
		return err
	}
	payload, err := json.Marshal(body)
	if err != nil {
		return err
	}
	alg, sign, err := signKey(a.Key)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		nonce, err := i.nonce(ctx, dir.NewNonce)
		if err != nil {
			return err
		}
		signed, err := seal(jwsHeader{Alg: alg, KID: a.Location, Nonce: nonce, URL: url}, payload, sign)
		if err != nil {
			return err
		}
		err = i.send(ctx, url, signed)
		if err == nil || !isBadNonce(err) || try == 10 {
			return err
		}
	}
}

func (i *Issuer) nonce(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", userAgent)
	res, err := i.client.HTTPClient.Do(req)
	if err != nil {
		return "", err
	}
	nonce := res.Header.Get("Replay-Nonce")
	if err := res.Body.Close(); err != nil {
		return "", err
	}
	if nonce == "" {
		return "", errors.New("the CA gave no nonce")
	}
	return nonce, nil
}

func (i *Issuer) send(ctx context.Context, url string, signed []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(signed))
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Content-Type", "application/jose+json")
	res, err := i.client.HTTPClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() // read to its end or given up
	answer, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return err
	}
	if res.StatusCode < 300 {
		return nil
	}
	p := acme.Problem{Status: res.StatusCode}
	if err := json.Unmarshal(answer, &p); err != nil {
		return fmt.Errorf("%s answered %s", url, res.Status)
	}
	return p
}

package accounts

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"strings"
	"testing"
)

func makeKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if curve := curves[kind]; curve != nil {
		key, err = ecdsa.GenerateKey(curve, rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, map[string]int{"1024": 1024, "2048": 2048, "3072": 3072}[kind])
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Keys go both ways, byte for byte, and both programs call their accounts the same.
func TestKeysAreCertbots(t *testing.T) {
	o := startOracle(t)
	for _, kind := range []string{"1024", "2048", "3072", "P-256", "P-384", "P-521"} {
		theirs := o.ask(question{Do: "key", ID: kind}).Accounts[0]
		key, err := decodeKey([]byte(theirs.Key))
		if err != nil {
			t.Fatalf("%s: certbot's key: %v", kind, err)
		}
		if id, err := ID(key.Public()); err != nil || id != theirs.ID {
			t.Errorf("%s: ID %s (%v), certbot has %s", kind, id, err, theirs.ID)
		}
		for _, key := range []crypto.Signer{key, makeKey(t, kind)} {
			b, err := encodeKey(key)
			if err != nil {
				t.Fatal(err)
			}
			back := o.ask(question{Do: "parse", ID: string(b)}).Accounts[0]
			if id, _ := ID(key.Public()); back.ID != id {
				t.Errorf("%s: certbot reads another key", kind)
			}
			if kind[0] != 'P' && back.Key != string(b) {
				t.Errorf("%s: certbot writes\n%s\nwe write\n%s", kind, back.Key, b)
			}
			if again, err := decodeKey(b); err != nil || !sameKey(again, key) {
				t.Errorf("%s: does not come back: %v", kind, err)
			}
		}
	}
}

func TestBadKeys(t *testing.T) {
	member := func(kind string, change map[string]string) string {
		b, err := encodeKey(makeKey(t, kind))
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]string{}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		for k, v := range change {
			if m[k] = v; v == "" {
				delete(m, k)
			}
		}
		if b, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if _, err := decodeKey([]byte(member("1024", nil))); err != nil {
		t.Fatal(err) // the changes below are what makes them bad
	}
	other := member("P-256", nil)
	for _, s := range []string{
		"", "{}", "[]", "null", `"x"`, `{"kty":"oct","k":"AAAA"}`, `{"kty":"RSA"}`, `{"kty":"EC","crv":"P-256"}`, `{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA","d":"AA"}`,
		member("1024", map[string]string{"n": "AQ"}), member("1024", map[string]string{"e": "AAAA"}), member("1024", map[string]string{"e": "AQAAAAAAAAAB"}),
		member("1024", map[string]string{"d": ""}), member("1024", map[string]string{"p": ""}), member("1024", map[string]string{"q": "Aw"}), member("1024", map[string]string{"d": "!"}),
		member("1024", map[string]string{"n": strings.Repeat("_", 60000)}), member("1024", map[string]string{"kty": "EC"}),
		member("P-256", map[string]string{"d": ""}), member("P-256", map[string]string{"d": "AA"}), member("P-256", map[string]string{"crv": "P-384"}),
		member("P-256", map[string]string{"d": b64(make([]byte, 32))}), member("P-256", map[string]string{"x": b64(make([]byte, 32))}),
		strings.Replace(other, `"d":"`, `"d":"A`, 1),
	} {
		if key, err := decodeKey([]byte(s)); err == nil {
			t.Errorf("%.60s: %T", s, key)
		}
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := encodeKey(p224); err == nil {
		if _, err := decodeKey(b); err == nil {
			t.Error("a curve that ACME does not know")
		}
	}
}

// Whatever is in a key's file, it is refused or signs.
func FuzzDecodeKey(f *testing.F) {
	for _, kind := range []string{"1024", "P-256", "P-384", "P-521"} {
		b, err := encodeKey(makeKey(f, kind))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"kty":"RSA","n":"AQ","e":"AQAB","d":"AQ","p":"AQ","q":"AQ"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := decodeKey(b)
		if err != nil {
			return
		}
		if _, err := key.Sign(rand.Reader, make([]byte, 32), crypto.SHA256); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		written, err := encodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decodeKey(written); err != nil || !sameKey(again, key) {
			t.Fatalf("%s: becomes %s: %v", b, written, err)
		}
	})
}

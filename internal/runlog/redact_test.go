package runlog

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// planted is a text with a secret, and pieces of the secret that may be nowhere.
type planted struct {
	text   string
	pieces []string
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// privateKeys writes keys in every way in which they are written.
func privateKeys(t testing.TB) []planted {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := []crypto.Signer{rsaKey, edKey}
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	var out []planted
	add := func(kind string, der []byte) {
		text := string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
		pieces := strings.Split(text, "\n")[1:2]
		out = append(out, planted{text, pieces}, planted{fmt.Sprintf("%q", text), pieces}, planted{text[:len(text)-40], pieces},
			planted{base64.StdEncoding.EncodeToString(der), []string{base64.StdEncoding.EncodeToString(der)[30:60]}})
	}
	for _, k := range keys {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		add("PRIVATE KEY", der)
	}
	add("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))
	for _, k := range keys[2:] {
		der, err := x509.MarshalECPrivateKey(k.(*ecdsa.PrivateKey))
		if err != nil {
			t.Fatal(err)
		}
		add("EC PRIVATE KEY", der)
	}
	private := map[string]string{"kty": "RSA", "n": b64(rsaKey.N.Bytes()), "e": "AQAB", "d": b64(rsaKey.D.Bytes()), "p": b64(rsaKey.Primes[0].Bytes()),
		"q": b64(rsaKey.Primes[1].Bytes()), "dp": b64(rsaKey.Precomputed.Dp.Bytes()), "dq": b64(rsaKey.Precomputed.Dq.Bytes()), "qi": b64(rsaKey.Precomputed.Qinv.Bytes())}
	jwk, err := json.Marshal(private)
	if err != nil {
		t.Fatal(err)
	}
	var pieces []string
	for name, v := range private {
		if !strings.Contains("kty n e", name) {
			pieces = append(pieces, v[:20], v[len(v)-20:])
		}
	}
	twice, err := json.Marshal(map[string]string{"payload": string(jwk)})
	if err != nil {
		t.Fatal(err)
	}
	return append(out, planted{string(jwk), pieces}, planted{string(twice), pieces}, planted{strings.ReplaceAll(string(jwk), `"`, "'"), pieces},
		planted{fmt.Sprint(private), pieces}, planted{fmt.Sprintf("%q", jwk), pieces})
}

func secretTexts(t testing.TB) []planted {
	const s = "s3cr3t-V4lue_0f.someLength"
	hmac := b64([]byte("0123456789abcdef0123456789abcdef"))
	thumb := b64([]byte("abcdefghijklmnopqrstuvwxyz-12345"))
	one := []string{"s3cr3t", "V4lue", "someLength"}
	out := privateKeys(t)
	for _, text := range []string{
		"Authorization: Bearer " + s, "authorization=" + s, "Proxy-Authorization: Basic " + s, `"Authorization": ["Bearer ` + s + `"]`, "X-Auth-Key: " + s, "x-api-token:" + s,
		"Cookie: a=b; session=" + s, "Set-Cookie: " + s + "; Secure", "sent bearer " + s + " to it",
		fmt.Sprint(http.Header{"Authorization": {"Bearer " + s}}), fmt.Sprintf("%q", http.Header{"X-Auth-Key": {s}}),
		"password=" + s, "PASSWORD: " + s, "db_passwd = '" + s + "'", `"apiToken": "` + s + `"`, `{\"api_token\":\"` + s + `\"}`, "dns_cloudflare_api_token = " + s, "api-key=" + s + "&x=y",
		"client_secret=" + s + ";", "passphrase \t= " + s, "{'secret': '" + s + "'}", `password = "two ` + s + ` words"`, `token: "` + s, "x-amz-secret=" + s,
		"--eab-hmac-key " + s + " --agree-tos", "--eab-hmac-key=" + s, "['--eab-hmac-key', '" + s + "', '-n']", `["--eab-hmac-key" "` + s + `" "-n"]`, "[--api-token " + s + "]",
		`["--x-password" "two ` + s + `" "-n"]`, "eab-hmac-key = " + s, "GET https://user:" + s + "@ca.example/directory", "https://x/?api_key=" + s,
	} {
		out = append(out, planted{text, one})
	}
	return append(out,
		planted{"serve evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA." + thumb, []string{thumb}},
		planted{"body: evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA." + thumb + "\n", []string{thumb}},
		planted{`CERTBOT_VALIDATION="evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.` + thumb[:42] + `-" x`, []string{thumb[:40]}},
		planted{`{"kty":"oct","k":"` + hmac + `"}`, []string{hmac}},
		planted{"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P", []string{"dozjgNry", "eyJzdWI"}})
}

func (p planted) lookFor(t testing.TB, where, text string) {
	t.Helper()
	for _, piece := range p.pieces {
		if strings.Contains(text, piece) {
			t.Errorf("%s: %q of\n%s\nis in\n%s", where, piece, p.text, text)
		}
	}
}

type stringer string

func (s stringer) String() string { return string(s) }

// valuer is a value that says by itself how it is logged.
type valuer string

func (v valuer) LogValue() slog.Value { return slog.GroupValue(slog.String("v", string(v))) }

// No secret is in the file, on the terminal, or with another handler, however it
// came to the logger.
func TestNoSecretAnywhere(t *testing.T) {
	for _, p := range secretTexts(t) {
		l, dir, stderr := open(t, Options{Verbosity: 2})
		var jsonLog bytes.Buffer
		for _, log := range []*slog.Logger{l.Logger(), slog.New(l.Redactor.Handler(slog.NewJSONHandler(&jsonLog, nil)))} {
			log.Error(p.text)
			log.Error("before " + p.text + " and after")
			log.Warn("m", "a", p.text, "b", errors.New(p.text), "c", stringer(p.text), "d", valuer(p.text), "e", []string{p.text}, "f", []byte(p.text),
				"g", map[string]string{"x": p.text}, "h", &struct{ X string }{p.text}, "i", fmt.Errorf("x: %w", errors.New(p.text)))
			log.With("a", p.text).WithGroup("g").With("b", p.text).Warn("m", slog.Group("h", "c", p.text))
		}
		for where, text := range map[string]string{"file": read(t, filepath.Join(dir, Name)), "terminal": stderr.String(), "JSON": jsonLog.String()} {
			p.lookFor(t, where, text)
			if !strings.Contains(text, Hidden) {
				t.Errorf("%s: nothing is hidden of\n%s\nin\n%s", where, p.text, text)
			}
		}
	}
}

// Keys as Go values, and attributes with telling names.
func TestNoSecretValues(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	d := new(big.Int).SetBytes(raw)
	const s = "s3cr3t"
	u := &url.URL{Scheme: "https", User: url.UserPassword("u", s), Host: "h"}
	l, dir, _ := open(t, Options{Secrets: []string{"hunter2-known", "hunter2-known-and-longer", "no"}})
	log := l.Logger()
	log.Debug("values", "key", key, "signer", crypto.Signer(key), "ed", ed, "struct", *u, "url", u, "header", http.Header{"A": {s}}, "nil", nil, "ptr", (*stringer)(nil))
	for _, name := range []string{"password", "dbPasswd", "api_token", "APIKey", "hmac", "eab.hmac_key", "Authorization", "cookie", "private_key", "key_authorization", "keyAuth", "client-secret", "passphrase", "jwk"} {
		log.Debug("named", name, s, slog.Group("g", name, s))
		log.With(name, s).Debug("named")
	}
	log.Debug("hunter2-known-and-longer hunter2-known", "x", "hunter2-known", "no", "no")
	l.Redactor.Hide("later-on-known")
	log.Debug("later-on-known")
	text := read(t, filepath.Join(dir, Name))
	for _, piece := range []string{s, d.String(), fmt.Sprintf("%x", d), fmt.Sprint([]byte(ed))[1:40], "hunter2", "and-longer", "later"} {
		if strings.Contains(text, piece) {
			t.Errorf("%q is in\n%s", piece, text)
		}
	}
	for _, kept := range []string{"key=(*ecdsa.PrivateKey)", "url=https://u:***@h", "nil=<nil>", "no=no"} {
		if !strings.Contains(text, kept) {
			t.Errorf("%q is not in\n%s", kept, text)
		}
	}
}

// What is no secret stays, or the log would be of no use.
func TestHarmlessTextsStay(t *testing.T) {
	var r Redactor
	for _, s := range []string{
		"GET http://example.org/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
		"open /etc/letsencrypt/live/example.org/privkey.pem: permission denied", "accounts/x/private_key.json: no such file",
		"-----BEGIN CERTIFICATE-----\nMIIBhTCCASugAwIBAgIQIRi6zePL6mKjOipn\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
		`{"kty":"EC","crv":"P-256","x":"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0","y":"SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"}`,
		"You can set this with the --eab-hmac-key flag", "--eab-kid and --eab-hmac-key must be given together", "Renewing an existing certificate for a.example.org and www.a.example.org",
		"--dns-cloudflare-credentials /root/cf.ini", "server = https://acme-v02.api.letsencrypt.org/directory", "https://host:8443/path@x", "token is missing", "--manual-auth-hook /usr/bin/hook",
		"urn:ietf:params:acme:error:unauthorized :: The key authorization file from the server did not match this challenge",
		"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXotMTIzNDUx", "short.YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXotMTIzNDU",
		"basic constraints", "Bearer of news", "p: 12", "'d': ", "_acme-challenge.example.org TXT gfj9Xq...Rg85nM", "--preferred-challenges http --key-type ecdsa", "",
	} {
		if got := r.Text(s); got != s {
			t.Errorf("%q becomes %q", s, got)
		}
	}
}

// Whatever stands around a key, it does not get through.
func FuzzRedact(f *testing.F) {
	key := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: bytes.Repeat([]byte("private!"), 15)})
	f.Add("", "")
	f.Add("-----BEGIN PRIVATE KEY-----\n", "-----END PRIVATE KEY-----")
	f.Add(`password="`, `\"`)
	f.Add("--eab-hmac-key ", " 'x'")
	for _, p := range secretTexts(f) {
		f.Add(p.text, p.text)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		var r Redactor
		text := r.Text(before + string(key) + after)
		if strings.Contains(text, "cHJpdmF0ZSFwcml2YXRlIXByaXZhdGUh") && !strings.Contains(before+after, "cHJpdmF0ZSFwcml2YXRlIXByaXZhdGUh") {
			t.Errorf("%q and %q let the key through: %q", before, after, text)
		}
	})
}

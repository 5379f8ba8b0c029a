package pritunl

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// said are the settings for the fake; more are pairs, of which an empty one takes away.
func (f *fake) said(more ...string) map[string][]string {
	said := map[string][]string{
		"server": {f.URL}, "address": {f.At.Addr}, "timeout": {"300ms"}, "ca": {write(f.t, "ca.pem", string(f.RootsPEM))},
		"token": {"file:" + write(f.t, "token", token+"\n")}, "secret": {"file:" + write(f.t, "secret", secret+"\n")},
	}
	for i := 0; i < len(more); i += 2 {
		said[more[i]] = []string{more[i+1]}
		if more[i+1] == "" {
			delete(said, more[i])
		}
	}
	return said
}

func values(t *testing.T, said map[string][]string) target.Values {
	t.Helper()
	k := Kind()
	v, problems := target.Parse(&k, said, nil, false, true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return v
}

func TestTarget(t *testing.T) {
	targettest.Run(t, func(t *testing.T) *targettest.Rig {
		f := newFake(t)
		return &targettest.Rig{
			Target: func(ctx context.Context, env *target.Env) (delivery.Target, error) {
				return Kind().Target(ctx, values(t, f.said()), env)
			},
			At: []installers.Endpoint{f.At}, Single: true, Snapshot: f.snapshot, Fault: f.Fault, Secrets: []string{token, secret, adminPW},
		}
	})
}

func (f *fake) make(t *testing.T, said map[string][]string) (delivery.Target, error) {
	t.Helper()
	env := &target.Env{Now: time.Now, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	return Kind().Target(t.Context(), values(t, said), env)
}

func (f *fake) deliver(t *testing.T, m *delivery.Material, more ...string) (delivery.Change, error) {
	t.Helper()
	tg, err := f.make(t, f.said(more...))
	if err != nil {
		return delivery.Change{}, err
	}
	return tg.Put(t.Context(), m, nil)
}

func material(t *testing.T) *delivery.Material {
	t.Helper()
	m, err := delivery.NewMaterial("one", edgetest.NewChain(t, time.Now().Add(time.Hour), "a.test"), []string{"a.test"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Pritunl's own ACME is ended only when that was asked for, in a request of its own that
// comes first, and is brought back by an undo.
func TestOwnACME(t *testing.T) {
	f := newFake(t)
	f.all["acme_domain"] = "vpn.example.org"
	before := f.snapshot(t)
	if _, err := f.deliver(t, material(t)); err == nil || !strings.Contains(err.Error(), "for vpn.example.org") || !strings.Contains(err.Error(), "clear_acme: true") {
		t.Fatal(err)
	}
	if calls := f.asked(); calls != "GET" {
		t.Errorf("it was asked %s", calls)
	}
	c, err := f.deliver(t, material(t), "clear_acme", "true")
	if err != nil {
		t.Fatal(err)
	}
	if calls := f.asked(); calls != "GET, PUT acme_domain, PUT server_cert server_key" {
		t.Errorf("it was asked %s", calls)
	}
	if err := c.Undo(t.Context()); err != nil || f.snapshot(t) != before {
		t.Errorf("it is not as before: %v", err)
	}
	if calls := f.asked(); calls != "GET, PUT server_cert server_key, PUT acme_domain" {
		t.Errorf("it was asked %s", calls)
	}
	// The domain is gone, and the certificate is refused.
	f.meanwhile = func(w http.ResponseWriter) { problem(w, 400, "bad_request", "no") }
	if _, err := f.deliver(t, material(t), "clear_acme", "true"); err == nil || f.snapshot(t) != before {
		t.Errorf("it is not as before: %v", err)
	}
}

// What the server refuses with few words is explained, without what it says of itself.
func TestExplained(t *testing.T) {
	for name, c := range map[string]struct {
		before func(f *fake)
		more   []string
		says   string
		not    string
	}{
		"secret": {nil, []string{"secret", "file:" + write(t, "s", "wrong")}, "401 Unauthorized; token or secret are wrong", "clock"},
		"clock":  {func(f *fake) { f.now = func() time.Time { return time.Now().Add(-13 * time.Hour) } }, nil, "differs from that of the server by 13h", ""},
		"sso":    {func(f *fake) { f.sso = true }, nil, "sso_url_missing: Missing required single sign-on domain.; single sign-on is on without its domain", ""},
		"leaks": {func(f *fake) {
			f.meanwhile = func(w http.ResponseWriter) { w.WriteHeader(400); _, _ = w.Write([]byte(adminPW)) }
		}, nil, "400 Bad Request", adminPW},
		"not it": {func(f *fake) { delete(f.all, "server_cert") }, nil, "is this Pritunl", ""},
		"http":   {nil, []string{"server", "http://127.0.0.1"}, "write https://HOST", ""},
		"blank":  {nil, []string{"token", "file:" + write(t, "s", "a b")}, "is the file the right one", "a b"},
		"place":  {nil, []string{"address", "x"}, "as HOST:PORT", ""},
	} {
		f := newFake(t)
		if c.before != nil {
			c.before(f)
		}
		_, err := f.deliver(t, material(t), c.more...)
		if err == nil || !strings.Contains(err.Error(), c.says) || c.not != "" && strings.Contains(err.Error(), c.not) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An undo leaves what somebody else has put since; keys that no browser takes do not go.
func TestOthers(t *testing.T) {
	f := newFake(t)
	c, err := f.deliver(t, material(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.deliver(t, material(t)); err != nil {
		t.Fatal(err)
	}
	before := f.snapshot(t)
	if err := c.Undo(t.Context()); err != nil || f.snapshot(t) != before {
		t.Errorf("what somebody else put is gone: %v", err)
	}
	f.asked()
	mixed := material(t)
	mixed.KeyPEM = material(t).KeyPEM
	if _, err := f.deliver(t, mixed); err == nil || f.asked() != "" {
		t.Errorf("a key of another certificate was sent: %v", err)
	}
	ed := material(t)
	if _, ed.Key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	if _, err := f.deliver(t, ed); err == nil || !strings.Contains(err.Error(), "RSA or ECDSA") {
		t.Error(err)
	}
}

// Behind a fingerprint, what was delivered is trusted in its place.
func TestFingerprint(t *testing.T) {
	f := newFake(t)
	for pin, works := range map[string]bool{f.Fingerprint: true, strings.Repeat("00", 32): false} {
		if _, err := f.deliver(t, material(t), "ca", "", "fingerprint", pin); (err == nil) != works {
			t.Errorf("%s: %v", pin, err)
		}
	}
	tg, err := f.make(t, f.said("ca", "", "fingerprint", strings.Repeat("00", 32)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tg.Look(t.Context(), material(t), []byte(`{"sha256":"`+f.Fingerprint+`"}`)); err != nil {
		t.Errorf("what was delivered before: %v", err)
	}
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"server_cert":"x","server_key":null,"acme_domain":"a.test"}`))
	f.Add([]byte(`{"server_cert":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := parseSettings(raw); err == nil {
			s.has([]byte("x"), nil)
			s.domain()
		}
	})
}

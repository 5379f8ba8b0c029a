package plesk

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"edge"
	"edge/installers/delivery"
	"edge/internal/edgetest/targettest"
)

// What is somebody else's is left alone, until that is said; what cannot be done says so.
func TestRefused(t *testing.T) {
	uses := func(name string) func(f *fake) {
		return func(f *fake) { f.domains["a.example.test"].certificate = name }
	}
	key := func(s string) string { return "file:" + write(t, "s", s) }
	for name, c := range map[string]struct {
		before func(f *fake)
		more   []string
		names  []string // of the certificate
		says   string   // "" for success
		not    string
	}{
		"extension":     {uses("Lets Encrypt a.example.test"), nil, nil, "Let's Encrypt extension keeps", ""},
		"taken over":    {uses("Lets Encrypt a.example.test"), []string{"take_over", "true"}, nil, "", ""},
		"no site":       {nil, nil, []string{"nowhere.test"}, "has no site nowhere.test", ""},
		"www":           {nil, nil, []string{"www.a.example.test", "a.example.test"}, "", ""},
		"said":          {nil, []string{"sites", "b.example.test"}, []string{"nowhere.test"}, "", ""},
		"login":         {nil, []string{"secret_key", "", "login", "admin", "password", key(password)}, nil, "", ""},
		"wrong login":   {nil, []string{"secret_key", "", "login", "admin", "password", key("wrong-1")}, nil, "error 1001: You have entered incorrect username or password.; login or secret key", "wrong-1"},
		"wrong key":     {nil, []string{"secret_key", key("9a8b7c6d-0000")}, nil, "bound to another address", "9a8b7c6d"},
		"new key":       {func(f *fake) { f.mute = 2 }, nil, nil, "", ""},
		"guard":         {func(f *fake) { f.mute = 1000 }, nil, nil, "its guard against guessing", ""},
		"no key":        {nil, []string{"secret_key", ""}, nil, "a secret key is needed", ""},
		"both":          {nil, []string{"login", "admin"}, nil, "write one of the two", ""},
		"http":          {nil, []string{"server", "http://x"}, nil, "write https://HOST:8443", ""},
		"place":         {nil, []string{"address", "x"}, nil, "as HOST:PORT", ""},
		"bad site":      {nil, []string{"sites", "--help"}, nil, "no name of a site", ""},
		"not here":      {nil, []string{"secure_panel", "true", "psa", "/nowhere"}, nil, "on Plesk's own machine only", ""},
		"key, no panel": {nil, []string{"server", ""}, nil, "name it with server", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			if c.before != nil {
				c.before(f)
			}
			if c.names == nil {
				c.names = []string{"a.example.test"}
			}
			before := f.snapshot(t)
			_, err := f.put(t, t.TempDir(), f.said(c.more...), material(t, c.names...))
			if c.says == "" {
				if err != nil || f.snapshot(t) == before {
					t.Errorf("nothing was done: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || c.not != "" && strings.Contains(err.Error(), c.not) {
				t.Errorf("it says %v", err)
			}
			if f.snapshot(t) != before {
				t.Error("something was changed")
			}
			if name == "guard" && f.mute != 1000-guarded {
				t.Errorf("it was asked %d times", 1000-f.mute)
			}
		})
	}
	ed := material(t, "a.example.test")
	var err error
	if _, ed.Key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	f := newFake(t)
	if _, err := f.put(t, "", f.said(), ed); err == nil || !strings.Contains(err.Error(), "RSA or ECDSA") {
		t.Error(err)
	}
}

// Each version of the protocol is spoken to as it wants: the fake takes nothing else. What
// was there before comes back in each.
func TestVersions(t *testing.T) {
	for version, calls := range map[string]string{
		"1.6.7.0": "get, get-pool, get-pool, get-pool, remove, get-pool, install, set",
		"1.6.8.0": "get, get-pool, get-pool, update",
		"1.6.9.1": "get, get-pool, get-pool, update",
	} {
		f := newFake(t)
		f.version = version
		state, m := t.TempDir(), material(t, "a.example.test")
		first := f.snapshot(t)
		c, err := f.put(t, state, f.said(), m)
		if err != nil {
			t.Fatalf("%s: %v", version, err)
		}
		if err := c.Undo(t.Context()); err != nil || f.snapshot(t) != first {
			t.Errorf("%s: the first is not taken back: %v\n%s", version, err, f.snapshot(t))
		}
		if c, err = f.put(t, state, f.said(), m); err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := f.snapshot(t)
		f.asked()
		if c, err = f.put(t, state, f.said(), material(t, "a.example.test")); err != nil {
			t.Fatal(err)
		}
		if got := f.asked(); !strings.HasPrefix(got, calls) {
			t.Errorf("%s: it was asked %s", version, got)
		}
		if err := c.Undo(t.Context()); err != nil || f.snapshot(t) != before {
			t.Errorf("%s: the second is not taken back: %v", version, err)
		}
	}
}

// A site that fails takes those before it back; an answer that is lost is no failure
// where what it said can be seen.
func TestSeveral(t *testing.T) {
	f := newFake(t)
	before := f.snapshot(t)
	both := material(t, "a.example.test", "b.example.test")
	if _, err := f.put(t, t.TempDir(), f.said(), both); err != nil || f.using("a.example.test") != "edge a.example.test" || f.using("b.example.test") != "edge b.example.test" {
		t.Errorf("not both: %v", err)
	}
	f = newFake(t)
	f.lose = "install"
	_, err := f.put(t, t.TempDir(), f.said(), both)
	if err == nil || f.snapshot(t) != before {
		t.Errorf("not as it was: %v\n%s", err, f.snapshot(t))
	}
	for _, lost := range []string{"set", "get", "get-pool"} {
		f = newFake(t)
		f.lose = lost
		if _, err := f.put(t, t.TempDir(), f.said(), both); err != nil {
			t.Errorf("%s: %v", lost, err)
		}
	}
}

// Plesk gives no certificate back: what it shows says whether it is another one.
func TestLook(t *testing.T) {
	f := newFake(t)
	state, m := t.TempDir(), material(t, "a.example.test")
	look := func() string {
		tg, err := Kind().Target(t.Context(), values(t, f.said(), false), f.env(state))
		if err != nil {
			t.Fatal(err)
		}
		list, err := tg.Look(t.Context(), m, nil)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(list, "; ")
	}
	if says := look(); !strings.Contains(says, "uses the certificate \"default certificate\"; it is not kept for an undo; ") {
		t.Error(says)
	}
	c, err := f.put(t, state, f.said(), m)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if says := look(); says != "" {
		t.Error(says)
	}
	other := material(t, "a.example.test")
	f.set(func() {
		f.domains["a.example.test"].pool["edge a.example.test"] = pems{other.KeyPEM, other.CertPEM, other.ChainPEM}
		f.show("a.example.test")
	})
	if says := look(); !strings.Contains(says, "shows another certificate") || strings.Contains(says, ";") {
		t.Error(says)
	}
}

// Each answer of a site goes when it is done with, and takes nothing of the others along.
func TestOneByOne(t *testing.T) {
	f := newFake(t)
	a, err := f.authenticator(t)
	if err != nil {
		t.Fatal(err)
	}
	one, two := targettest.Answer(edge.HTTP01, "www.a.example.test", "tokenOne"), targettest.Answer(edge.HTTP01, "a.example.test", "tokenTwo")
	for _, b := range []edge.Answer{one, two} {
		if err := a.Present(t.Context(), []edge.Answer{b}); err != nil {
			t.Fatal(err)
		}
	}
	if left := f.left(); !strings.Contains(left, "tokenOne") || !strings.Contains(left, "tokenTwo") {
		t.Errorf("left: %s", left)
	}
	if err := a.Cleanup(t.Context(), []edge.Answer{one}); err != nil {
		t.Fatal(err)
	}
	if left := f.left(); strings.Contains(left, "tokenOne") || !strings.Contains(left, "tokenTwo") || !strings.Contains(left, ".htaccess") {
		t.Errorf("left: %s", left)
	}
	if err := a.Cleanup(t.Context(), []edge.Answer{two}); err != nil || f.left() != "" {
		t.Errorf("%v, left: %s", err, f.left())
	}
}

// The panel gets key, leaf and chain, and what edge delivered before after a failure.
func TestPanel(t *testing.T) {
	f := newFake(t)
	state, said := t.TempDir(), f.said("secure_panel", "true")
	m := material(t, "a.example.test")
	c, err := f.put(t, state, said, m)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 1 || c.Undo != nil || !strings.Contains(string(f.panel), string(m.ChainPEM)) {
		t.Errorf("%v", c.Warnings)
	}
	if err := c.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := f.snapshot(t)
	if c, err = f.put(t, state, said, material(t, "a.example.test")); err != nil {
		t.Fatal(err)
	}
	if f.snapshot(t) == before {
		t.Error("nothing was done")
	}
	if err := c.Undo(t.Context()); err != nil || strings.TrimSpace(f.snapshot(t)) != strings.TrimSpace(before) {
		t.Errorf("not as it was: %v", err)
	}
	for _, name := range []string{".plesk-panel", ".plesk-key", ".plesk-cert", ".plesk-ca"} {
		if _, err := os.Stat(filepath.Join(state, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", name)
		}
	}
	tg, err := Kind().Target(t.Context(), values(t, said, false), f.env(state))
	if err != nil {
		t.Fatal(err)
	}
	places, err := tg.(delivery.Placed).Places(t.Context(), m, nil)
	if err != nil || len(places) != 2 || "https://"+places[1].Addr != f.URL {
		t.Errorf("%v %v", places, err)
	}
}

func (f *fake) authenticator(t *testing.T, more ...string) (*Authenticator, error) {
	t.Helper()
	a, err := Kind().Authenticator(t.Context(), values(t, f.said(more...), true), f.env(t.TempDir()))
	if err != nil {
		return nil, err
	}
	return a.(*Authenticator), nil
}

// What Plesk says gets into no command line as it is not; a user's own files stay.
func TestFiles(t *testing.T) {
	f := newFake(t)
	a, err := f.authenticator(t)
	if err != nil {
		t.Fatal(err)
	}
	one := targettest.Answer(edge.HTTP01, "www.a.example.test", "tokenOne")
	for _, login := range []string{"-rf", "a b", "", "x;y"} {
		f.set(func() { f.domains["a.example.test"].login = login })
		if err := a.Present(t.Context(), []edge.Answer{one}); err == nil || !strings.Contains(err.Error(), "no hosting with files") {
			t.Errorf("user %q: %v", login, err)
		}
	}
	for _, root := range []string{"relative/x", "/", "/var", "/var/../etc", "/var/www/", "/var/www/-x", "/var/$x", "/var/./x", "/var//x"} {
		if (&site{login: "u", root: root}).hasFiles() {
			t.Errorf("folder %q was taken", root)
		}
	}
	f.set(func() { f.domains["a.example.test"].login = "user0" })
	dir := filepath.Join(f.root("a.example.test"), ".well-known/acme-challenge")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(dir, ".htaccess")
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	batch := []edge.Answer{one, targettest.Answer(edge.HTTP01, "a.example.test", "tokenTwo")}
	if err := a.Present(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := a.Ready(t.Context(), batch[1:]); err != nil {
		t.Error(err)
	}
	if err := a.Cleanup(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(mine); err != nil || string(raw) != "mine" || strings.Contains(f.left(), "token") {
		t.Errorf("%q %v, left: %s", raw, err, f.left())
	}
}

// Names below a zone and wildcards have their record in it; of two answers for one name,
// each keeps its own. A lost answer adds no second record.
func TestRecords(t *testing.T) {
	f := newFake(t)
	a, err := f.authenticator(t, "challenges", "dns-01")
	if err != nil {
		t.Fatal(err)
	}
	if types := a.Types(); !slices.Equal(types, []edge.ChallengeType{edge.DNS01}) {
		t.Error(types)
	}
	f.lose = "add_rec"
	batch := []edge.Answer{
		targettest.Answer(edge.DNS01, "x.y.example.test", "tokenOne"), targettest.Answer(edge.DNS01, "example.test", "tokenTwo"),
		targettest.Answer(edge.DNS01, "*.example.test", "tokenThree"),
	}
	if err := a.Present(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := a.Ready(t.Context(), batch); err != nil {
		t.Error(err)
	}
	if left := f.left(); strings.Count(left, "_acme-challenge.x.y.example.test.") != 1 || strings.Count(left, "_acme-challenge.example.test.") != 2 {
		t.Error(left)
	}
	if err := a.Cleanup(t.Context(), batch[1:2]); err != nil || strings.Count(f.left(), "_acme-challenge.example.test.") != 1 {
		t.Errorf("%v: %s", err, f.left())
	}
	if err := a.Cleanup(t.Context(), batch); err != nil || f.left() != "" {
		t.Errorf("%v: %s", err, f.left())
	}
	other := targettest.Answer(edge.DNS01, "nowhere.invalid", "tokenOne")
	if err := a.Present(t.Context(), []edge.Answer{other}); err == nil || !strings.Contains(err.Error(), "has no site for nowhere.invalid") {
		t.Error(err)
	}
}

// What a process that was killed has left is taken away by the next one.
func TestLeft(t *testing.T) {
	for _, kind := range []edge.ChallengeType{edge.HTTP01, edge.DNS01} {
		f := newFake(t)
		env := f.env(t.TempDir())
		var a [2]*Authenticator
		for i := range a {
			made, err := Kind().Authenticator(t.Context(), values(t, f.said(), true), env)
			if err != nil {
				t.Fatal(err)
			}
			a[i] = made.(*Authenticator)
		}
		if err := a[0].Present(t.Context(), []edge.Answer{targettest.Answer(kind, "a.example.test", "tokenOne")}); err != nil || f.left() == "" {
			t.Fatal(err)
		}
		next := []edge.Answer{targettest.Answer(kind, "b.example.test", "tokenTwo")}
		if err := a[1].Present(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		if left := f.left(); strings.Contains(left, "a.example.test.") || strings.Contains(left, "tokenOne") || strings.Contains(left, "/a.example.test/") {
			t.Errorf("%s: %s", kind, left)
		}
		if err := a[1].Cleanup(t.Context(), next); err != nil || f.left() != "" {
			t.Errorf("%s: %v, left: %s", kind, err, f.left())
		}
		if _, err := os.Stat(a[1].noteFile()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the note is still there", kind)
		}
	}
	for _, bad := range []string{`{}`, `[{"site":"--x"}]`, `[{"answer":{"Type":"http-01","Token":"../x","KeyAuth":"x.y"},"site":"a","root":"/a/b","login":"u"}]`,
		`[{"answer":{"Type":"http-01","Token":"x","KeyAuth":"x.y"},"site":"a","root":"/a/../b","login":"u"}]`} {
		if list, err := parseLeft([]byte(bad)); err == nil {
			t.Errorf("%s was taken: %v", bad, list)
		}
	}
}

// A record that no name server shows is not one that a CA is told to look for.
func TestNotShown(t *testing.T) {
	f := newFake(t)
	a, err := f.authenticator(t)
	if err != nil {
		t.Fatal(err)
	}
	one := []edge.Answer{targettest.Answer(edge.DNS01, "a.example.test", "tokenOne")}
	if err := a.Present(context.Background(), one); err != nil {
		t.Fatal(err)
	}
	f.dns.SetTXT("_acme-challenge.a.example.test.")
	if err := a.Ready(t.Context(), one); err == nil || !strings.Contains(err.Error(), "does not show the record of _acme-challenge.a.example.test") {
		t.Error(err)
	}
	for _, c := range []struct{ name, value, says string }{
		{"challenges", "tls-alpn-01", "is not possible there"}, {"challenges", "", "no challenge"}, {"psa", "/nowhere", ""}, {"nameservers", "x", "as HOST:PORT"},
	} {
		said := f.said()
		said[c.name] = []string{c.value}
		a, err := Kind().Authenticator(t.Context(), values(t, said, true), f.env(""))
		if c.says != "" && (err == nil || c.value != "" && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s %s: %v", c.name, c.value, err)
		}
		if c.says == "" && (err != nil || slices.Contains(a.Types(), edge.HTTP01)) {
			t.Errorf("HTTP-01 without filemng: %v", err)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`<packet version="1.6.9.1"><site><get><result><status>ok</status><id>1</id><data><hosting><vrt_hst><property><name>www_root</name><value>/x</value></property></vrt_hst></hosting></data></result></get></site></packet>`), "SSL/TLS certificate:  edge x\n")
	f.Add([]byte(`<packet version="1.6.8.0"><certificate><update><result><status>error</status><errcode>1015</errcode><errtext>domain does not exist</errtext></result></update></certificate></packet>`), "Certificate name: x")
	f.Add([]byte(`<packet><system><status>error</status><errcode>1001</errcode></system></packet>`), "")
	f.Add([]byte(`[{"answer":{"Type":"http-01","Token":"x","KeyAuth":"x.y"},"site":"a","root":"/a/b","login":"u"}]`), "")
	f.Fuzz(func(t *testing.T, raw []byte, info string) {
		parseInfo("x", info)
		_, _ = parseLeft(raw)
		p, err := parsePacket(raw)
		if err != nil {
			_ = err.Error()
			return
		}
		newer(p.Version, [4]int{1, 6, 8, 0})
		for _, r := range slices.Concat(p.SiteGet, p.Pool, p.GetRec) {
			_ = r.check()
			_ = r.property("www_root")
		}
	})
}

package accounts

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"edge/acmeglue"
	"edge/internal/durable"
)

// register does what an issuer does: a key, the CA's answer, the account.
func register(t testing.TB, s *Store, uri string) acmeglue.Account {
	t.Helper()
	key, err := s.NewKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := acmeglue.Account{Location: uri, Status: "valid", Contact: []string{"mailto:ops@example.org"}, Key: key}
	if err := s.Save(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return a
}

func idOf(t testing.TB, key crypto.Signer) string {
	t.Helper()
	id, err := ID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func write(t testing.TB, path, content string) {
	t.Helper()
	_ = os.Chmod(path, 0o600)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What we register is certbot's to the byte, and the other way round.
func TestBothWays(t *testing.T) {
	o := startOracle(t)
	theirs, ours := t.TempDir(), t.TempDir()
	id := o.register(theirs, testServer, "https://ca.test/acct/1")
	s := open(t, ours, testServer, Options{})
	a := register(t, s, "https://ca.test/acct/1")
	if got, want := o.found(ours, testServer), []string{idOf(t, a.Key) + " https://ca.test/acct/1"}; !slices.Equal(got, want) {
		t.Errorf("certbot finds %q, want %q", got, want)
	}
	if got, want := strings.ReplaceAll(tree(t, ours), idOf(t, a.Key), id), tree(t, theirs); got != want {
		t.Errorf("we make\n%s\ncertbot makes\n%s", got, want)
	}
	if got, want := read(t, filepath.Join(s.Dir(idOf(t, a.Key)), regrFile)), read(t, filepath.Join(theirs, "accounts/ca.test/dir", id, regrFile)); got != want {
		t.Errorf("regr.json %s, certbot writes %s", got, want)
	}
	if got, want := read(t, filepath.Join(s.Dir(idOf(t, a.Key)), metaFile)), `{"creation_dt": "2026-11-24T01:02:03Z", "creation_host": "host.test"}`; got != want {
		t.Errorf("meta.json %s, want %s", got, want)
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if slug := o.ask(question{Do: "find", Dir: ours, Server: testServer}).Accounts[0].Slug; slug != list[0].Slug() {
		t.Errorf("certbot calls it %q, we %q", slug, list[0].Slug())
	}
	loaded, err := open(t, theirs, testServer, Options{}).Load(t.Context())
	if err != nil || loaded.Location != "https://ca.test/acct/1" || loaded.Status != "valid" || idOf(t, loaded.Key) != id {
		t.Errorf("certbot's account is %+v, %v", loaded, err)
	}
	everywhere, err := List(theirs)
	if err != nil || len(everywhere) != 1 || everywhere[0].Server != testServer || everywhere[0].ID != id || everywhere[0].URI != "https://ca.test/acct/1" || everywhere[0].Created.IsZero() {
		t.Errorf("list of all servers: %+v, %v", everywhere, err)
	}
}

func TestChoice(t *testing.T) {
	o := startOracle(t)
	dir := t.TempDir()
	s := open(t, dir, testServer, Options{})
	if _, err := s.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no accounts: %v", err)
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("no accounts: %v, %v", list, err)
	}
	if list, err := List(dir); err != nil || len(list) != 0 {
		t.Errorf("no accounts: %v, %v", list, err)
	}
	one := o.register(dir, testServer, "https://ca.test/acct/1")
	two := o.register(dir, testServer, "https://ca.test/acct/2")
	other := o.register(dir, "https://other.test/dir", "https://other.test/1")
	var ambiguous *AmbiguousError
	if _, err := s.Load(t.Context()); !errors.As(err, &ambiguous) || len(ambiguous.Accounts) != 2 || !strings.Contains(err.Error(), one) || !strings.Contains(err.Error(), two) {
		t.Errorf("two accounts: %v", err)
	}
	if _, err := s.NewKey(t.Context()); !errors.As(err, &ambiguous) {
		t.Errorf("two accounts: %v", err)
	}
	for _, id := range []string{one, two} {
		a, err := open(t, dir, testServer, Options{Account: id}).Load(t.Context())
		if err != nil || idOf(t, a.Key) != id {
			t.Errorf("%s is chosen: %+v, %v", id, a, err)
		}
	}
	var missing *NotFoundError
	_, err := open(t, dir, testServer, Options{Account: other}).Load(t.Context())
	if !errors.As(err, &missing) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an account of another server: %v", err)
	}
	theirs := o.try(question{Do: "load", Dir: dir, Server: testServer, ID: other}).Error
	if theirs != "AccountNotFound: "+err.Error() {
		t.Errorf("certbot says %q, we %q", theirs, err)
	}
	if list, err := List(dir); err != nil || len(list) != 3 || list[2].ID != other {
		t.Errorf("list of all servers: %+v, %v", list, err)
	}
}

// certbot 0.x wrote more into regr.json. It stays until something changes.
func TestOldForm(t *testing.T) {
	o := startOracle(t)
	dir := t.TempDir()
	id := o.register(dir, testServer, "https://ca.test/acme/reg/1")
	path := filepath.Join(dir, "accounts/ca.test/dir", id, regrFile)
	old := `{"body": {"contact": ["mailto:old@example.org"], "agreement": "https://ca.test/tos.pdf", "key": {"e": "AQAB", "kty": "RSA", "n": "wQ"}}, "uri": "https://ca.test/acme/reg/1", "new_authzr_uri": "https://ca.test/acme/new-authz", "terms_of_service": "https://ca.test/tos.pdf"}`
	write(t, path, old)
	s := open(t, dir, testServer, Options{})
	a, err := s.Load(t.Context())
	if err != nil || !slices.Equal(a.Contact, []string{"mailto:old@example.org"}) {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := s.Save(t.Context(), a); err != nil || read(t, path) != old {
		t.Errorf("nothing has changed, but %s (%v)", read(t, path), err)
	}
	a.Contact = []string{"mailto:new@example.org"}
	if err := s.Save(t.Context(), a); err != nil || read(t, path) != `{"body": {}, "uri": "https://ca.test/acme/reg/1"}` {
		t.Errorf("new contact: %s (%v)", read(t, path), err)
	}
	if got := o.found(dir, testServer); len(got) != 1 {
		t.Errorf("certbot finds %q", got)
	}
	// The form of today has no contact that could change.
	s = open(t, dir, testServer, Options{Durable: durable.Writer{Before: func(step durable.Step, path string) error {
		return fmt.Errorf("%s of %s", step, path)
	}}})
	if err := s.Save(t.Context(), a); err != nil {
		t.Errorf("something was written: %v", err)
	}
}

// What cannot be an account's files does no harm and is not replaced silently.
func TestDamage(t *testing.T) {
	o := startOracle(t)
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, account string)
		want   string // of the error; "new": an account may be made; "": it is used
		again  bool   // the key is used again for the new one
	}{
		{"no registration", func(t *testing.T, account string) { remove(t, account, regrFile) }, "new", true},
		{"empty registration", func(t *testing.T, account string) { write(t, account+"/"+regrFile, "") }, "new", true},
		{"registration without URL", func(t *testing.T, account string) { write(t, account+"/"+regrFile, `{"body": {}, "uri": "x"}`) }, "new", true},
		{"huge registration", func(t *testing.T, account string) {
			write(t, account+"/"+regrFile, `{"uri": "https://ca.test/1", "x": "`+strings.Repeat("x", maxFile)+`"}`)
		}, "new", true},
		{"registration is a pipe", func(t *testing.T, account string) {
			remove(t, account, regrFile)
			if err := syscall.Mkfifo(account+"/"+regrFile, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "new", true},
		{"no key", func(t *testing.T, account string) { remove(t, account, keyFile) }, "new", false},
		{"no key and no registration", func(t *testing.T, account string) { remove(t, account, keyFile); remove(t, account, regrFile) }, "new", false},
		{"broken key", func(t *testing.T, account string) { write(t, account+"/"+keyFile, "{}") }, "move", false},
		{"key is a folder", func(t *testing.T, account string) {
			remove(t, account, keyFile)
			if err := os.Mkdir(account+"/"+keyFile, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "move", false},
		{"no meta", func(t *testing.T, account string) { remove(t, account, metaFile) }, "", true},
		{"broken meta", func(t *testing.T, account string) { write(t, account+"/"+metaFile, `{"creation_dt": 3}`) }, "", true},
		{"null meta", func(t *testing.T, account string) { write(t, account+"/"+metaFile, `null`) }, "", true},
		{"strangers beside it", func(t *testing.T, account string) {
			write(t, filepath.Dir(account)+"/stray", "x")
			write(t, account+"/.private_key.json.tmp-1", "x")
			if err := os.Symlink("loop", filepath.Dir(account)+"/loop"); err != nil {
				t.Fatal(err)
			}
		}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := o.of(t)
			dir := t.TempDir()
			id := o.register(dir, testServer, "https://ca.test/acct/1")
			account := filepath.Join(dir, "accounts/ca.test/dir", id)
			c.damage(t, account)
			s := open(t, dir, testServer, Options{})
			a, err := s.Load(t.Context())
			switch {
			case c.want == "" && (err != nil || idOf(t, a.Key) != id):
				t.Fatalf("not used: %v", err)
			case c.want == "new" && !errors.Is(err, fs.ErrNotExist):
				t.Fatalf("%v; an account may be made", err)
			case c.want == "move" && (err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "move "+account)):
				t.Fatalf("%v; it has to say what to do", err)
			}
			if c.want == "move" {
				if key, err := s.NewKey(t.Context()); err == nil {
					t.Errorf("a key was made in place of one that cannot be read: %v", key.Public())
				}
				return
			}
			if c.want == "" {
				if err := s.Save(t.Context(), a); err != nil {
					t.Fatal(err)
				}
			} else {
				a = register(t, s, "https://ca.test/acct/1")
			}
			if same := idOf(t, a.Key) == id; same != c.again {
				t.Errorf("the same key: %v", same)
			}
			// Afterwards certbot is content.
			if got, want := o.found(dir, testServer), []string{idOf(t, a.Key) + " https://ca.test/acct/1"}; !slices.Equal(got, want) {
				t.Errorf("certbot finds %q, want %q", got, want)
			}
		})
	}
}

func remove(t testing.TB, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// One damaged account does not keep a good one from being used.
func TestDamagedBesideGood(t *testing.T) {
	o := startOracle(t)
	dir := t.TempDir()
	bad := o.register(dir, testServer, "https://ca.test/acct/1")
	good := o.register(dir, testServer, "https://ca.test/acct/2")
	write(t, filepath.Join(dir, "accounts/ca.test/dir", bad, keyFile), "{}")
	var log strings.Builder
	s := open(t, dir, testServer, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 2 {
		if a, err := s.Load(t.Context()); err != nil || idOf(t, a.Key) != good {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	if strings.Count(log.String(), bad+": a key of type") != 1 {
		t.Errorf("log: %s", log.String())
	}
	if _, err := open(t, dir, testServer, Options{Account: bad}).Load(t.Context()); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the damaged one is chosen: %v", err)
	}
}

func TestOpenKeyIsWarnedAbout(t *testing.T) {
	dir := t.TempDir()
	var log strings.Builder
	s := open(t, dir, testServer, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	a := register(t, s, "https://ca.test/acct/1")
	if _, err := s.Load(t.Context()); err != nil || log.Len() > 0 {
		t.Fatal(err, log.String())
	}
	if err := os.Chmod(filepath.Join(s.Dir(idOf(t, a.Key)), keyFile), 0o422); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(log.String(), "chmod 0400") != 1 || !strings.Contains(log.String(), "mode=0422") {
		t.Errorf("log: %s", log.String())
	}
}

func TestForgetAndRegisterAgain(t *testing.T) {
	for _, chosen := range []bool{false, true} {
		dir := t.TempDir()
		s := open(t, dir, testServer, Options{})
		a := register(t, s, "https://ca.test/acct/1")
		// A key that nobody has registered, and which is newer.
		pending := open(t, dir, testServer, Options{Account: ""})
		if err := pending.Forget(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		stray, err := pending.makeKey(func(key crypto.Signer) (string, error) {
			dir := s.Dir(idOf(t, key))
			return filepath.Join(dir, keyFile), pending.mkdir(dir)
		})
		if err != nil {
			t.Fatal(err)
		}
		o := Options{}
		if chosen {
			o.Account = idOf(t, a.Key)
		}
		s = open(t, dir, testServer, o)
		if _, err := s.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("forgotten, but %v", err)
		}
		key, err := s.NewKey(t.Context())
		if err != nil || !sameKey(key, a.Key) {
			t.Fatalf("another key than the forgotten account's (%v)", err)
		}
		if a.Location = "https://ca.test/acct/2"; s.Save(t.Context(), a) != nil {
			t.Fatal("save")
		}
		if got, err := s.Load(t.Context()); err != nil || got.Location != "https://ca.test/acct/2" {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := os.Stat(filepath.Join(s.Dir(idOf(t, stray)), keyFile)); err != nil {
			t.Error(err)
		}
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir, testServer, Options{}), open(t, dir, testServer, Options{})
	unlock, err := a.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Lock(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("locked twice: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		unlock, err := b.Lock(context.Background())
		if err == nil {
			unlock()
		}
		got <- err
	}()
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
	if left := tree(t, dir); strings.Contains(left, "lock") {
		t.Errorf("left behind:\n%s", left)
	}
}

func TestTooManyFolders(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, testServer, Options{})
	if err := s.mkdir(s.Dir("")); err != nil {
		t.Fatal(err)
	}
	for n := range maxFolders + 1 {
		write(t, s.Dir(fmt.Sprint(n)), "")
	}
	if _, err := s.Load(t.Context()); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load: %v", err)
	}
	if _, err := List(dir); err == nil {
		t.Error("list of everything")
	}
}

// The text of JSON is Python's.
func TestEncodeJSON(t *testing.T) {
	got, err := encodeJSON(map[string]any{"a": `x:"y,\`, "b": []string{"<é>", "\U0001f512", "\x7f"}, "c": struct{}{}})
	want := `{"a": "x:\"y,\\", "b": ["<\u00e9>", "\ud83d\udd12", "\u007f"], "c": {}}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestInfoIs(t *testing.T) {
	i := Info{ID: "a", Former: []string{"b", "c"}}
	got := []bool{i.Is("a"), i.Is("b"), i.Is("c"), i.Is("d"), i.Is("")}
	if want := []bool{true, true, true, false, false}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

package accounts

import (
	"testing"
	"time"
)

func TestPlaceOf(t *testing.T) {
	o := startOracle(t)
	for server, want := range map[string]string{
		"https://acme-v02.api.letsencrypt.org/directory": "acme-v02.api.letsencrypt.org/directory",
		"https://127.0.0.1:14000/dir":                    "127.0.0.1:14000/dir",
		"http://[::1]:14000/dir":                         "[::1]:14000/dir",
		"https://ca.test/acme/acme/directory?x=/y#/z":    "ca.test/acme/acme/directory",
		"https://ca.test/a%20b/dir":                      "ca.test/a%20b/dir",
		"https://ca.test/dir;v=1":                        "ca.test/dir",
		"https://CA.test/dir/":                           "CA.test/dir",
		"https://ca.test":                                "ca.test",
	} {
		got, err := placeOf(server)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", server, got, err, want)
		}
		// certbot agrees: what it stores is found there.
		dir := t.TempDir()
		id := o.register(dir, server, "https://ca.test/1")
		s := open(t, dir, server, Options{})
		if list, err := s.List(t.Context()); err != nil || len(list) != 1 || list[0].ID != id {
			t.Errorf("%s: %+v, %v", server, list, err)
		}
	}
	for _, server := range []string{"", "ca.test", "https://", "https:///dir", "https://../x", "https://ca.test/../../etc", "https://ca.test/./x", "https://ca.test/\x00"} {
		if s, err := Open(t.TempDir(), server, Options{}); err == nil {
			t.Errorf("%q is at %s", server, s.Dir(""))
		}
	}
	for _, id := range []string{"..", ".", "a/b", "\x00"} {
		if _, err := Open(t.TempDir(), testServer, Options{Account: id}); err == nil {
			t.Errorf("account %q", id)
		}
	}
}

const (
	testServer = "https://ca.test/dir"
	v02        = "https://acme-v02.api.letsencrypt.org/directory"
	v01        = "https://acme-v01.api.letsencrypt.org/directory"
)

func open(t testing.TB, dir, server string, o Options) *Store {
	t.Helper()
	o.KeySize, o.Host = 1024, "host.test" // quick
	if o.Now == nil {
		o.Now = func() time.Time { return time.Date(2026, 11, 24, 1, 2, 3, 4, time.UTC) }
	}
	s, err := Open(dir, server, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

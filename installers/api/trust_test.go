package api_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/installers/api"
	"edge/internal/edgetest/targettest"
)

// A leaf is trusted by any of several fingerprints, and by no other; by roots of a file.
func TestTrust(t *testing.T) {
	s := targettest.NewService(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	other := strings.Repeat("0A:", 31) + "0a"
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.RootsPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	roots, err := api.Roots(ca)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    api.Options
		says string
	}{
		"one of two":  {api.Options{Fingerprint: other + ", " + strings.ToUpper(s.Fingerprint)}, ""},
		"none of two": {api.Options{Fingerprint: other + "," + strings.Repeat("00", 32)}, "not the one that was given"},
		"roots":       {api.Options{Roots: roots}, ""},
		"no roots":    {api.Options{}, "unknown authority"},
	} {
		c.o.Base, c.o.Tries = s.URL, 1
		client, err := api.New(c.o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Do(context.Background(), api.Request{Method: http.MethodGet, Path: "/"})
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"zz", "00", other + ",", s.Fingerprint + " " + s.Fingerprint} {
		if _, err := api.New(api.Options{Base: s.URL, Fingerprint: bad}); err == nil {
			t.Errorf("fingerprint %q was taken", bad)
		}
	}
	if none, err := api.Roots(""); none != nil || err != nil {
		t.Errorf("%v %v", none, err)
	}
	for _, bad := range []string{"/dev/zero", "/nowhere", t.TempDir()} {
		if _, err := api.Roots(bad); err == nil {
			t.Errorf("%s was taken for roots", bad)
		}
	}
}

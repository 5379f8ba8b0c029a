package sftp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge"
	"edge/internal/edgetest/targettest"
)

// Each name has its folder; folders that were there, or have something in them, stay.
func TestWebroots(t *testing.T) {
	s := newSSHD(t)
	all, one := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(one, ".well-known"), 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := NewAuthenticator(s.options(), []string{all, "b.example.test=" + one})
	if err != nil {
		t.Fatal(err)
	}
	batch := []edge.Answer{targettest.Answer(edge.HTTP01, "a.example.test", "tokA"), targettest.Answer(edge.HTTP01, "b.example.test", "tokB")}
	if err := a.Present(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for i, root := range []string{all, one} {
		path := filepath.Join(root, edge.HTTP01Prefix, batch[i].Token)
		if got := read(t, path); got != batch[i].KeyAuth {
			t.Errorf("%s: %q", path, got)
		}
		for at := path; at != root; at = filepath.Dir(at) {
			info, err := os.Stat(at)
			if theirs := at == filepath.Join(one, ".well-known"); err != nil || info.Mode().Perm()&0o044 != 0o044 != theirs {
				t.Errorf("%s: %v", at, info.Mode())
			}
		}
	}
	theirs := filepath.Join(all, edge.HTTP01Prefix, "theirs")
	write(t, theirs, "x", 0o644)
	for _, x := range batch { // one after the other
		if err := a.Cleanup(t.Context(), []edge.Answer{x}); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, theirs) != "x" {
		t.Error("a file of somebody else went")
	}
	if entries, _ := os.ReadDir(filepath.Join(one, ".well-known")); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
	if _, err := os.Stat(filepath.Join(one, ".well-known")); err != nil {
		t.Errorf("a folder that was there: %v", err)
	}
}

func TestRefused(t *testing.T) {
	s := newSSHD(t)
	root := t.TempDir()
	a, err := NewAuthenticator(s.options(), []string{"a.test=" + root, "gone.test=" + filepath.Join(root, "gone")})
	if err != nil {
		t.Fatal(err)
	}
	good := targettest.Answer(edge.HTTP01, "a.test", "tok")
	for want, bad := range map[string]edge.Answer{
		"not done here":  targettest.Answer(edge.DNS01, "a.test", "tok"),
		"no single name": targettest.Answer(edge.HTTP01, "*.a.test", "tok"),
		"no webroot for": targettest.Answer(edge.HTTP01, "b.test", "tok"),
		"base64url":      targettest.Answer(edge.HTTP01, "a.test", "../tok"),
	} {
		if err := a.Present(t.Context(), []edge.Answer{good, bad}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if entries, _ := os.ReadDir(root); len(entries) != 0 {
			t.Errorf("%s: %v was made", want, entries)
		}
	}
	gone := targettest.Answer(edge.HTTP01, "gone.test", "tok")
	if err := a.Present(t.Context(), []edge.Answer{gone}); err == nil || !strings.Contains(err.Error(), "webroot "+root+"/gone") {
		t.Errorf("%v", err)
	}
	if err := a.Cleanup(t.Context(), []edge.Answer{gone}); err != nil {
		t.Error(err)
	}
}

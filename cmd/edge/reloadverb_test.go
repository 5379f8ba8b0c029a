package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/internal/edgetest"
)

// edge reload says that it has reloaded only what it has checked.
func TestReloadOfAnotherFile(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	own := r.configure("  - hosts: [www.example.test]\n    proxy: BACKEND\n")
	r.start()
	reload := func(path string) (string, error) {
		var out strings.Builder
		cmd := newReload()
		cmd.SetArgs([]string{"--config", path})
		cmd.SetOut(&out)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		return out.String(), cmd.Execute()
	}
	if _, err := reload(own); err != nil {
		t.Error(err)
	}
	link := filepath.Join(r.dir, "link.yaml")
	if err := os.Symlink(own, link); err != nil {
		t.Fatal(err)
	}
	if _, err := reload(link); err != nil {
		t.Errorf("the same file by another name: %v", err)
	}
	b, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reload(r.write("other.yaml", string(b))); err == nil || !strings.Contains(err.Error(), own) {
		t.Errorf("another file: got %v, want the name of the one that edge reads", err)
	}
	if n := strings.Count(r.log.String(), "configuration reloaded"); n != 2 {
		t.Errorf("%d reloads, want 2", n)
	}
}

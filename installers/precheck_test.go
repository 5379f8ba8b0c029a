package installers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPrecheck(t *testing.T) {
	now := time.Now()
	root := recipe{serial: 100}.make(t)
	middle := recipe{serial: 101, parent: root}.make(t)
	leaf := recipe{serial: 102, parent: middle, names: []string{"a.test", "*.b.test"}}.make(t)
	other := recipe{serial: 103, parent: root, names: []string{"a.test"}, rsa: true}.make(t)
	// As root by name, with another key.
	impostor := recipe{serial: 101}.make(t)
	dir := t.TempDir()
	good := leaf.lineage(t, dir+"/good", middle, root)
	expired := recipe{serial: 1, names: []string{"a.test"}, notBefore: now.Add(-2 * time.Hour), notAfter: now.Add(-time.Hour)}.make(t)
	early := recipe{serial: 1, names: []string{"a.test"}, notBefore: now.Add(time.Hour), notAfter: now.Add(2 * time.Hour)}.make(t)
	open := leaf.lineage(t, dir+"/open", middle)
	openTo(t, open.Key, 0o644)
	group := leaf.lineage(t, dir+"/group", middle)
	openTo(t, group.Key, 0o640)
	hidden := leaf.lineage(t, dir+"/hidden", middle)
	openTo(t, hidden.Key, 0o644)
	openTo(t, dir+"/hidden", 0o700)
	separate := good
	separate.FullChain = ""
	mixed := good
	mixed.Cert = other.lineage(t, dir+"/other").Cert
	foreign := good
	foreign.Key = dir + "/other/privkey.pem"
	write(t, dir+"/empty.pem", "nothing", 0o600)
	for i, c := range []struct {
		cert  Certificate
		names []string
		want  string
	}{
		{good, []string{"a.test", "x.b.test", "*.b.test", "A.test"}, ""},
		{separate, []string{"a.test"}, ""},
		{leaf.lineage(t, dir+"/alone"), nil, ""},
		{group, nil, ""},
		{hidden, nil, ""},
		{good, []string{"a.test", "b.test"}, "is for a.test, *.b.test, not for b.test: get one"},
		{good, []string{"*.a.test"}, "not for *.a.test"},
		{good, []string{"x.y.b.test"}, "not for x.y.b.test"},
		{leaf.lineage(t, dir+"/disorder", root, middle), nil, "certificate 2 (CN=number 100) did not issue the one before it"},
		{leaf.lineage(t, dir+"/impostor", impostor), nil, "certificate 2 did not sign the one before it"},
		{expired.lineage(t, dir+"/expired"), nil, "expired on "},
		{early.lineage(t, dir+"/early"), nil, "is not valid before "},
		{mixed, nil, "have different certificates"},
		{foreign, nil, "does not go with the certificate"},
		{open, nil, "can be read by everyone: chmod o= "},
		{Certificate{FullChain: dir + "/empty.pem"}, nil, "there is no certificate (PEM) in "},
		{Certificate{FullChain: dir + "/none"}, nil, "no such file"},
		{Certificate{FullChain: good.FullChain, Key: dir + "/empty.pem"}, nil, "failed to find any PEM data in key"},
		{Certificate{FullChain: good.FullChain}, nil, "no file with the private key"},
		{Certificate{Key: good.Key}, nil, "no file with a certificate"},
	} {
		// Every folder on the way is open, as the rest of the path of t.TempDir is not.
		got, err := precheck(c.cert, c.names, now)
		switch {
		case c.want == "" && (err != nil || got == nil):
			t.Errorf("%d: %v", i, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%d: %v; want %s", i, err, c.want)
		}
	}
}

func openTo(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(path); dir != "/" && dir != "/tmp"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// What is wrong with a certificate is found before anything is changed.
func TestPrecheckOfApply(t *testing.T) {
	b := setUp(t)
	b.request.Names = []string{"other.test"}
	b.failsAt(t, t.Context(), Precheck, Untouched, "toy: precheck: ", "not for other.test", "nothing was changed")
	b.request.Names = nil
	for _, c := range []struct {
		change Change
		want   string
	}{
		{Change{Path: "sites/a"}, "not absolute"},
		{Change{Path: b.dir + "/sites/../sites/x", Op: Create}, "not absolute and clean"},
		{Change{Path: b.dir + "/sites/x\ny", Op: Create}, "cannot be noted"},
		{Change{Path: b.dir + "/sites/x\u2028y", Op: Create}, "cannot be noted"},
		{Change{Path: b.dir + "/sites/b", Op: Create}, "has been changed since the plan was made"},
		{Change{Path: b.dir + "/link/x", Op: Create}, "by way of a symbolic link: plan for that"},
		{Change{Path: b.dir + "/link"}, "it is not a regular file, but a symbolic link"},
		{Change{Path: b.dir + "/none/x", Op: Create}, "no such file"},
		{Change{Path: b.dir + "/sites"}, "it is not a regular file"},
		{Change{Path: b.dir + "/link", Op: Delete, Target: "elsewhere"}, "has been changed since"},
		{b.plan.Changes[0], "two changes of"},
	} {
		_ = os.Symlink("sites", b.dir+"/link")
		plan := *b.plan
		plan.Changes = append([]Change{b.plan.Changes[0]}, c.change)
		if _, err := b.runner.Apply(t.Context(), b, &plan, b.request); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %s", c.change, err, c.want)
		}
	}
	b.plan.Commands = []Command{{Undo: []string{"a\nb"}}}
	b.failsAt(t, t.Context(), Precheck, Untouched, "cannot be noted")
}

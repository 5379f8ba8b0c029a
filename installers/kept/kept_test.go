package kept

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/internal/edgetest"
)

func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	file := func(name, where string) *File { return &File{Dir: dir, Kind: "toy", Name: name, Where: where} }
	f := file("*.a.test", "/x")
	if p, err := f.load(); p != nil || err != nil {
		t.Fatalf("nothing was kept: %v %v", p, err)
	}
	for range 2 { // the second takes the first one's place
		b := edgetest.NewChain(t, time.Now().Add(time.Hour), "a.test")
		if err := f.save(b.Chain, b.Key); err != nil {
			t.Fatal(err)
		}
		p, err := f.load()
		if err != nil || string(p.Chain) != string(b.Chain) || string(p.Key) != string(b.Key) || p.TLS.Leaf.DNSNames[0] != "a.test" {
			t.Fatalf("%+v %v", p, err)
		}
	}
	for _, other := range []*File{file("b.test", "/x"), file("*.a.test", "/y")} {
		if p, err := other.load(); p != nil || err != nil {
			t.Errorf("%s at %s has what is another's: %v", other.Name, other.Where, err)
		}
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if info, err = os.Stat(f.path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestNoFolder(t *testing.T) {
	f := &File{Kind: "toy", Name: "a.test"}
	if err := f.save([]byte("x"), []byte("y")); err != nil {
		t.Error(err)
	}
	if p, err := f.load(); p != nil || err != nil {
		t.Errorf("%v %v", p, err)
	}
}

// What somebody else has put there, or what is no pair, is not put anywhere.
func TestNotOurs(t *testing.T) {
	a, b := edgetest.NewChain(t, time.Now().Add(time.Hour), "a.test"), edgetest.NewChain(t, time.Now().Add(time.Hour), "a.test")
	for name, c := range map[string]struct {
		content []byte
		mode    os.FileMode
		says    string
	}{
		"readable":   {append(a.Chain, a.Key...), 0o644, "others can read or write it"},
		"two":        {append(b.Chain, a.Key...), 0o600, "private key does not match"},
		"no key":     {b.Chain, 0o600, "failed to find"},
		"empty":      {nil, 0o600, "failed to find"},
		"much of it": {make([]byte, maxFile+1), 0o600, "more than"},
	} {
		f := &File{Dir: t.TempDir(), Kind: "toy", Name: "a.test"}
		if err := os.WriteFile(f.path(), c.content, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := f.load(); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "remove the file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := &File{Dir: t.TempDir(), Kind: "toy", Name: "a.test"}
	good := f.path() + ".good"
	if err := errors.Join(os.WriteFile(good, append(a.Chain, a.Key...), 0o600), os.Symlink(good, f.path())); err != nil {
		t.Fatal(err)
	}
	if _, err := f.load(); err == nil {
		t.Error("a link was followed")
	}
}

package lineage

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"edge/internal/configobj"
)

// certbot sorts the names of files, not those of lineages.
func TestNames(t *testing.T) {
	tree := newTree(t)
	if names, err := tree.Names(); err != nil || len(names) > 0 {
		t.Errorf("%v, %v", names, err)
	}
	for _, file := range []string{"a.conf", "a-0001.conf", "b.conf", "B.conf", ".c.conf", "d.conf.new", "e", ".conf"} {
		write(t, filepath.Join(tree.Dirs().Config, "renewal", file), "")
	}
	names, err := tree.Names()
	if want := []string{"B", "a-0001", "a", "b"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%q, %v; want %q", names, err, want)
	}
}

// damage breaks a lineage. What certbot says of it is in want, unless it is only known
// when certbot says it.
type damage struct {
	name string
	do   func(t *testing.T, l *Lineage)
}

func edit(old, new string) func(*testing.T, *Lineage) {
	return func(t *testing.T, l *Lineage) {
		data, err := os.ReadFile(l.ConfPath())
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), old, new)
		if text == string(data) {
			t.Fatalf("there is no %q", old)
		}
		write(t, l.ConfPath(), text)
	}
}

var damages = []damage{
	{"unparsable", edit("version", "[[broken\nversion")},
	{"twice", edit("version = 2.1.0", "version = 2.1.0\nversion = 2.1.0")},
	{"file", func(t *testing.T, l *Lineage) {
		data, err := l.Read(Chain)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(l.Path(Chain)); err != nil {
			t.Fatal(err)
		}
		write(t, l.Path(Chain), string(data))
	}},
	{"nolink", func(t *testing.T, l *Lineage) {
		if err := os.Remove(l.Path(FullChain)); err != nil {
			t.Fatal(err)
		}
	}},
	{"dangling", func(t *testing.T, l *Lineage) {
		if err := os.Remove(filepath.Join(l.ArchiveDir(), "privkey1.pem")); err != nil {
			t.Fatal(err)
		}
	}},
	{"loop", func(t *testing.T, l *Lineage) {
		target := filepath.Join(l.ArchiveDir(), "chain1.pem")
		if err := errors.Join(os.Remove(target), os.Symlink("chain1.pem", target)); err != nil {
			t.Fatal(err)
		}
	}},
	{"elsewhere", edit("/live/", "/nowhere/")},
}

// Lineages are broken in certbot's words.
func TestLoadBroken(t *testing.T) {
	root := t.TempDir()
	tree := openTree(root, nil)
	create(t, tree, "good")
	for _, d := range damages {
		d.do(t, create(t, tree, d.name))
	}
	before := snapshot(t, filepath.Join(tree.Dirs().Config, "renewal")) + snapshot(t, filepath.Join(tree.Dirs().Config, "live"))
	said := map[string]string{}
	for _, m := range regexp.MustCompile(`Renewal configuration file (?:.*)/(.*)\.conf produced an unexpected error: (.*)\. Skipping\.`).FindAllStringSubmatch(
		certbot(t, root, "certificates"), -1) {
		said[m[1]] = m[2]
	}
	for _, d := range damages {
		_, err := tree.Load(d.name)
		var broken *BrokenError
		if !errors.As(err, &broken) {
			t.Errorf("%s: %v", d.name, err)
			continue
		}
		if said[d.name] == "" || broken.Error() != said[d.name] {
			t.Errorf("%s: %q; certbot says %q", d.name, broken.Error(), said[d.name])
		}
	}
	load(t, tree, "good")
	if after := snapshot(t, filepath.Join(tree.Dirs().Config, "renewal")) + snapshot(t, filepath.Join(tree.Dirs().Config, "live")); after != before {
		t.Error("reading has written")
	}
}

// What certbot's text has in it besides, or what makes certbot fall over.
func TestLoadBrokenOtherwise(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*testing.T, *Lineage)
		want string
	}{
		"missing":       {edit("chain = ", "nochain = "), "renewal config file %s is missing a required file reference"},
		"list":          {edit("/cert.pem", "/cert.pem, b"), "error parsing %s"},
		"relative":      {edit("archive_dir = /", "archive_dir = "), "error parsing %s"},
		"interpolation": {edit("version = 2.1.0", "version = %(nothing)s"), "error parsing %s"},
		"huge":          {func(t *testing.T, l *Lineage) { write(t, l.ConfPath(), strings.Repeat("#\n", maxFile)) }, "error parsing %s"},
		"pipe": {func(t *testing.T, l *Lineage) {
			if err := errors.Join(os.Remove(l.ConfPath()), syscall.Mkfifo(l.ConfPath(), 0o600)); err != nil {
				t.Fatal(err)
			}
		}, "error parsing %s"},
		"folder": {func(t *testing.T, l *Lineage) {
			if err := errors.Join(os.Remove(l.ConfPath()), os.Mkdir(l.ConfPath(), 0o700)); err != nil {
				t.Fatal(err)
			}
		}, "error parsing %s"},
	} {
		tree := newTree(t)
		l := create(t, tree, "one.example")
		c.do(t, l)
		_, err := tree.Load("one.example")
		var broken *BrokenError
		if want := strings.ReplaceAll(c.want, "%s", l.ConfPath()); !errors.As(err, &broken) || broken.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if _, err := tree.Repair(t.Context()); err != nil {
			t.Errorf("%s: repair: %v", name, err)
		}
	}
	tree := newTree(t)
	for _, name := range []string{"one.example", "../renewal/one.example", "", "."} {
		_, err := tree.Load(name)
		var missing *NotFoundError
		if !errors.As(err, &missing) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	for name, do := range map[string]func(l *Lineage, other [4][]byte) (Kind, []byte){
		"another's key":       func(_ *Lineage, other [4][]byte) (Kind, []byte) { return PrivKey, other[PrivKey] },
		"another's leaf":      func(_ *Lineage, other [4][]byte) (Kind, []byte) { return Cert, other[Cert] },
		"another's fullchain": func(_ *Lineage, other [4][]byte) (Kind, []byte) { return FullChain, other[FullChain] },
		"a leaf as chain":     func(_ *Lineage, other [4][]byte) (Kind, []byte) { return Chain, other[Cert] },
		"another's issuer":    func(_ *Lineage, other [4][]byte) (Kind, []byte) { return Chain, other[Cert] },
		"nothing":             func(*Lineage, [4][]byte) (Kind, []byte) { return Chain, nil },
	} {
		tree := newTree(t)
		l := create(t, tree, "one.example")
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
		chain, key := pair(t, "two.example")
		other, err := split(chain, key)
		if err != nil {
			t.Fatal(err)
		}
		kind, data := do(l, other)
		write(t, filepath.Join(l.ArchiveDir(), kind.archived(1)), string(data))
		if name == "another's issuer" {
			leaf, err := l.Read(Cert)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(l.ArchiveDir(), "fullchain1.pem"), string(leaf)+string(data))
		}
		if l.Check() == nil {
			t.Errorf("%s was not noticed", name)
		}
		entries, err := tree.List(t.Context())
		var broken *BrokenError
		if err != nil || len(entries) != 1 || !errors.As(entries[0].Err, &broken) || entries[0].Lineage != nil {
			t.Errorf("%s: list %+v, %v", name, entries, err)
		}
	}
}

// A file may have another name than what is in it says, and an archive may be anywhere.
func TestLoadRenamed(t *testing.T) {
	root := t.TempDir()
	tree := openTree(root, nil)
	l := create(t, tree, "one.example")
	if err := os.Rename(l.ConfPath(), tree.ConfPath("two.example")); err != nil {
		t.Fatal(err)
	}
	l = load(t, tree, "two.example")
	if l.Name() != "two.example" || filepath.Base(l.ArchiveDir()) != "one.example" || filepath.Base(l.LiveDir()) != "one.example" {
		t.Errorf("%s in %s and %s", l.Name(), l.ArchiveDir(), l.LiveDir())
	}
	if n := renew(t, l); n != 2 {
		t.Errorf("version %d", n)
	}
	if out := certbot(t, root, "certificates"); !strings.Contains(out, "Certificate Name: two.example") {
		t.Errorf("certbot says\n%s", out)
	}
}

// Files of certbot before 0.9 have no archive_dir, and no key_type before 1.25.
func TestOldForms(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	edit("archive_dir", "#")(t, l)
	edit("key_type", "#")(t, l)
	edit("https://127.0.0.1:24000/dir", "https://acme-v01.api.letsencrypt.org/directory")(t, l)
	edit("version = 2.1.0\n", "")(t, l)
	l = load(t, tree, "one.example")
	if want := filepath.Join(tree.Dirs().Config, "archive", "one.example"); l.ArchiveDir() != want {
		t.Errorf("archive %s", l.ArchiveDir())
	}
	p, err := l.Params()
	if err != nil || p.KeyType() != "rsa" || p.Server() != "https://acme-v02.api.letsencrypt.org/directory" {
		t.Errorf("%+v, %v", p, err)
	}
	// Renamed as well: the links know where the archive is.
	if err := os.Rename(l.ConfPath(), tree.ConfPath("two.example")); err != nil {
		t.Fatal(err)
	}
	l = load(t, tree, "two.example")
	if renew(t, l) != 2 || l.ArchiveDir() != filepath.Join(tree.Dirs().Config, "archive", "one.example") {
		t.Errorf("archive %s", l.ArchiveDir())
	}
	if got, _ := l.conf.doc.Root().Get("archive_dir"); got.String() != l.ArchiveDir() {
		t.Errorf("archive_dir = %s", got)
	}
}

func TestRenewable(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	if err := l.Renewable(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"authenticator", "noauthenticator", "does not specify an authenticator. Skipping."},
		{"[renewalparams]", "[other]", "lacks renewalparams. Skipping."},
	} {
		edit(c.old, c.new)(t, l)
		l = load(t, tree, "one.example")
		var broken *BrokenError
		if err := l.Renewable(); !errors.As(err, &broken) || broken.Error() != "Renewal configuration file "+l.ConfPath()+" "+c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

func TestSettings(t *testing.T) {
	for text, want := range map[string]bool{"True": true, "False": false, "no": false, "ON": true, "0": false} {
		p := Params{Renewal: Section{{Key: "autorenew", Value: configobj.String(text)}}}
		if got, err := p.Autorenew(); err != nil || got != want {
			t.Errorf("autorenew = %s: %v, %v", text, got, err)
		}
	}
	if got, err := (&Params{}).Autorenew(); err != nil || !got {
		t.Errorf("no autorenew: %v, %v", got, err)
	}
	p := Params{Renewal: Section{{Key: "autorenew", Value: configobj.String("perhaps")}}}
	if _, err := p.Autorenew(); err == nil {
		t.Error("autorenew = perhaps is no error")
	}
}

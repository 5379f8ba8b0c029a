package lineage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"edge"
	"edge/internal/configobj"
)

// Files of certbot 2.1 come out again from what they say.
func TestConfAsCertbotWritesIt(t *testing.T) {
	for _, name := range []string{"a.example.test-0001", "a.example.test", "ap1.example.test", "ap1x", "m1.example.test", "n1.example.test", "w1.example.test"} {
		want := shared(t, "golden/letsencrypt/"+name+".conf")
		file := filepath.Join(t.TempDir(), name)
		write(t, file, string(want))
		c, err := readConf(file)
		if err != nil {
			t.Fatal(err)
		}
		params, err := c.params()
		if err != nil {
			t.Fatal(err)
		}
		l := &Lineage{name: name, archive: "/lab/le/archive/" + name}
		for _, kind := range Kinds() {
			l.links[kind].path = "/lab/le/live/" + name + "/" + kind.live()
		}
		got, err := newConf(l, &params)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
		if got, err = c.changed(l, &params); err != nil || string(got) != string(want) {
			t.Errorf("%s: written again: %v\n%s\nwant\n%s", name, err, got, want)
		}
	}
}

func TestReadmeAsCertbotWritesIt(t *testing.T) {
	if want := shared(t, "golden/letsencrypt/lineage-README"); string(liveReadme()) != string(want) {
		t.Errorf("%s\nwant\n%s", liveReadme(), want)
	}
	if want := shared(t, "golden/letsencrypt/live-README"); string(baseReadme()) != string(want) {
		t.Errorf("%s\nwant\n%s", baseReadme(), want)
	}
}

// Modes are certbot's under any umask.
func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	tree := newTree(t)
	create(t, tree, "one.example")
	renew(t, load(t, tree, "one.example"))
	for path, want := range map[string]fs.FileMode{
		"": 0o755, "renewal": 0o755, "archive": 0o700, "live": 0o700, "live/README": 0o644,
		"renewal/one.example.conf": 0o644, "archive/one.example": 0o755, "live/one.example": 0o755, "live/one.example/README": 0o644,
		"archive/one.example/cert1.pem": 0o644, "archive/one.example/chain1.pem": 0o644, "archive/one.example/fullchain1.pem": 0o644,
		"archive/one.example/privkey1.pem": 0o600, "archive/one.example/privkey2.pem": 0o600, "archive/one.example/cert2.pem": 0o644,
	} {
		info, err := os.Stat(filepath.Join(tree.Dirs().Config, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
}

func TestCreateNames(t *testing.T) {
	tree := newTree(t)
	chain, key := pair(t, "one.example")
	o := CreateOptions{Name: "one.example", Chain: chain, Key: key}
	for _, want := range []string{"one.example", "one.example-0001", "one.example-0002"} {
		l, err := tree.Create(o)
		if err != nil || l.Name() != want {
			t.Fatalf("%v, %v; want %s", l, err, want)
		}
	}
	o.Exact = true
	if _, err := tree.Create(o); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name that is taken: %v", err)
	}
	for _, name := range []string{"", ".", "..", "a/b", "../x", ".hidden", "-n", "a\nb", "a\x00b", strings.Repeat("a", 300)} {
		o.Name = name
		if _, err := tree.Create(o); !errors.Is(err, edge.ErrLineageName) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

// What lies in a folder may be needed; an empty one is taken.
func TestCreateKeepsFolders(t *testing.T) {
	for _, dir := range []string{"archive", "live"} {
		tree := newTree(t)
		path := filepath.Join(tree.Dirs().Config, dir, "one.example")
		if err := os.MkdirAll(path, 0o750); err != nil {
			t.Fatal(err)
		}
		create(t, tree, "one.example")
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o750 {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}

		tree = newTree(t)
		path = filepath.Join(tree.Dirs().Config, dir, "one.example")
		write(t, filepath.Join(path, "precious"), "x")
		before := snapshot(t, path)
		chain, key := pair(t, "one.example")
		_, err := tree.Create(CreateOptions{Name: "one.example", Chain: chain, Key: key})
		if err == nil || err.Error() != dir+" directory exists for one.example" {
			t.Errorf("%s: %v", dir, err)
		}
		if tree.Exists("one.example") || snapshot(t, path) != before || len(leftovers(t, tree)) > 0 {
			t.Errorf("%s: something was made: %v", dir, leftovers(t, tree))
		}
	}
}

// A link that leads nowhere may lead somewhere tomorrow.
func TestCreateKeepsLinks(t *testing.T) {
	tree := newTree(t)
	if err := errors.Join(os.MkdirAll(tree.archiveDir(), 0o700), os.Symlink("/not/mounted", filepath.Join(tree.archiveDir(), "one.example"))); err != nil {
		t.Fatal(err)
	}
	chain, key := pair(t, "one.example")
	if _, err := tree.Create(CreateOptions{Name: "one.example", Chain: chain, Key: key}); err == nil || err.Error() != "archive directory exists for one.example" {
		t.Error(err)
	}
}

func TestCreateRefuses(t *testing.T) {
	chain, key := pair(t, "one.example")
	_, other := pair(t, "one.example")
	leaf := chain[:strings.LastIndex(string(chain), "-----BEGIN")]
	for what, o := range map[string]CreateOptions{
		"another's key":    {Chain: chain, Key: other},
		"no chain":         {Chain: leaf, Key: key},
		"no certificate":   {Key: key},
		"no key":           {Chain: chain},
		"an unknown group": {Chain: chain, Key: key, KeyGroup: "no such group"},
		"a reference":      {Chain: chain, Key: key, Params: &Params{Renewal: Section{{Key: "pre_hook", Value: configobj.String("date +%(x)s")}}}},
		"an unwritable":    {Chain: chain, Key: key, Params: &Params{Renewal: Section{{Key: "pre_hook", Value: configobj.String("''' \"\"\" \n")}}}},
	} {
		tree := newTree(t)
		o.Name = "one.example"
		if _, err := tree.Create(o); err == nil {
			t.Errorf("%s was taken", what)
		}
		if tree.Exists(o.Name) || len(leftovers(t, tree)) > 0 || lexists(filepath.Join(tree.Dirs().Config, "archive", o.Name)) {
			t.Errorf("%s: something was made", what)
		}
	}
}

func TestCreateKeyGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run the tests as root: files are given to groups")
	}
	tree := newTree(t)
	chain, key := pair(t, "one.example")
	// Certificates are written anew, without what a CA puts between them.
	chain = append([]byte("Subject: one\r\n"), chain...)
	l, err := tree.Create(CreateOptions{Name: "one.example", Chain: chain, Key: key, KeyGroup: "daemon", KeyMode: 0o666})
	if err != nil {
		t.Fatal(err)
	}
	checkKey(t, l, 1, 0o664)
	if full, err := l.Read(FullChain); err != nil || strings.Contains(string(full), "Subject") {
		t.Errorf("%s, %v", full, err)
	}
}

// checkKey looks at the file of a key that belongs to the group 1.
func checkKey(t *testing.T, l *Lineage, version int, mode fs.FileMode) {
	t.Helper()
	info, err := os.Stat(filepath.Join(l.ArchiveDir(), PrivKey.archived(version)))
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != mode || s.Gid != 1 || s.Uid != 0 {
		t.Errorf("key of version %d: mode %v, owner %d:%d; want %v, 0:1", version, info.Mode().Perm(), s.Uid, s.Gid, mode)
	}
}

package accounts

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"edge/internal/durable"
)

// linkTrees are what certbot makes of accounts that Let's Encrypt's servers share.
var linkTrees = []struct {
	name  string
	build func(o *oracle, dir string) (id string)
}{
	{"only v02", func(o *oracle, dir string) string { return o.register(dir, v02, "https://le.test/1") }},
	{"two at v02", func(o *oracle, dir string) string {
		o.register(dir, v02, "https://le.test/1")
		return o.register(dir, v02, "https://le.test/2")
	}},
	{"folder linked", func(o *oracle, dir string) string {
		id := o.register(dir, v01, "https://le.test/1")
		o.found(dir, v02)
		return id
	}},
	{"folder of two linked", func(o *oracle, dir string) string {
		o.register(dir, v01, "https://le.test/1")
		id := o.register(dir, v01, "https://le.test/2")
		o.found(dir, v02)
		return id
	}},
	{"one linked", func(o *oracle, dir string) string {
		id := o.register(dir, v01, "https://le.test/1")
		o.register(dir, v02, "https://le.test/2")
		o.ask(question{Do: "load", Dir: dir, Server: v02, ID: id})
		return id
	}},
	{"the other one linked", func(o *oracle, dir string) string {
		id := o.register(dir, v01, "https://le.test/1")
		other := o.register(dir, v02, "https://le.test/2")
		o.ask(question{Do: "load", Dir: dir, Server: v02, ID: id})
		return other
	}},
}

// copyTree copies accounts/, and makes links that lead into it lead into the copy.
func copyTree(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	err := filepath.WalkDir(filepath.Join(from, "accounts"), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		dest := to + strings.TrimPrefix(path, from)
		switch {
		case e.IsDir():
			return os.Mkdir(dest, info.Mode().Perm())
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(strings.Replace(target, from, to, 1), dest)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(dest, b, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// Deactivation leaves what certbot's unregister leaves.
func TestDeactivateAsCertbotDoes(t *testing.T) {
	o := startOracle(t)
	for _, c := range linkTrees {
		for _, server := range []string{v01, v02} {
			t.Run(c.name+" "+server, func(t *testing.T) {
				o := o.of(t)
				theirs := t.TempDir()
				id := c.build(o, theirs)
				ours := copyTree(t, theirs)
				if a := o.try(question{Do: "delete", Dir: theirs, Server: server, ID: id}); a.Error != "" {
					return // it is not at that server
				}
				var removed []string
				s := open(t, ours, server, Options{Account: id, Durable: durable.Writer{Before: func(step durable.Step, path string) error {
					if step == durable.Unlink && filepath.Ext(path) == ".json" {
						removed = append(removed, filepath.Base(path))
					}
					return nil
				}}})
				a, err := s.Load(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				a.Status = "deactivated"
				if err := s.Forget(t.Context(), a); err != nil {
					t.Fatal(err)
				}
				if len(removed) < 3 || removed[0] != keyFile {
					t.Errorf("removed %q; the key goes first", removed)
				}
				if got, want := tree(t, ours), tree(t, theirs); got != want {
					t.Errorf("we leave\n%s\ncertbot leaves\n%s", got, want)
				}
			})
		}
	}
}

// The accounts of v01 are those of v02, whether certbot has made its links yet or not.
func TestSharedAccounts(t *testing.T) {
	o := startOracle(t)
	dir := t.TempDir()
	id := o.register(dir, v01, "https://le.test/1")
	before := tree(t, dir)
	s := open(t, dir, v02, Options{})
	for range 2 {
		a, err := s.Load(t.Context())
		if err != nil || idOf(t, a.Key) != id {
			t.Fatalf("%+v, %v", a, err)
		}
		if list, err := s.List(t.Context()); err != nil || len(list) != 1 || list[0].ID != id {
			t.Errorf("%+v, %v", list, err)
		}
		if err := s.Save(t.Context(), a); err != nil {
			t.Error(err)
		}
		if after := tree(t, dir); after != before {
			t.Errorf("looking changed\n%s\nto\n%s", before, after)
		}
		o.found(dir, v02) // makes the link
		before = tree(t, dir)
	}
	list, err := List(dir)
	if err != nil || len(list) != 2 || list[0].Server != v01 || list[1].Server != v02 {
		t.Errorf("list of all servers: %+v, %v", list, err)
	}
	// An account of v01 can also be chosen where v02 has others.
	dir = t.TempDir()
	id = o.register(dir, v01, "https://le.test/1")
	other := o.register(dir, v02, "https://le.test/2")
	if a, err := open(t, dir, v02, Options{}).Load(t.Context()); err != nil || idOf(t, a.Key) != other {
		t.Errorf("%+v, %v", a, err)
	}
	s = open(t, dir, v02, Options{Account: id})
	if a, err := s.Load(t.Context()); err != nil || idOf(t, a.Key) != id {
		t.Errorf("%+v, %v", a, err)
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}

// A changed key gives the folder its new name by whatever link it is found.
func TestChangeKeyOfLinked(t *testing.T) {
	o := startOracle(t)
	for _, c := range linkTrees {
		dir := t.TempDir()
		id := c.build(o, dir)
		links := strings.Count(tree(t, dir), " -> ")
		count := len(o.found(dir, v02))
		s := open(t, dir, v02, Options{Account: id})
		a, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(c.name, err)
		}
		if a.Key, err = s.NewKey(t.Context()); err != nil {
			t.Fatal(c.name, err)
		}
		if err := s.Save(t.Context(), a); err != nil {
			t.Fatal(c.name, err)
		}
		now := idOf(t, a.Key)
		left := tree(t, dir)
		if strings.Contains(left, id) || strings.Count(left, " -> ") != links {
			t.Errorf("%s: left\n%s", c.name, left)
		}
		found := o.found(dir, v02)
		if !slices.Contains(found, now+" "+a.Location) || len(found) != count {
			t.Errorf("%s: certbot finds %q, not %s", c.name, found, now)
		}
		if got := o.ask(question{Do: "load", Dir: dir, Server: v02, ID: now}).Accounts[0]; got.URI != a.Location {
			t.Errorf("%s: certbot loads %+v", c.name, got)
		}
		// The store that was opened with the old ID goes on, and a new one finds it too.
		for _, s := range []*Store{s, open(t, dir, v02, Options{Account: id}), open(t, dir, v02, Options{Account: now})} {
			if again, err := s.Load(t.Context()); err != nil || !sameKey(again.Key, a.Key) {
				t.Errorf("%s: %+v, %v", c.name, again, err)
			}
		}
		list, err := s.List(t.Context())
		if err != nil || !slices.ContainsFunc(list, func(i Info) bool { return i.ID == now && i.Is(id) }) {
			t.Errorf("%s: %+v, %v", c.name, list, err)
		}
	}
}

// What somebody else's link leads to is not removed.
func TestLinksOutOfTheTree(t *testing.T) {
	o := startOracle(t)
	elsewhere, dir := t.TempDir(), t.TempDir()
	id := o.register(elsewhere, testServer, "https://ca.test/acct/1")
	before := tree(t, elsewhere)
	s := open(t, dir, testServer, Options{})
	if err := s.mkdir(s.Dir("")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(elsewhere, "accounts/ca.test/dir", id), s.Dir(id)); err != nil {
		t.Fatal(err)
	}
	a, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.Status = "deactivated"
	if err := s.Forget(t.Context(), a); err == nil || !strings.Contains(err.Error(), "outside") {
		t.Errorf("forget: %v", err)
	}
	if _, err := os.Lstat(s.Dir(id)); err != nil {
		t.Errorf("the link: %v", err)
	}
	if after := tree(t, elsewhere); after != before {
		t.Errorf("there was\n%s\nleft is\n%s", before, after)
	}
	// A loop of links ends.
	loop := t.TempDir()
	if err := os.MkdirAll(filepath.Join(loop, "accounts/a/b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../..", filepath.Join(loop, "accounts/a/b/c")); err != nil {
		t.Fatal(err)
	}
	if list, err := List(loop); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// Where a change of the key was cut off after the key, certbot's update_account makes
// a folder by the key's name that has a registration and nothing else.
func TestSettleOverCertbotsStub(t *testing.T) {
	o := startOracle(t)
	dir := t.TempDir()
	s := open(t, dir, testServer, Options{})
	a := register(t, s, testURI)
	key, err := s.NewKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.pick(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.changeKey(f, key); err != nil {
		t.Fatal(err)
	}
	stub := s.Dir(idOf(t, key))
	if err := os.Mkdir(stub, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(stub, regrFile), read(t, filepath.Join(f.dir, regrFile)))
	a.Key = key
	if err := s.Save(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if got, want := o.found(dir, testServer), []string{idOf(t, key) + " " + testURI}; !slices.Equal(got, want) {
		t.Errorf("certbot finds %q, want %q", got, want)
	}
}

package lineage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// at says what each link of a lineage points to.
func at(t *testing.T, l *Lineage) string {
	t.Helper()
	var out []string
	for _, kind := range Kinds() {
		text, err := os.Readlink(l.Path(kind))
		if err != nil {
			text = "-"
		}
		out = append(out, strings.TrimPrefix(text, "../../archive/one.example/"))
	}
	return strings.Join(out, " ")
}

func point(t *testing.T, l *Lineage, kind Kind, target string) {
	t.Helper()
	if err := os.Remove(l.Path(kind)); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if target == "" {
		return
	}
	if err := os.Symlink(target, l.Path(kind)); err != nil {
		t.Fatal(err)
	}
}

const (
	atOne = "cert1.pem privkey1.pem chain1.pem fullchain1.pem"
	atTwo = "cert2.pem privkey2.pem chain2.pem fullchain2.pem"
)

// States that crashes and people leave, and what becomes of them. The lineage has two
// versions and is at the second.
func TestRepairLinks(t *testing.T) {
	archive := "../../archive/one.example/"
	back := func(t *testing.T, l *Lineage, kinds ...Kind) {
		for _, kind := range kinds {
			point(t, l, kind, archive+kind.archived(1))
		}
	}
	all := []Kind{Cert, PrivKey, Chain, FullChain}
	for name, c := range map[string]struct {
		do       func(t *testing.T, l *Lineage)
		want     string // where the links are then
		says     string // "" where nothing is to be done
		deployed bool
	}{
		"well":  {func(*testing.T, *Lineage) {}, atTwo, "", false},
		"older": {func(t *testing.T, l *Lineage) { back(t, l, all...) }, atTwo, "Found a new certificate /archive/ that was not linked to in /live/; fixing...", true},
		"mixed": {func(t *testing.T, l *Lineage) { back(t, l, Chain, FullChain) }, atTwo, "different versions or missing; they are of version 2 now", true},
		"lost":  {func(t *testing.T, l *Lineage) { point(t, l, PrivKey, "") }, atTwo, "different versions or missing", true},
		"all lost": {func(t *testing.T, l *Lineage) {
			for _, kind := range all {
				point(t, l, kind, "")
			}
		}, atTwo, "different versions or missing", true},
		"dangling": {func(t *testing.T, l *Lineage) {
			if err := os.Remove(filepath.Join(l.ArchiveDir(), "cert2.pem")); err != nil {
				t.Fatal(err)
			}
		}, atOne, "of version 1 now", true},
		"older, and the newer is not whole": {func(t *testing.T, l *Lineage) {
			back(t, l, all...)
			write(t, filepath.Join(l.ArchiveDir(), "fullchain2.pem"), "half")
		}, atOne, "", false},
		"mixed, and the newer is not whole": {func(t *testing.T, l *Lineage) {
			back(t, l, FullChain)
			write(t, filepath.Join(l.ArchiveDir(), "fullchain2.pem"), "half")
		}, atOne, "of version 1 now", true},
		"a file of somebody": {func(t *testing.T, l *Lineage) {
			back(t, l, Chain)
			point(t, l, Cert, "")
			write(t, l.Path(Cert), "somebody's")
		}, "- privkey2.pem chain1.pem fullchain2.pem", "", false},
		"a link of somebody": {func(t *testing.T, l *Lineage) {
			back(t, l, Chain)
			point(t, l, Cert, "/dev/null")
		}, "/dev/null privkey2.pem chain1.pem fullchain2.pem", "", false},
		"stopped by certbot before a link": {func(t *testing.T, l *Lineage) {
			for _, kind := range all {
				point(t, l, PrivKey, "")
				if err := os.Symlink(archive+kind.archived(1), filepath.Join(l.LiveDir(), "previous_"+kind.live())); err != nil {
					t.Fatal(err)
				}
			}
		}, atTwo, "put the links back that certbot was changing", true},
		"stopped by certbot at its end": {func(t *testing.T, l *Lineage) {
			if err := os.Symlink(archive+"cert1.pem", filepath.Join(l.LiveDir(), "previous_cert.pem")); err != nil {
				t.Fatal(err)
			}
		}, atTwo, "previous_cert.pem, which was left behind", false},
		"stopped by certbot, and nothing newer": {func(t *testing.T, l *Lineage) {
			for _, kind := range all {
				if err := os.Symlink(archive+kind.archived(1), filepath.Join(l.LiveDir(), "previous_"+kind.live())); err != nil {
					t.Fatal(err)
				}
			}
			write(t, filepath.Join(l.ArchiveDir(), "privkey2.pem"), "half")
		}, atOne, "put the links back", false},
		"stopped by certbot long ago": {func(t *testing.T, l *Lineage) {
			for _, kind := range all {
				if err := os.Symlink(archive+kind.archived(9), filepath.Join(l.LiveDir(), "previous_"+kind.live())); err != nil {
					t.Fatal(err)
				}
			}
		}, atTwo, "left behind", false},
		"litter of ours": {func(t *testing.T, l *Lineage) {
			for _, path := range []string{
				filepath.Join(l.ArchiveDir(), ".privkey3.pem.tmp-1"), filepath.Join(l.LiveDir(), ".README.tmp-1"), filepath.Join(l.LiveDir(), ".cert.pem.tmp-1-0"),
				filepath.Join(filepath.Dir(l.ConfPath()), ".one.example.conf.tmp-1"), l.ConfPath() + ".new", filepath.Join(filepath.Dir(l.ArchiveDir()), "..one.example.job.tmp-1"),
			} {
				write(t, path, "x")
			}
		}, atTwo, "left behind", false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			tree := openTree(root, nil)
			l := create(t, tree, "one.example")
			renew(t, l)
			c.do(t, l)
			done := repair(t, tree)
			var said strings.Builder
			deployed := false
			for _, r := range done {
				said.WriteString(r.Text + "\n")
				deployed = deployed || r.Deployed
			}
			if got := at(t, l); got != c.want {
				t.Errorf("links at %s, want %s", got, c.want)
			}
			if name == "stopped by certbot long ago" && strings.Contains(said.String(), "put the links back") ||
				c.says == "" && len(done) > 0 || !strings.Contains(said.String(), c.says) || deployed != c.deployed {
				t.Errorf("says %+v, want %q and deployed %v", done, c.says, c.deployed)
			}
			if found := leftovers(t, tree); len(found) > 0 {
				t.Errorf("left behind: %v", found)
			}
			if again := repair(t, tree); len(again) > 0 {
				t.Errorf("the second repair found %v", again)
			}
			if c.want == atOne && c.says != "" || c.want == atTwo {
				load(t, tree, "one.example")
			}
		})
	}
}

// certbot puts its links back as we do.
func TestRepairAsCertbotDoes(t *testing.T) {
	root := t.TempDir()
	tree := openTree(root, nil)
	l := create(t, tree, "one.example")
	// Version 2 is the same certificate again, so that nothing is newer than either.
	stop := func() {
		for _, kind := range Kinds() {
			data, err := os.ReadFile(filepath.Join(l.ArchiveDir(), kind.archived(1)))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(l.ArchiveDir(), kind.archived(2)), string(data))
			previous := filepath.Join(l.LiveDir(), "previous_"+kind.live())
			if err := os.Symlink("../../archive/one.example/"+kind.archived(2), previous); err != nil {
				t.Fatal(err)
			}
		}
		point(t, l, Cert, "")
	}
	stop()
	certbot(t, root, "certificates")
	theirs := snapshot(t, l.LiveDir())
	for _, kind := range Kinds() {
		point(t, l, kind, "../../archive/one.example/"+kind.archived(1))
	}
	stop()
	repair(t, tree)
	if ours := snapshot(t, l.LiveDir()); ours != theirs || at(t, l) != atTwo {
		t.Errorf("we made\n%s\ncertbot made\n%s", ours, theirs)
	}
}

// An empty renewal file is a name that certbot took before it failed.
func TestRepairEmptyConf(t *testing.T) {
	root := t.TempDir()
	tree := openTree(root, nil)
	precious := filepath.Join(tree.Dirs().Config, "archive", "one.example", "privkey1.pem")
	write(t, precious, "precious")
	write(t, tree.ConfPath("one.example"), "")
	write(t, tree.ConfPath("two.example"), "# not empty\n")
	if done := repair(t, tree); len(done) != 1 || done[0].Name != "one.example" {
		t.Errorf("%v", done)
	}
	if tree.Exists("one.example") || !tree.Exists("two.example") || !exists(precious) {
		t.Error("the empty file goes, the rest stays")
	}
}

// A lineage that was begun under a name that somebody has taken since is given up.
func TestPendingCreation(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, tree *Tree)
		made bool
	}{
		"alone":    {func(*testing.T, *Tree) {}, true},
		"reserved": {func(t *testing.T, tree *Tree) { write(t, tree.ConfPath("one.example"), "") }, true},
		"taken":    {func(t *testing.T, tree *Tree) { write(t, tree.ConfPath("one.example"), "# mine\n") }, false},
		"a key of somebody": {func(t *testing.T, tree *Tree) {
			write(t, filepath.Join(tree.archiveDir(), "one.example", "privkey1.pem"), "mine")
		}, false},
	} {
		root := t.TempDir()
		chain, key := pair(t, "one.example")
		var pending *PendingError
		_, err := openTree(root, failAfter(".one.example.job")).Create(CreateOptions{Name: "one.example", Chain: chain, Key: key, Params: sampleParams()})
		if !errors.As(err, &pending) || pending.What != "create" {
			t.Fatalf("%s: %v", name, err)
		}
		tree := openTree(root, nil)
		if l := create(t, tree, "one.example"); l.Name() != "one.example-0001" {
			t.Errorf("%s: made as %s while another is being made", name, l.Name())
		}
		c.do(t, tree)
		done := repair(t, tree)
		if len(done) == 0 || done[len(done)-1].Deployed != c.made || len(leftovers(t, tree)) > 0 {
			t.Errorf("%s: %+v, left behind %v", name, done, leftovers(t, tree))
		}
		if _, err := tree.Load("one.example"); (err == nil) != c.made {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A job that nobody wrote is left to people, and keeps nothing else from being repaired.
func TestRepairStrangeJobs(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON": "x", "no action": `{"action":"erase","archive":"/x","links":["/a","/b","/c","/d"]}`,
		"a relative path":  `{"action":"delete","archive":"x","links":["/a","/b","/c","/d"]}`,
		"an unclean path":  `{"action":"delete","archive":"/x/../etc","links":["/a","/b","/c","/d"]}`,
		"another's target": `{"action":"renew","version":2,"archive":"/x","links":["/a","/b","/c","/d"],"targets":["/etc/passwd","","",""],"key_mode":384}`,
		"an open key":      `{"action":"renew","version":2,"archive":"/x","links":["/a","/b","/c","/d"],"targets":["cert2.pem","privkey2.pem","chain2.pem","fullchain2.pem"],"key_mode":438}`,
		"too much":         strings.Repeat(" ", maxFile+1),
	} {
		tree := newTree(t)
		l := create(t, tree, "one.example")
		point(t, l, Chain, "")
		path := tree.jobPath("bad.example")
		write(t, path, text)
		done, err := tree.Repair(t.Context())
		if err == nil || !strings.Contains(err.Error(), path) || !exists(path) {
			t.Errorf("%s: %v", name, err)
		}
		if len(done) != 1 {
			t.Errorf("%s: %v", name, done)
		}
		load(t, tree, "one.example")
	}
}

func TestRepairEnds(t *testing.T) {
	tree := newTree(t)
	if done, err := tree.Repair(t.Context()); err != nil || len(done) > 0 || exists(tree.Dirs().Config) {
		t.Errorf("%v, %v", done, err)
	}
	point(t, create(t, tree, "one.example"), Chain, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if done, err := tree.Repair(ctx); !errors.Is(err, context.Canceled) || len(done) > 0 {
		t.Errorf("%v, %v", done, err)
	}
}

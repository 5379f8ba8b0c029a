package lineage

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestDeleteUnparsable(t *testing.T) {
	root := t.TempDir()
	tree := openTree(root, nil)
	damage := edit("version", "[[broken\nversion")
	damage(t, create(t, tree, "theirs.example"))
	out, err := certbotCommand(t, root, "delete", "--cert-name", "theirs.example").CombinedOutput()
	if err == nil {
		t.Fatalf("certbot: %s", out)
	}
	damage(t, create(t, tree, "ours.example"))
	_, err = tree.Delete("ours.example")
	var unparsable *UnparsableError
	if !errors.As(err, &unparsable) {
		t.Fatal(err)
	}
	for _, text := range []string{unparsable.Error(), unparsable.Advice()} {
		// certbot breaks long lines.
		words := strings.Join(strings.Fields(strings.ReplaceAll(text, "ours.example", "theirs.example")), " ")
		if !strings.Contains(strings.Join(strings.Fields(string(out)), " "), words) {
			t.Errorf("certbot does not say %q:\n%s", words, out)
		}
	}
	config := tree.Dirs().Config
	for _, name := range []string{"theirs.example", "ours.example"} {
		if tree.Exists(name) || !exists(filepath.Join(config, "archive", name, "cert1.pem")) || !exists(filepath.Join(config, "live", name, "cert.pem")) {
			t.Errorf("%s: the renewal file goes, the rest stays", name)
		}
	}
	var missing *NotFoundError
	for _, name := range []string{"ours.example", "../renewal/x", ""} {
		if _, err := tree.Delete(name); !errors.As(err, &missing) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// What is broken goes as well.
func TestDeleteBroken(t *testing.T) {
	for _, d := range damages[2:6] {
		tree := newTree(t)
		l := create(t, tree, "one.example")
		d.do(t, l)
		if left, err := tree.Delete("one.example"); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", d.name, left, err)
		}
		checkDelete(t, tree, "")
	}
	// A file that says nothing: what is where it usually is.
	tree := newTree(t)
	l := create(t, tree, crashName)
	write(t, l.ConfPath(), "# nothing\n")
	if left, err := tree.Delete(crashName); err != nil || len(left) > 0 || !checkDelete(t, tree, "") {
		t.Errorf("left %v, %v", left, err)
	}
}

// Nothing that is not the lineage's own is removed, whatever its renewal file says.
func TestDeleteKeepsOthers(t *testing.T) {
	foreign := func(t *testing.T) string {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "cert1.pem"), "precious")
		write(t, filepath.Join(dir, "README"), "precious")
		write(t, filepath.Join(dir, "cert.pem"), "precious")
		return dir
	}
	for name, do := range map[string]func(t *testing.T, tree *Tree, l *Lineage, dir string){
		"archive of somebody": func(t *testing.T, _ *Tree, l *Lineage, dir string) {
			edit("archive_dir = "+l.ArchiveDir(), "archive_dir = "+dir)(t, l)
		},
		"links of somebody": func(t *testing.T, _ *Tree, l *Lineage, dir string) { edit(l.LiveDir(), dir)(t, l) },
		"archive through a link": func(t *testing.T, tree *Tree, l *Lineage, dir string) {
			link := filepath.Join(tree.Dirs().Config, "archive", "link")
			if err := os.Symlink(dir, link); err != nil {
				t.Fatal(err)
			}
			edit("archive_dir = "+l.ArchiveDir(), "archive_dir = "+link)(t, l)
		},
		"live through a link": func(t *testing.T, tree *Tree, l *Lineage, dir string) {
			link := filepath.Join(tree.Dirs().Config, "live", "link")
			if err := os.Symlink(dir, link); err != nil {
				t.Fatal(err)
			}
			edit(l.LiveDir(), link)(t, l)
		},
		"dots": func(t *testing.T, _ *Tree, l *Lineage, dir string) {
			edit("archive_dir = "+l.ArchiveDir(), "archive_dir = "+l.ArchiveDir()+strings.Repeat("/..", 20)+dir)(t, l)
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree, dir := newTree(t), foreign(t)
			other := create(t, tree, "other.example")
			l := create(t, tree, "one.example")
			before := snapshot(t, dir)
			do(t, tree, l, dir)
			left, err := tree.Delete("one.example")
			if err != nil || len(left) == 0 || tree.Exists("one.example") {
				t.Errorf("left %v, %v", left, err)
			}
			if after := snapshot(t, dir); after != before {
				t.Errorf("what is somebody else's has changed:\n%s", after)
			}
			load(t, tree, other.Name())
			if found := leftovers(t, tree); len(found) > 0 {
				t.Errorf("left behind: %v", found)
			}
		})
	}
}

// Files that are not versions keep the folder, and the root is no archive.
func TestDeleteKeepsFolders(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	notes, page := filepath.Join(l.ArchiveDir(), "notes"), filepath.Join(l.LiveDir(), "page")
	write(t, notes, "x")
	write(t, page, "x")
	write(t, filepath.Join(l.ArchiveDir(), ".privkey2.pem.tmp-1"), "half of a key")
	left, err := tree.Delete("one.example")
	if err != nil || !slices.Equal(left, []string{l.ArchiveDir()}) || !exists(notes) || !exists(page) || len(leftovers(t, tree)) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	l = create(t, tree, "two.example")
	edit("archive_dir = "+l.ArchiveDir(), "archive_dir = /")(t, l)
	if left, err := tree.Delete("two.example"); err != nil || !slices.Equal(left, []string{"/"}) {
		t.Errorf("left %v, %v", left, err)
	}
	// Paths that lead nowhere keep no job alive.
	long := "/" + strings.Repeat("x", 300)
	for i, path := range []string{long, "/" + strings.Repeat("x/", 3000) + "x", "/dev/null/x"} {
		name := strings.Repeat("x", i+1)
		l := create(t, tree, name)
		edit(tree.Dirs().Config+"/live", path)(t, l)
		edit("archive_dir = "+l.ArchiveDir(), "archive_dir = "+path)(t, l)
		if _, err := tree.Delete(name); err != nil || len(leftovers(t, tree)) > 0 {
			t.Errorf("%.20s: %v, left behind %v", path, err, leftovers(t, tree))
		}
	}
}

// An archive stays for as long as a lineage has it, also one that cannot be read.
func TestDeleteKeepsSharedArchive(t *testing.T) {
	for _, broken := range []bool{false, true} {
		tree := newTree(t)
		l := create(t, tree, "one.example")
		other := share(t, tree, l, "other.example")
		if broken {
			edit("version", "[[broken\nversion")(t, other)
		}
		if left, err := tree.Delete("one.example"); err != nil || !slices.Equal(left, []string{l.ArchiveDir()}) || lexists(l.LiveDir()) {
			t.Errorf("left %v, %v", left, err)
		}
		if broken {
			edit("[[broken\n", "")(t, other)
		}
		load(t, tree, "other.example")
		if left, err := tree.Delete("other.example"); err != nil || len(left) > 0 || lexists(l.ArchiveDir()) {
			t.Errorf("left %v, %v", left, err)
		}
	}
}

// So do links, where a renewal file was copied.
func TestDeleteKeepsSharedLinks(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	data, err := os.ReadFile(l.ConfPath())
	if err != nil {
		t.Fatal(err)
	}
	write(t, tree.ConfPath("copy.example"), string(data))
	before := snapshot(t, l.LiveDir()) + snapshot(t, l.ArchiveDir())
	if left, err := tree.Delete("copy.example"); err != nil || len(left) != 5 {
		t.Errorf("left %v, %v", left, err)
	}
	if after := snapshot(t, l.LiveDir()) + snapshot(t, l.ArchiveDir()); after != before {
		t.Errorf("something is gone:\n%s", after)
	}
}

// Links and archives elsewhere are the lineage's own as well, where they are its links.
func TestDeleteElsewhere(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	away := t.TempDir()
	if err := errors.Join(os.Rename(filepath.Dir(l.ArchiveDir()), filepath.Join(away, "archive")), os.Rename(filepath.Dir(l.LiveDir()), filepath.Join(away, "live"))); err != nil {
		t.Fatal(err)
	}
	edit(tree.Dirs().Config, away)(t, l)
	load(t, tree, "one.example")
	if left, err := tree.Delete("one.example"); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if got := snapshot(t, away); strings.Contains(got, "one.example") {
		t.Errorf("left behind:\n%s", got)
	}
}

// A deletion that waits is done by the next run, unless there is a new lineage of that
// name by then.
func TestPendingDeletion(t *testing.T) {
	for _, again := range []bool{false, true} {
		root := t.TempDir()
		l := create(t, openTree(root, nil), "one.example")
		text, err := os.ReadFile(l.ConfPath())
		if err != nil {
			t.Fatal(err)
		}
		var pending *PendingError
		if _, err := openTree(root, failAfter("one.example.conf")).Delete("one.example"); !errors.As(err, &pending) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("error %v", err)
		}
		tree := openTree(root, nil)
		if again {
			write(t, l.ConfPath(), string(text)+"# again\n")
		}
		done := repair(t, tree)
		if len(done) != 1 || done[0].Deployed || tree.Exists("one.example") != again || lexists(l.ArchiveDir()) != again || len(leftovers(t, tree)) > 0 {
			t.Errorf("again %v: %v", again, done)
		}
		if again {
			load(t, tree, "one.example")
		}
	}
}

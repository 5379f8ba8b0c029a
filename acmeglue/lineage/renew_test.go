package lineage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The group and the mode of the key stay, as far as certbot lets them.
func TestRenewKeepsKeyGroup(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	first := filepath.Join(l.ArchiveDir(), "privkey1.pem")
	if err := errors.Join(os.Chown(first, 1, 1), os.Chmod(first, 0o777)); err != nil {
		t.Fatal(err)
	}
	renew(t, l)
	checkKey(t, l, 2, 0o674)
	key, err := l.Read(PrivKey)
	if err != nil {
		t.Fatal(err)
	}
	// A key that is used again is a file of its own.
	block, err := parseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Renew(RenewOptions{Chain: chainFor(t, block, "one.example")}); err != nil || n != 3 {
		t.Fatalf("version %d, %v", n, err)
	}
	checkKey(t, l, 3, 0o674)
	if info, err := os.Lstat(filepath.Join(l.ArchiveDir(), "privkey3.pem")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	load(t, tree, "one.example")
}

func TestRenewRefuses(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	before := snapshot(t, tree.Dirs().Config)
	chain, key := pair(t, "one.example")
	_, other := pair(t, "one.example")
	for name, o := range map[string]RenewOptions{"another's key": {Chain: chain, Key: other}, "the old key": {Chain: chain}, "no chain": {Key: key}} {
		if n, err := l.Renew(o); err == nil {
			t.Errorf("%s: version %d", name, n)
		}
	}
	if after := snapshot(t, tree.Dirs().Config); after != before {
		t.Errorf("something has changed:\n%s", after)
	}
	// Where a link cannot be replaced, or a folder is not ours, nothing is begun.
	if err := os.Remove(l.Path(Chain)); err != nil {
		t.Fatal(err)
	}
	write(t, l.Path(Chain), "x")
	if _, err := l.Renew(RenewOptions{Chain: chain, Key: key}); err == nil || len(leftovers(t, tree)) > 0 {
		t.Errorf("a file in the place of a link: %v, %v", err, leftovers(t, tree))
	}
}

// Who may not give a key to its group begins nothing.
func TestRenewWithoutGroup(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	if err := os.Chown(filepath.Join(l.ArchiveDir(), "privkey1.pem"), 0, 1); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, tree.Dirs().Config)
	chain, key := pair(t, "one.example")
	done := make(chan error)
	go func() {
		// The thread ends with the goroutine, and what it was taken with it.
		runtime.LockOSThread()
		if err := dropChown(); err != nil {
			done <- err
			return
		}
		_, err := l.Renew(RenewOptions{Chain: chain, Key: key})
		done <- err
	}()
	var pending *PendingError
	if err := <-done; !errors.Is(err, fs.ErrPermission) || errors.As(err, &pending) {
		t.Errorf("error %v, want that it is not permitted", err)
	}
	if after := snapshot(t, tree.Dirs().Config); after != before {
		t.Errorf("something has changed:\n%s", after)
	}
}

func dropChown() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_CHOWN
	return unix.Capset(&header, &data[0])
}

// The next version is free for all kinds; those to keep are the newest five before it.
func TestRenewPrunes(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	write(t, filepath.Join(l.ArchiveDir(), "chain4.pem"), "somebody's")
	write(t, filepath.Join(l.ArchiveDir(), "notes"), "somebody's")
	if n := renew(t, l); n != 5 {
		t.Fatalf("version %d, want 5", n)
	}
	for range 5 {
		renew(t, l)
	}
	for kind, want := range map[Kind][]int{Cert: {5, 6, 7, 8, 9, 10}, PrivKey: {5, 6, 7, 8, 9, 10}, Chain: {5, 6, 7, 8, 9, 10}} {
		if got, err := l.Versions(kind); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: versions %v, %v; want %v", kind, got, err, want)
		}
	}
	if !exists(filepath.Join(l.ArchiveDir(), "notes")) {
		t.Error("a file of somebody else is gone")
	}
}

// certbot before 2.7 makes a link of a key that is used again: what it points to stays.
func TestRenewKeepsLinkedKeys(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	for range 2 {
		renew(t, l)
	}
	second := filepath.Join(l.ArchiveDir(), "privkey2.pem")
	path := filepath.Join(l.ArchiveDir(), "privkey3.pem")
	if err := errors.Join(os.Remove(path), os.Symlink("privkey2.pem", path)); err != nil {
		t.Fatal(err)
	}
	for n := 4; n <= 8; n++ {
		renew(t, l)
	}
	if !exists(second) || exists(filepath.Join(l.ArchiveDir(), "cert2.pem")) || exists(filepath.Join(l.ArchiveDir(), "privkey1.pem")) {
		t.Error("privkey2.pem is needed by version 3, and nothing else of the first two is")
	}
	renew(t, l)
	if exists(second) {
		t.Error("privkey2.pem is not needed any more")
	}
}

// Another lineage may be at a version that is old for this one.
func TestRenewKeepsSharedVersions(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	share(t, tree, l, "other.example")
	for range 7 {
		renew(t, l)
	}
	if other := load(t, tree, "other.example"); other.Version() != 1 {
		t.Errorf("version %d", other.Version())
	}
}

// share makes a lineage with live links of its own into the archive of another.
func share(t *testing.T, tree *Tree, l *Lineage, name string) *Lineage {
	t.Helper()
	data, err := os.ReadFile(l.ConfPath())
	if err != nil {
		t.Fatal(err)
	}
	write(t, tree.ConfPath(name), strings.ReplaceAll(string(data), "/live/"+l.Name()+"/", "/live/"+name+"/"))
	for _, kind := range Kinds() {
		link := filepath.Join(tree.Dirs().Config, "live", name, kind.live())
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("../../archive", l.Name(), kind.archived(l.Version())), link); err != nil {
			t.Fatal(err)
		}
	}
	return load(t, tree, name)
}

// Links say the way to the archive as they did before, as long as it is right.
func TestRenewKeepsLinkForm(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	for _, kind := range Kinds() {
		target := filepath.Join(l.ArchiveDir(), kind.archived(1))
		if err := errors.Join(os.Remove(l.Path(kind)), os.Symlink(target, l.Path(kind))); err != nil {
			t.Fatal(err)
		}
	}
	renew(t, l)
	if text, err := os.Readlink(l.Path(Cert)); err != nil || text != filepath.Join(l.ArchiveDir(), "cert2.pem") {
		t.Errorf("%s, %v", text, err)
	}
	// The archive has moved, and the renewal file says so.
	moved := filepath.Join(t.TempDir(), "moved")
	old := l.ArchiveDir()
	if err := os.CopyFS(moved, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	edit("archive_dir = "+old, "archive_dir = "+moved)(t, l)
	renew(t, l)
	if l.Version() != 3 || filepath.Dir(l.links[Cert].target) != moved {
		t.Errorf("version %d at %s", l.Version(), l.links[Cert].target)
	}
	if text, err := os.Readlink(l.Path(Cert)); err != nil || filepath.IsAbs(text) {
		t.Errorf("%s, %v: want a relative link", text, err)
	}
}

// A reader of the live links never finds one missing.
func TestRenewUnderReaders(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	stop, done := make(chan struct{}), make(chan error, 1)
	path := l.Path(FullChain)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			// Not what it points to: a slow reader may find that removed, five versions on.
			if _, err := os.Readlink(path); err != nil {
				done <- err
				return
			}
		}
	}()
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		renew(t, l)
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A renewal that waits for its cause to go away is done by the next run, unless the
// lineage was changed since.
func TestPendingRenewal(t *testing.T) {
	prepare := func(t *testing.T) (tree *Tree, l *Lineage, chain []byte) {
		t.Helper()
		root := t.TempDir()
		create(t, openTree(root, nil), "one.example")
		l = load(t, openTree(root, failAfter("privkey2.pem")), "one.example")
		chain, key := pair(t, "one.example")
		var pending *PendingError
		if _, err := l.Renew(RenewOptions{Chain: chain, Key: key, Params: newParams()}); !errors.As(err, &pending) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("error %v", err)
		}
		tree = openTree(root, nil)
		return tree, load(t, tree, "one.example"), chain
	}
	is := func(t *testing.T, tree *Tree, chain []byte) bool {
		t.Helper()
		full, err := load(t, tree, "one.example").Read(FullChain)
		if err != nil {
			t.Fatal(err)
		}
		return string(full) == string(chain)
	}

	tree, l, chain := prepare(t)
	if _, err := l.Renew(RenewOptions{Chain: chain}); err == nil || !strings.Contains(err.Error(), "has to be finished first") {
		t.Errorf("another one: %v", err)
	}
	if done, err := l.Repair(); err != nil || len(done) != 1 || !done[0].Deployed || l.Version() != 2 || !is(t, tree, chain) {
		t.Errorf("%v, %v", done, err)
	}

	// A file in the place of a link, which may be the only copy of something, stays. The
	// renewal waits for people.
	tree, l, chain = prepare(t)
	point(t, l, PrivKey, "")
	write(t, l.Path(PrivKey), "somebody's")
	var pending *PendingError
	if _, err := tree.Repair(t.Context()); !errors.As(err, &pending) || !strings.Contains(err.Error(), "expected "+l.Path(PrivKey)+" to be a symlink") {
		t.Errorf("error %v", err)
	}
	if text, err := os.ReadFile(l.Path(PrivKey)); err != nil || string(text) != "somebody's" {
		t.Errorf("%s, %v", text, err)
	}
	point(t, l, PrivKey, "")
	if done := repair(t, tree); len(done) != 1 || !is(t, tree, chain) {
		t.Errorf("%v", done)
	}

	// Somebody's change of the file in between stays.
	tree, l, chain = prepare(t)
	edit("authenticator = standalone", "authenticator = manual")(t, l)
	if done := repair(t, tree); len(done) != 1 || !is(t, tree, chain) {
		t.Errorf("%v", done)
	}
	if got := authenticatorOf(t, load(t, tree, "one.example")); got != "manual" {
		t.Errorf("authenticator %s", got)
	}

	// Renewed by certbot in between: that is newer.
	tree, l, chain = prepare(t)
	files, err := split(pair(t, "one.example"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds() {
		write(t, filepath.Join(l.ArchiveDir(), kind.archived(3)), string(files[kind]))
		if err := errors.Join(os.Remove(l.Path(kind)), os.Symlink("../../archive/one.example/"+kind.archived(3), l.Path(kind))); err != nil {
			t.Fatal(err)
		}
	}
	if done := repair(t, tree); len(done) != 1 || done[0].Deployed || is(t, tree, chain) || len(leftovers(t, tree)) > 0 {
		t.Errorf("%v", done)
	}
	if all, err := l.Versions(PrivKey); err != nil || !slices.Equal(all, []int{1, 3}) {
		t.Errorf("keys of versions %v, %v", all, err)
	}

	// Deleted in between.
	tree, _, _ = prepare(t)
	if left, err := tree.Delete("one.example"); err != nil || len(left) > 0 || len(leftovers(t, tree)) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if done := repair(t, tree); len(done) > 0 {
		t.Errorf("%v", done)
	}
	tree, l, _ = prepare(t)
	if err := os.Remove(l.ConfPath()); err != nil {
		t.Fatal(err)
	}
	if done := repair(t, tree); len(done) != 1 || tree.Exists("one.example") || len(leftovers(t, tree)) > 0 {
		t.Errorf("%v", done)
	}
}

package installers

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/internal/diff"
)

// install applies a plan that writes a file, and returns the checkpoint.
func (b *bench) install(t *testing.T, title string, changes ...Change) string {
	t.Helper()
	out, err := b.runner.Apply(t.Context(), b, &Plan{Titles: []string{title}, Changes: changes, Watch: b.plan.Watch}, Request{})
	if err != nil {
		t.Fatal(err)
	}
	return out.Checkpoint
}

// Several checkpoints go at once, in any mixture of what they did to a file.
func TestRollbackOfSeveral(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	before := snapshot(t, b.dir, true)
	b.install(t, "one", b.rewrite("sites/b", read(t, b.dir+"/sites/b")+"# one\n"), Change{Path: b.dir + "/sites/n", Op: Create, New: []byte("# n\n"), Mode: 0o644})
	b.install(t, "two", b.rewrite("sites/b", read(t, b.dir+"/sites/b")+"# two\n"), Change{Path: b.dir + "/sites/n", Op: Delete, Old: []byte("# n\n")})
	last := b.install(t, "three", b.rewrite("sites/b", read(t, b.dir+"/sites/b")+"# three\n"))
	list, err := b.runner.Checkpoints()
	if err != nil || len(list) != 3 || list[0].Name != last || list[0].Server != "toy" || time.Since(list[0].Time) > time.Minute ||
		!slices.Equal(list[2].Titles, []string{"one"}) || !slices.Equal(list[2].Paths, []string{b.dir + "/sites/b", b.dir + "/sites/n"}) {
		t.Errorf("%+v, %v", list, err)
	}
	out, err := b.runner.Rollback(t.Context(), 2, b.find, false)
	if err != nil || len(out.Checkpoints) != 2 || len(out.Warnings) != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	if !strings.HasSuffix(read(t, b.dir+"/sites/b"), "# one\n") || read(t, b.dir+"/sites/n") != "# n\n" {
		t.Error("not what it was after the first")
	}
	out, err = b.runner.Rollback(t.Context(), 1337, b.find, false)
	if err != nil || len(out.Checkpoints) != 1 || !slices.Equal(out.Warnings, []string{"Unable to rollback 1337 checkpoints, only 1 exist"}) {
		t.Fatalf("%+v, %v", out, err)
	}
	if now := snapshot(t, b.dir, true); now != before {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}
	out, err = b.runner.Rollback(t.Context(), 1, b.find, false)
	if err != nil || len(out.Checkpoints) != 0 || !slices.Equal(out.Warnings, []string{"Certbot hasn't modified your configuration, so rollback isn't available."}) {
		t.Fatalf("%+v, %v", out, err)
	}
	if _, err := b.runner.Rollback(t.Context(), -1, b.find, false); err == nil {
		t.Error("-1 was taken")
	}
}

// Files of keys that were written anew since, by plans without a checkpoint, are deleted
// unasked; one that somebody else has changed is not, and nobody sees the key.
func TestRollbackAfterRenewals(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	before := snapshot(t, b.dir, true)
	path := b.dir + "/sites/k"
	pem := func(n int) []byte {
		return []byte(fmt.Sprintf("# -----BEGIN PRIVATE KEY-----\n# secret%d\n", n))
	}
	b.install(t, "one", Change{Path: path, Op: Create, New: pem(1), Mode: 0o600, Secret: true}, b.rewrite("sites/b", read(t, b.dir+"/sites/b")+"# one\n"))
	for n := 2; n < 4; n++ {
		p := &Plan{Titles: []string{"renewal"}, Changes: []Change{{Path: path, Op: Rewrite, Old: pem(n - 1), New: pem(n), Secret: true}}, Watch: b.plan.Watch, Forget: true}
		if out, err := b.runner.Apply(t.Context(), b, p, Request{}); err != nil || len(out.Warnings) > 0 {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	write(t, path, "# -----BEGIN PRIVATE KEY-----\n# by hand\n", 0o600)
	_, err := b.runner.Rollback(t.Context(), 1, b.find, false)
	var changed *ChangedError
	if !errors.As(err, &changed) || !slices.Equal(changed.Paths, []string{path}) || strings.Contains(err.Error(), "by hand") {
		t.Errorf("changed by hand: %v", err)
	}
	write(t, path, string(pem(3)), 0o600)
	if _, err := b.runner.Rollback(t.Context(), 1, b.find, false); err != nil {
		t.Fatal(err)
	}
	if now := snapshot(t, b.dir, true); now != before {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}
}

func TestRollbackOfWhatWasChangedSince(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	old := read(t, b.dir+"/sites/b")
	b.install(t, "one", b.rewrite("sites/b", old+"# one\n"), Change{Path: b.dir + "/sites/l", Op: Symlink, Target: "b"})
	write(t, b.dir+"/sites/b", old+"# one\n# by hand\n", 0o644)
	if err := errors.Join(os.Remove(b.dir+"/sites/l"), os.Symlink("a", b.dir+"/sites/l")); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, b.dir, true)
	_, err := b.runner.Rollback(t.Context(), 1, b.find, false)
	changed, ok := errors.AsType[*ChangedError](err)
	if !ok || !slices.Equal(changed.Paths, []string{b.dir + "/sites/b", b.dir + "/sites/l"}) || !strings.Contains(changed.Error(), "-# by hand\n") ||
		!strings.Contains(changed.Diff, "--- "+b.dir+"/sites/l -> a\n") {
		t.Fatalf("%v", err)
	}
	if now := snapshot(t, b.dir, true); now != before {
		t.Errorf("changed all the same:\n%s", diff.Unified("before", "now", before, now))
	}
	if _, err := b.runner.Rollback(t.Context(), 1, b.find, true); err != nil || read(t, b.dir+"/sites/b") != old {
		t.Errorf("by force: %v", err)
	}
	if _, err := os.Lstat(b.dir + "/sites/l"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("by force: %v", err)
	}
}

// Somebody took the change back by hand: there is nothing that could be lost.
func TestRollbackOfWhatIsAsItWas(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	before, old := snapshot(t, b.dir, true), read(t, b.dir+"/sites/b")
	b.install(t, "one", b.rewrite("sites/b", old+"# one\n"))
	write(t, b.dir+"/sites/b", old, 0o600)
	write(t, b.dir+"/sites/z", "rubbish\n", 0o644)
	byHand := snapshot(t, b.dir, true)
	if _, err := b.runner.Rollback(t.Context(), 1, b.find, false); err == nil {
		t.Error("the server took it")
	}
	if now := snapshot(t, b.dir, true); now != byHand {
		t.Errorf("not as it was by hand:\n%s", diff.Unified("before", "now", byHand, now))
	}
	if err := os.Remove(b.dir + "/sites/z"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.runner.Rollback(t.Context(), 1, b.find, false); err != nil {
		t.Fatal(err)
	}
	if now := snapshot(t, b.dir, true); now != before {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}
}

// A configuration that the server refuses by now is not put back.
func TestRollbackRefusedByServer(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	old := read(t, b.dir+"/sites/a")
	b.plan.Commands = []Command{{Do: []string{"touch", b.dir + "/marker"}, Undo: []string{"rm", b.dir + "/marker"}}}
	if _, err := b.runner.Apply(t.Context(), b, b.plan, b.request); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(b.dir + "/old"); err != nil { // the certificate of then
		t.Fatal(err)
	}
	before := snapshot(t, b.dir, true)
	_, err := b.runner.Rollback(t.Context(), 1, b.find, false)
	failed, ok := errors.AsType[*StepError](err)
	if !ok || failed.Step != Test || failed.State != Undone || !strings.Contains(err.Error(), "/old/fullchain.pem: no such file or directory") {
		t.Fatalf("%v", err)
	}
	if now := snapshot(t, b.dir, true); now != before || read(t, b.dir+"/sites/a") == old {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}
	if list, err := b.runner.Checkpoints(); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

// One that breaks another name is not kept either.
func TestRollbackThatBreaksWatchedName(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	if _, err := b.runner.Apply(t.Context(), b, b.plan, b.request); err != nil {
		t.Fatal(err)
	}
	broken := false
	b.onReload = func() {
		if !broken {
			broken = true
			b.mu.Lock()
			b.sites["b.test"] = b.sites["a.test"]
			b.mu.Unlock()
		}
	}
	_, err := b.runner.Rollback(t.Context(), 1, b.find, false)
	failed, ok := errors.AsType[*StepError](err)
	if !ok || failed.Step != Verify || failed.State != Undone || b.shows(t, "a.test") != 3 || b.shows(t, "b.test") != 2 {
		t.Errorf("%v", err)
	}
}

// The clock was turned back, or did not move: the newest is the newest all the same.
func TestTimestampsGrow(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	now := time.Unix(1700000000, 250000000)
	b.runner.Now = func() time.Time { return now }
	var names []string
	for i, at := range []time.Time{now, now, now.Add(-time.Hour), now.Add(time.Hour)} {
		now = at
		names = append(names, b.install(t, "x", b.rewrite("sites/b", read(t, b.dir+"/sites/b")+"# "+string(rune('a'+i))+"\n")))
	}
	if want := []string{"1700000000.25", "1700000000.26", "1700000001.26", "1700003600.25"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestInverse(t *testing.T) {
	for _, c := range []struct{ command, want string }{
		{"a2dismod -f ssl", "a2enmod ssl"}, {"/usr/sbin/a2dissite x", "/usr/sbin/a2ensite x"}, {"rm x", ""}, {"", ""},
	} {
		if got := strings.Join(inverse(strings.Fields(c.command)), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.command, got, c.want)
		}
	}
}

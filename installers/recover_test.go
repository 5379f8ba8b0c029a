package installers

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// left is what a run that was killed left behind: all is changed, and the server runs
// with it.
func (b *bench) left(t *testing.T, s Server) {
	t.Helper()
	u := &run{Runner: b.runner, server: s, plan: b.plan, at: dirInProgress}
	u.look(t.Context(), nil)
	if err := u.prepare(u.record, b.plan.Changes, u.at); err != nil {
		t.Fatal(err)
	}
	if err := u.stage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.shows(t, "a.test") != 3 {
		t.Fatal("the server does not run with it")
	}
}

// hangs is an undo command that does not end in the time of this test.
var hangs = []string{"sleep", "600"}

// An undo command that hangs is ended, and the server gets the old files all the same.
func TestUndoCommandHangs(t *testing.T) {
	t.Parallel()
	start := time.Now()
	b := setUp(t)
	b.runner.step = 2 * time.Second
	b.plan.Commands = []Command{{Do: []string{"true"}, Undo: hangs}}
	b.ignoreReload = true
	_, err := b.runner.Apply(t.Context(), b, b.plan, b.request)
	if err == nil || !strings.Contains(err.Error(), "sleep 600: it has not ended after 2s") || b.reloads != 2 {
		t.Errorf("%v, %d reloads", err, b.reloads)
	}
	write(t, b.runner.Work+"/IN_PROGRESS/COMMANDS", strings.Join(hangs, ",")+"\r\n", 0o644) // certbot's
	got, err := b.runner.Recover(t.Context(), b.find)
	if err != nil || len(got) != 1 || got[0].Err == nil || !strings.Contains(got[0].Err.Error(), "sleep 600: it has not ended after 2s") || b.reloads != 3 {
		t.Errorf("%+v, %v, %d reloads", got, err, b.reloads)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}

// Who ends edge while it recovers does not end what undoes commands, nor the activation:
// nobody would come back to them.
func TestRecoverIsNotCutShort(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.plan.Commands = []Command{{Do: []string{"touch", b.dir + "/marker"}, Undo: []string{"rm", b.dir + "/marker"}}}
	before := snapshot(t, b.dir, true)
	b.left(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// The server cannot be asked what it is any more: the next run has to go on.
	got, err := b.runner.Recover(ctx, func(string) Server { return nil })
	if err == nil || !strings.Contains(err.Error(), "IN_PROGRESS") || !strings.Contains(err.Error(), "context canceled") || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if there, err := b.runner.pending(dirInProgress); err != nil || !there {
		t.Fatalf("the checkpoint is gone: %v", err)
	}
	write(t, b.dir+"/marker", "", 0o644)
	got, err = b.runner.Recover(ctx, b.find)
	if err != nil || len(got) != 1 || got[0].Err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	b.checkOld(t, before)
	b.litter(t)
}

// rootedToy is a toy that can be told from others.
type rootedToy struct {
	*toyClient
	root string
}

func (r *rootedToy) Root() string { return r.root }

func (b *bench) rooted(root string) (Server, Finder) {
	s := &rootedToy{b.toyClient, root}
	return s, func(string) Server { return s }
}

// There may be two servers of a name. That which happens to be opened is not asked to take
// what belongs to the other one.
func TestServerOfOtherFolder(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	s, find := b.rooted(b.dir)
	_, other := b.rooted(b.dir + "/other")
	says := "it belongs to the server with the folder " + b.dir + ", and toy was opened with " + b.dir + "/other: "
	before := read(t, b.dir+"/sites/a")

	b.left(t, s)
	reloads := b.reloads
	got, err := b.runner.Recover(t.Context(), other)
	if err != nil || len(got) != 1 || got[0].Err == nil || got[0].Err.Error() != says+"reload it by hand, or run edge with the flags that name that one, see edge --help toy" {
		t.Errorf("%+v, %v", got, err)
	}
	if b.reloads != reloads || read(t, b.dir+"/sites/a") != before {
		t.Errorf("%d reloads of the other server; %q", b.reloads-reloads, read(t, b.dir+"/sites/a"))
	}
	b.litter(t)
	if err := b.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}

	// A link to the folder is as good as the folder, and so is a server that does not say.
	if err := os.Symlink(b.dir, b.dir+"/link"); err != nil {
		t.Fatal(err)
	}
	_, same := b.rooted(b.dir + "/link")
	for _, find := range []Finder{find, same, b.find} {
		b.left(t, s)
		if got, err := b.runner.Recover(t.Context(), find); err != nil || len(got) != 1 || got[0].Err != nil || b.shows(t, "a.test") != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	}

	if _, err := b.runner.Apply(t.Context(), s, b.plan, b.request); err != nil {
		t.Fatal(err)
	}
	reloads = b.reloads
	if _, err = b.runner.Rollback(t.Context(), 1, other, false); err == nil || err.Error() != "unable to roll back: "+says+"run edge with the flags that name that one, see edge --help toy" {
		t.Errorf("%v", err)
	}
	if b.reloads != reloads || b.shows(t, "a.test") != 3 || read(t, b.dir+"/sites/a") == before {
		t.Error("it was rolled back")
	}
	// What a rollback that is killed leaves is told apart, too.
	u := &run{Runner: b.runner, at: dirInProgress, back: true}
	list, err := b.runner.Checkpoints()
	if err != nil {
		t.Fatal(err)
	}
	if err := u.planBack(t.Context(), list, find, false); err != nil || u.record.Roots["toy"] != b.dir {
		t.Errorf("%v, %q", err, u.record.Roots)
	}
	if _, err := b.runner.Rollback(t.Context(), 1, find, false); err != nil || b.shows(t, "a.test") != 1 {
		t.Errorf("%v", err)
	}
}

// Checkpoints of both are not taken back with one of them, nor is a server asked twice.
func TestFound(t *testing.T) {
	b := &bench{toy: &toy{toyClient: &toyClient{}}}
	_, find := b.rooted("/a")
	for _, c := range []struct {
		owners                   []owner
		find                     Finder
		servers, unknown, others int
	}{
		{[]owner{{"toy", "/a"}, {"toy", "/a"}, {"toy", ""}}, find, 1, 0, 0},
		{[]owner{{"toy", "/a"}, {"toy", "/b"}}, find, 1, 0, 1},
		{[]owner{{"toy", "/a"}, {"toy", "/b"}, {"", ""}}, nil, 0, 2, 0},
		{(*record)(nil).owners(), find, 1, 0, 0},
		{nil, find, 0, 0, 0},
	} {
		servers, unknown, others := found(c.owners, c.find)
		if len(servers) != c.servers || len(unknown) != c.unknown || len(others) != c.others {
			t.Errorf("%v: %v, %q, %v", c.owners, servers, unknown, others)
		}
	}
}

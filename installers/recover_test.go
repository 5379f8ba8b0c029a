package installers

import (
	"context"
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
	b.left(t, b)
	got, err := b.runner.Recover(t.Context(), b.find)
	if err != nil || len(got) != 1 || got[0].Err == nil || !strings.Contains(got[0].Err.Error(), "sleep 600: it has not ended after 2s") {
		t.Errorf("%+v, %v", got, err)
	}
	if b.shows(t, "a.test") != 1 {
		t.Error("the server was not activated")
	}

	// certbot's list.
	write(t, b.runner.Work+"/IN_PROGRESS/COMMANDS", strings.Join(hangs, ",")+"\r\n", 0o644)
	got, err = b.runner.Recover(t.Context(), b.find)
	if err != nil || len(got) != 1 || got[0].Err == nil || !strings.Contains(got[0].Err.Error(), "it has not ended after 2s") {
		t.Errorf("%+v, %v", got, err)
	}

	// The same in a run that fails.
	b.ignoreReload = true
	reloads := b.reloads
	_, err = b.runner.Apply(t.Context(), b, b.plan, b.request)
	if err == nil || !strings.Contains(err.Error(), "it has not ended after 2s") || b.reloads != reloads+2 {
		t.Errorf("%v, %d reloads", err, b.reloads-reloads)
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

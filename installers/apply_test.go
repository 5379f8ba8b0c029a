package installers

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// bench is a toy server with two sites, and a new certificate for the first.
type bench struct {
	*toy
	runner   *Runner
	old, new *issued
	request  Request
	plan     *Plan
	was      string // all that there was at first
}

func setUp(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	old, other := recipe{serial: 1, names: []string{"a.test"}}.make(t), recipe{serial: 2, names: []string{"b.test"}}.make(t)
	was, beside := old.lineage(t, dir+"/old"), other.lineage(t, dir+"/other")
	write(t, dir+"/sites/a", "a.test "+was.FullChain+" "+was.Key+"\n", 0o640)
	write(t, dir+"/sites/b", "b.test "+beside.FullChain+" "+beside.Key+"\n", 0o644)
	b := &bench{toy: startToy(t, dir), old: old, new: recipe{serial: 3, names: []string{"a.test"}}.make(t)}
	b.runner = &Runner{Work: dir + "/work", Verify: 700 * time.Millisecond, settle: time.Millisecond}
	if err := os.Mkdir(b.runner.Work, 0o755); err != nil {
		t.Fatal(err)
	}
	b.request = Request{Names: []string{"a.test"}, Deploy: true, Certificate: b.new.lineage(t, dir+"/new")}
	b.plan = &Plan{
		Titles:  []string{"Deployed ACME Certificate"},
		Changes: []Change{b.rewrite("sites/a", "a.test "+b.request.Certificate.FullChain+" "+b.request.Certificate.Key+"\n")},
		Serves:  []Endpoint{{Addr: b.tls, Name: "a.test"}},
		Watch:   []Endpoint{{Addr: b.tls, Name: "b.test"}},
	}
	return b
}

func (b *bench) rewrite(name, content string) Change {
	path := filepath.Join(b.dir, name)
	old, _, err := readFile(path)
	if err != nil {
		panic(err)
	}
	return Change{Path: path, Old: old, New: []byte(content)}
}

// find is for Recover and Rollback.
func (b *bench) find(name string) Server {
	if name == "toy" || name == "" {
		return b.toyClient
	}
	return nil
}

func TestApply(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	before := snapshot(t, b.dir+"/sites", true)
	b.plan.Titles = []string{"Deployed ACME Certificate", "Add enhancement x"}
	out, err := b.runner.Apply(t.Context(), b, b.plan, b.request)
	if err != nil {
		t.Fatal(err)
	}
	if out.Checkpoint == "" || !out.Activated || out.Verified != 2 {
		t.Errorf("%+v", out)
	}
	if b.shows(t, "a.test") != 3 || b.shows(t, "b.test") != 2 {
		t.Error("the wrong certificates are shown")
	}
	checkpoint := filepath.Join(b.runner.Work, "backups", out.Checkpoint)
	if got := read(t, checkpoint+"/FILEPATHS"); got != b.dir+"/sites/a\n" {
		t.Errorf("FILEPATHS: %q", got)
	}
	if got := read(t, checkpoint+"/CHANGES_SINCE"); !strings.HasPrefix(got, "-- Add enhancement x --\n-- Deployed ACME Certificate --\n"+b.dir) {
		t.Errorf("CHANGES_SINCE: %q", got)
	}

	if list, err := b.runner.Checkpoints(); err != nil || len(list) != 1 || !slices.Equal(list[0].Titles, b.plan.Titles) {
		t.Errorf("%+v, %v", list, err)
	}

	// Once more there is nothing to do: no checkpoint, no reload.
	reloads := b.reloads
	again, err := b.runner.Apply(t.Context(), b, &Plan{Serves: b.plan.Serves}, b.request)
	if err != nil || again.Checkpoint != "" || again.Activated || again.Verified != 1 || b.reloads != reloads {
		t.Errorf("%+v, %v, %d reloads", again, err, b.reloads-reloads)
	}
	if names, err := b.runner.names(); err != nil || len(names) != 1 {
		t.Errorf("checkpoints %q, %v", names, err)
	}

	back, err := b.runner.Rollback(t.Context(), 1, b.find, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Checkpoints) != 1 || len(back.Warnings) != 0 {
		t.Errorf("%+v", back)
	}
	if after := snapshot(t, b.dir+"/sites", true); after != before {
		t.Errorf("rolled back:\n%s\nwant\n%s", after, before)
	}
	if b.shows(t, "a.test") != 1 {
		t.Error("the server was not activated")
	}
	if left, err := os.ReadDir(b.runner.Work); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Where nobody can look at what is shown, a renewed certificate is activated; an
// enhancement that is there is left alone.
func TestApplyNothingToLookAt(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	for _, deploy := range []bool{true, false} {
		b.request.Deploy = deploy
		reloads := b.reloads
		out, err := b.runner.Apply(t.Context(), b, new(Plan), b.request)
		if err != nil || out.Activated != deploy || (b.reloads > reloads) != deploy {
			t.Errorf("deploy %v: %+v, %v", deploy, out, err)
		}
	}
}

// A renewed certificate lies at the path that the configuration has: nothing is to be
// written, but the server has to load it.
func TestApplyRenewed(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	if _, err := b.runner.Apply(t.Context(), b, b.plan, b.request); err != nil {
		t.Fatal(err)
	}
	recipe{serial: 4, names: []string{"a.test"}}.make(t).lineage(t, b.dir+"/new")
	out, err := b.runner.Apply(t.Context(), b, &Plan{Serves: b.plan.Serves, Watch: b.plan.Watch}, b.request)
	if err != nil || !out.Activated || out.Checkpoint != "" || b.shows(t, "a.test") != 4 {
		t.Errorf("%+v, %v", out, err)
	}
	// Where the server does not take it, that is an error, and nothing was changed.
	recipe{serial: 5, names: []string{"a.test"}}.make(t).lineage(t, b.dir+"/new")
	b.ignoreReload = true
	_, err = b.runner.Apply(t.Context(), b, &Plan{Serves: b.plan.Serves}, b.request)
	var failed *StepError
	if !errors.As(err, &failed) || failed.Step != Verify || failed.State != Untouched {
		t.Errorf("%v", err)
	}
}

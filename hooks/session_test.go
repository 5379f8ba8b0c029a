package hooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// rig is a session whose hooks write what they are into a file.
type rig struct {
	*Session
	file    string
	log     journal
	folders Folders
}

func newRig(t *testing.T, dryRun bool) *rig {
	dir := t.TempDir()
	g := &rig{file: filepath.Join(dir, "ran"), folders: Folders{
		Pre: filepath.Join(dir, "pre"), Deploy: filepath.Join(dir, "deploy"), Post: filepath.Join(dir, "post"),
	}}
	r := &Runner{Log: g.log.logger(), Env: append(os.Environ(), "RAN="+g.file)}
	g.Session = NewSession(r, g.folders, dryRun)
	return g
}

// says is a command that writes a line.
func says(line string) string { return fmt.Sprintf(`echo "%s" >>"$RAN"`, line) }

// ran checks the lines that hooks wrote.
func (g *rig) ran(t *testing.T, want ...string) {
	t.Helper()
	b, err := os.ReadFile(g.file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(b)); got != strings.Join(want, "\n") {
		t.Errorf("what ran:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func (g *rig) logged(t *testing.T, want string) {
	t.Helper()
	if !g.log.has(want) {
		t.Errorf("log lacks %q:\n%s", want, g.log.b.String())
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// The order that certbot was seen to have.
func TestSessionOrder(t *testing.T) {
	g := newRig(t, false)
	for _, kind := range []string{"pre", "deploy", "post"} {
		for _, n := range []string{"20", "10"} {
			script(t, filepath.Join(filepath.Dir(g.file), kind, n), says("dir-"+kind+n))
		}
	}
	h := Hooks{Pre: says("pre"), Deploy: says("deploy $RENEWED_LINEAGE: $RENEWED_DOMAINS"), Post: says("post: $RENEWED_DOMAINS: $FAILED_DOMAINS")}
	ctx := t.Context()
	ok(t, g.Pre(ctx, h))
	ok(t, g.Deploy(ctx, h, Lineage{"/live/a", []string{"a.test", "b.test"}}))
	second := h
	second.Pre = says("pre of second")
	ok(t, g.Pre(ctx, second))
	ok(t, g.Deploy(ctx, second, Lineage{"/live/c", []string{"c.test"}}))
	ok(t, g.Post(ctx, []string{"a.test", "b.test", "c.test"}, []string{"d.test"}))
	ok(t, g.Post(ctx, nil, nil)) // once
	ok(t, g.Err())
	g.ran(t, "dir-pre10", "dir-pre20", "pre",
		"dir-deploy10", "dir-deploy20", "deploy /live/a: a.test b.test", "pre of second",
		"dir-deploy10", "dir-deploy20", "deploy /live/c: c.test",
		"dir-post10", "dir-post20", "post: a.test b.test c.test: d.test")
	g.logged(t, "Pre-hook command already run, skipping: "+filepath.Join(g.folders.Pre, "10"))
}

// A hook that is named as the folder's is not run a second time.
func TestSessionRunsTheFoldersHooksOnce(t *testing.T) {
	g := newRig(t, false)
	h := Hooks{
		Pre:    script(t, filepath.Join(g.folders.Pre, "x"), says("pre")),
		Deploy: script(t, filepath.Join(g.folders.Deploy, "x"), says("deploy")),
		Post:   script(t, filepath.Join(g.folders.Post, "x"), says("post")),
	}
	ok(t, g.Pre(t.Context(), h))
	ok(t, g.Deploy(t.Context(), h, Lineage{}))
	ok(t, g.Deploy(t.Context(), h, Lineage{})) // of each lineage
	ok(t, g.Post(t.Context(), nil, nil))
	g.ran(t, "pre", "deploy", "deploy", "post")
	g.logged(t, "Pre-hook command already run, skipping: "+h.Pre)
	g.logged(t, "Skipping deploy-hook '"+h.Deploy+"' as it was already run.")
}

func TestSessionWithNothingDueRunsNothing(t *testing.T) {
	g := newRig(t, false)
	script(t, filepath.Join(g.folders.Post, "x"), says("post"))
	ok(t, g.Post(t.Context(), []string{"a.test"}, nil))
	g.ran(t)
}

func TestSessionWithoutFolders(t *testing.T) {
	g := newRig(t, false)
	s := NewSession(g.runner, Folders{}, false)
	t.Chdir(filepath.Dir(script(t, filepath.Join(g.folders.Pre, "x"), says("pre")))) // "" is not this folder
	ok(t, s.Pre(t.Context(), Hooks{}))
	ok(t, s.Post(t.Context(), nil, nil))
	g.ran(t)
}

func TestSessionDryRun(t *testing.T) {
	g := newRig(t, true)
	dir := script(t, filepath.Join(g.folders.Deploy, "x"), says("deploy"))
	h := Hooks{Pre: says("pre"), Deploy: says("deploy"), Post: says("post"), OnFailure: says("on-failure")}
	ok(t, g.Pre(t.Context(), h))
	ok(t, g.Deploy(t.Context(), h, Lineage{}))
	ok(t, g.OnFailure(t.Context(), h, Failure{}))
	ok(t, g.Post(t.Context(), nil, nil))
	g.ran(t, "pre", "post")
	g.logged(t, "Dry run: skipping deploy hook command: "+dir)
	g.logged(t, "Dry run: skipping deploy hook command: echo")
	g.logged(t, "Dry run: skipping on-failure hook command: echo")
}

func TestSessionOnFailure(t *testing.T) {
	g := newRig(t, false)
	h := Hooks{OnFailure: says("$EDGE_FAILED_LINEAGE: $FAILED_DOMAINS: $EDGE_ERROR")}
	ok(t, g.OnFailure(t.Context(), Hooks{}, Failure{}))
	ok(t, g.OnFailure(t.Context(), h, Failure{"a", []string{"a.test", "b.test"}, errors.New("no; $(way)")}))
	ok(t, g.OnFailure(t.Context(), h, Failure{Lineage: "b"}))
	g.ran(t, "a: a.test b.test: no; $(way)", "b: :")
}

// Failing hooks stop nothing, and none is forgotten.
func TestSessionFailures(t *testing.T) {
	g := newRig(t, false)
	script(t, filepath.Join(g.folders.Deploy, "x"), "exit 2")
	h := Hooks{Pre: says("pre") + "; exit 1", Deploy: says("deploy"), Post: says("post") + "; exit 3", OnFailure: "exit 4"}
	for i, err := range []error{
		g.Pre(t.Context(), h), g.Deploy(t.Context(), h, Lineage{}), g.Post(t.Context(), nil, nil), g.OnFailure(t.Context(), h, Failure{}),
	} {
		if code := failed(t, err).Result.ExitCode; code != i+1 {
			t.Errorf("code is %d, want %d", code, i+1)
		}
	}
	ok(t, g.Pre(t.Context(), Hooks{Pre: h.Pre})) // it has run, though it failed
	g.ran(t, "pre", "deploy", "post")
	for code := 1; code <= 4; code++ {
		if want := fmt.Sprintf("reported error code %d", code); g.Err() == nil || !strings.Contains(g.Err().Error(), want) {
			t.Errorf("Err lacks %q: %v", want, g.Err())
		}
	}
}

// A folder that cannot be read keeps no other hooks from running.
func TestSessionFolderThatCannotBeRead(t *testing.T) {
	g := newRig(t, false)
	for _, dir := range []string{g.folders.Pre, g.folders.Deploy, g.folders.Post} {
		script(t, dir, "") // a file
	}
	h := Hooks{Pre: says("pre"), Deploy: says("deploy"), Post: says("post")}
	err := errors.Join(g.Pre(t.Context(), h), g.Deploy(t.Context(), h, Lineage{}))
	for _, kind := range []Kind{Pre, Deploy, Post} {
		if want := "list the " + string(kind) + "s: "; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
	ok(t, g.Post(t.Context(), nil, nil))
	g.ran(t, "pre", "deploy", "post")
}

func TestSessionLimitsDomains(t *testing.T) {
	name := strings.Repeat("x", 94) + ".test"
	many := make([]string, 400)
	for i := range many {
		many[i] = name
	}
	fit := (maxDomains + 1) / (len(name) + 1)
	for _, c := range []struct{ renewed, failed, wantRenewed, wantFailed int }{
		{fit, 1, fit, 1}, {fit + 1, 1, fit, 1}, {2, 400, 2, fit}, {400, 400, fit, fit}, {0, 0, 0, 0},
	} {
		g := newRig(t, false)
		ok(t, g.Pre(t.Context(), Hooks{Post: `printf '%s\n' "$RENEWED_DOMAINS" "$FAILED_DOMAINS" >"$RAN"`}))
		ok(t, g.Post(t.Context(), many[:c.renewed], many[:c.failed]))
		b, _ := os.ReadFile(g.file)
		want := strings.Join(many[:c.wantRenewed], " ") + "\n" + strings.Join(many[:c.wantFailed], " ") + "\n"
		if string(b) != want {
			t.Errorf("%+v: %d bytes, want %d", c, len(b), len(want))
		}
		for name, limited := range map[string]bool{"RENEWED": c.renewed > fit, "FAILED": c.failed > fit} {
			if got := g.log.has("Limiting " + name + "_DOMAINS environment variable to 16k characters"); got != limited {
				t.Errorf("%+v: warned about %s: %v", c, name, got)
			}
		}
	}
}

// Lineages at the same time: no hook starts before another has ended, and a pre
// hook that they share runs once.
func TestSessionHooksNeverOverlap(t *testing.T) {
	g := newRig(t, false)
	alone := func(what string) string { // fails where the folder is there
		return `mkdir "$RAN.lock" || exit 1; ` + says(what) + `; rmdir "$RAN.lock"`
	}
	h := Hooks{Pre: alone("pre"), Deploy: alone("deploy"), OnFailure: alone("failure")}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ok(t, g.Pre(t.Context(), h))
			ok(t, g.Deploy(t.Context(), h, Lineage{}))
			ok(t, g.OnFailure(t.Context(), h, Failure{}))
		})
	}
	wg.Wait()
	b, _ := os.ReadFile(g.file)
	if got := string(b); strings.Count(got, "pre") != 1 || strings.Count(got, "deploy") != 8 || strings.Count(got, "failure") != 8 || !strings.HasPrefix(got, "pre\n") {
		t.Errorf("what ran:\n%s", got)
	}
}

func TestSessionContextThatEndsWhileWaiting(t *testing.T) {
	g := newRig(t, false)
	ready, wait := fifo(t), fifo(t)
	l := listen(t, ready)
	first := make(chan error, 1)
	go func() {
		first <- g.Pre(t.Context(), Hooks{Pre: fmt.Sprintf("echo ready >%s; read x <%s", ready, wait), Post: says("post")})
	}()
	l.line(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := g.Pre(ctx, Hooks{Pre: says("pre"), Post: says("never")})
	if !errors.Is(err, context.Canceled) || err.Error() != "wait for the hooks of other lineages: context canceled" || !errors.Is(g.Err(), context.Canceled) {
		t.Errorf("error is %v, of all %v", err, g.Err())
	}
	tell(t, wait)
	ok(t, get(t, "the first lineage's hook", first))
	ok(t, g.Post(t.Context(), nil, nil))
	g.ran(t, "post")
}

// In a run that was interrupted nothing new is started, each hook says so, and
// what the pre hooks before have stopped is started again.
func TestSessionThatWasInterrupted(t *testing.T) {
	for range 20 { // no matter of luck
		g := newRig(t, false)
		ctx, cancel := context.WithCancel(t.Context())
		h := Hooks{Pre: "true", Deploy: says("deploy"), Post: says("post")}
		ok(t, g.Pre(ctx, h))
		cancel()
		if f := failed(t, g.Deploy(ctx, h, Lineage{})); f.Result.Kind != Deploy || !errors.Is(f, context.Canceled) {
			t.Errorf("error is %v", f)
		}
		ok(t, g.Pre(ctx, Hooks{}))
		ok(t, g.Post(context.WithoutCancel(ctx), nil, nil))
		g.ran(t, "post")
	}
}

package installers

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestShow(t *testing.T) {
	p := &Plan{
		Notes: []string{"deploy a.test to the server block of /etc/toy/a:1"}, Warnings: []string{"b.test has none"},
		Changes: []Change{
			{Path: "/etc/toy/a", Old: []byte("old\nsame\n"), New: []byte("new\nsame\n")},
			{Path: "/etc/toy/n", Op: Create, New: []byte("n\n")},
			{Path: "/etc/toy/l", Op: Symlink, Target: "../n"},
			{Path: "/etc/toy/k", Op: Delete, Target: "../m"},
			{Path: "/etc/toy/g", Op: Delete, Old: []byte("gone\n")},
			{Path: "/etc/toy/d", Op: Mkdir},
		},
		Commands: []Command{{Do: []string{"a2enmod", "ssl"}, Undo: []string{"a2dismod", "ssl"}}, {Undo: []string{"x"}}},
		Serves:   []Endpoint{{Addr: "127.0.0.1:443", Name: "a.test"}}, Watch: []Endpoint{{Addr: "127.0.0.1:443"}},
		Checks: []HTTPCheck{{Addr: "127.0.0.1:80", Host: "a.test", WantStatus: []int{301, 308}, WantLocationPrefix: "https://a.test/", WantHeader: map[string]string{"X-A": "b"}, WantBody: "c"}},
	}
	var b strings.Builder
	if err := Show(&b, p, &toyClient{}); err != nil {
		t.Fatal(err)
	}
	const want = `warning: b.test has none
toy: this is what would be done; nothing is changed.
toy: deploy a.test to the server block of /etc/toy/a:1
--- /etc/toy/a
+++ /etc/toy/a
@@ -1,2 +1,2 @@
-old
+new
 same
--- /dev/null
+++ /etc/toy/n
@@ -0,0 +1 @@
+n
new link /etc/toy/l -> ../n
delete the link /etc/toy/k -> ../m
--- /etc/toy/g
+++ /dev/null
@@ -1 +0,0 @@
-gone
new folder /etc/toy/d
commands:
  a2enmod ssl
  toy -t
  toy -s reload
verified afterwards:
  127.0.0.1:443 (a.test) shows the certificate
  GET http://a.test/ at 127.0.0.1:80 answers 301 or 308, leads to https://a.test/, has X-A: b, says "c"
  127.0.0.1:443 shows what it does now
`
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := Show(&b, &Plan{Serves: p.Serves}, &toyClient{}); err != nil || b.String() != "toy: nothing to change\nverified afterwards:\n  127.0.0.1:443 (a.test) shows the certificate\n" {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestRun(t *testing.T) {
	out, err := Run(t.Context(), []string{"sh", "-c", "echo out; echo err >&2"})
	if err != nil || out != "out\nerr" {
		t.Errorf("%q, %v", out, err)
	}
	out, err = Run(t.Context(), []string{"sh", "-c", "echo why >&2; exit 3"})
	if err == nil || out != "why" || err.Error() != "sh -c echo why >&2; exit 3: exit status 3:\nwhy" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err = Run(t.Context(), []string{"/nonexistent/x"}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err = Run(t.Context(), nil); err == nil {
		t.Error("nothing was run")
	}
	// What is too much is left out; what goes on in the background is not waited for.
	out, err = Run(t.Context(), []string{"sh", "-c", "yes | head -c 1000000; sleep 5 & echo $! >&2"})
	if err != nil || len(out) < maxOutput-10 || len(out) > maxOutput {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err = Run(ctx, []string{"sh", "-c", "sleep 60; echo"}); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

// A challenge answers while it is there, and nothing of it is left.
func TestTemporary(t *testing.T) {
	b := setUp(t)
	before := snapshot(t, b.dir, true)
	plan := &Plan{
		Changes: []Change{b.rewrite("sites/b", read(t, b.dir+"/sites/b")+"redirect\n")},
		Checks:  []HTTPCheck{{Addr: b.http, Host: "a.test", WantStatus: []int{301}}},
		Watch:   b.plan.Watch,
	}
	ctx, cancel := context.WithCancel(t.Context())
	undo, err := b.runner.Temporary(ctx, b, plan)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Checks[0].run(t.Context()) != nil || read(t, b.runner.Work+"/temp_checkpoint/FILEPATHS") != b.dir+"/sites/b\n" {
		t.Error("it is not there")
	}
	cancel()
	for range 2 {
		if err := undo(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if now := snapshot(t, b.dir, true); now != before || plan.Checks[0].run(t.Context()) == nil || b.reloads != 2 {
		t.Errorf("something is left; %d reloads", b.reloads)
	}
	b.litter(t)
	if names, err := b.runner.names(); err != nil || len(names) != 0 {
		t.Errorf("%q, %v", names, err)
	}
	// One that does not answer is taken back.
	plan.Checks[0].WantBody = "nothing"
	_, err = b.runner.Temporary(t.Context(), b, plan)
	if failed, ok := errors.AsType[*StepError](err); !ok || failed.Step != Verify || failed.State != Undone {
		t.Errorf("%v", err)
	}
	if now := snapshot(t, b.dir, true); now != before {
		t.Error("something is left")
	}
}

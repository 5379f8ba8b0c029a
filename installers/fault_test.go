package installers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edge/internal/diff"
	"edge/internal/durable"

	"golang.org/x/sys/unix"
)

// setUpRich is a bench with one of every kind of change, on files with attributes.
func setUpRich(t *testing.T) *bench {
	b := setUp(t)
	write(t, b.dir+"/elsewhere/c", "# c\n", 0o644)
	write(t, b.dir+"/sites/gone", "# gone\n", 0o600)
	if err := os.Symlink("../elsewhere/c", b.dir+"/sites/c"); err != nil {
		t.Fatal(err)
	}
	long := time.Unix(1000000000, 123456789)
	for _, name := range []string{"sites/a", "sites/gone"} {
		path := filepath.Join(b.dir, name)
		err := errors.Join(os.Chown(path, 1234, 5678), unix.Setxattr(path, "user.note", []byte("keep\x00me"), 0), os.Chtimes(path, long, long))
		if err != nil {
			t.Fatal(err)
		}
	}
	b.plan, b.was = richPlan(b.dir, b.tls), snapshot(t, b.dir, true)
	return b
}

// richPlan is the same in a process that is going to be killed.
func richPlan(dir, tls string) *Plan {
	return &Plan{
		Titles: []string{"Deployed ACME Certificate", "Add enhancement redirect"},
		Changes: []Change{
			{Path: dir + "/sites/a", Old: contentOf(dir + "/sites/a"), New: []byte("a.test " + dir + "/new/fullchain.pem " + dir + "/new/privkey.pem\n")},
			{Path: dir + "/sites/gone", Op: Delete, Old: []byte("# gone\n")},
			{Path: dir + "/sites/c", Op: Delete},
			{Path: dir + "/sites/d", Op: Symlink, Target: "../elsewhere/c"},
			{Path: dir + "/extra", Op: Mkdir, Mode: 0o750},
			{Path: dir + "/extra/x", Op: Create, New: []byte("# x\n"), Mode: 0o600, Owner: &durable.Owner{UID: 4321, GID: 8765}},
		},
		Commands: []Command{{Do: []string{"touch", dir + "/marker"}, Undo: []string{"rm", "-f", dir + "/marker"}}},
		Serves:   []Endpoint{{Addr: tls, Name: "a.test"}},
		Watch:    []Endpoint{{Addr: tls, Name: "b.test"}},
	}
}

func contentOf(path string) []byte {
	raw, _ := os.ReadFile(path)
	return raw
}

// checkNew wants all that the rich plan writes.
func (b *bench) checkNew(t *testing.T) {
	t.Helper()
	content, was, err := readFile(b.dir + "/sites/a")
	if err != nil || string(content) != string(b.plan.Changes[0].New) || was.Mode != 0o640 || was.UID != 1234 || was.GID != 5678 || string(was.Extended["user.note"]) != "keep\x00me" {
		t.Errorf("sites/a: %q, %+v, %v", content, was, err)
	}
	for _, gone := range []string{"/sites/gone", "/sites/c"} {
		if _, err := os.Lstat(b.dir + gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", gone, err)
		}
	}
	if target, err := os.Readlink(b.dir + "/sites/d"); err != nil || target != "../elsewhere/c" {
		t.Errorf("sites/d: %q, %v", target, err)
	}
	if content, was, err := readFile(b.dir + "/extra/x"); err != nil || string(content) != "# x\n" || was.Mode != 0o600 || was.UID != 4321 || was.GID != 8765 {
		t.Errorf("extra/x: %q, %+v, %v", content, was, err)
	}
	if info, err := os.Stat(b.dir + "/extra"); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("extra: %v, %v", info, err)
	}
	if _, err := os.Stat(b.dir + "/marker"); err != nil {
		t.Errorf("the command: %v", err)
	}
	if got := b.shows(t, "a.test"); got != 3 {
		t.Errorf("certificate %d is shown, not the new one", got)
	}
}

func (b *bench) checkOld(t *testing.T, before string) {
	t.Helper()
	if now := snapshot(t, b.dir, true); now != before {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}
	if got := b.shows(t, "a.test"); got != 1 {
		t.Errorf("certificate %d is shown, not the old one", got)
	}
}

// litter wants nothing in the work folder but finished checkpoints.
func (b *bench) litter(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(b.runner.Work)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if e.Name() != "backups" {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

// operations are what is disturbed, on a bench that prepare made.
var operations = map[string]struct {
	prepare func(t *testing.T, b *bench)
	run     func(ctx context.Context, r *Runner, s Server, p *Plan, q Request) error
	// check looks at how it ended, when what was unfinished is recovered.
	check func(t *testing.T, b *bench, before string)
}{
	"apply": {
		prepare: func(*testing.T, *bench) {},
		run: func(ctx context.Context, r *Runner, s Server, p *Plan, q Request) error {
			_, err := r.Apply(ctx, s, p, q)
			return err
		},
		check: func(t *testing.T, b *bench, before string) {
			names, err := b.runner.names()
			if err != nil {
				t.Fatal(err)
			}
			if len(names) == 0 {
				b.checkOld(t, before)
				if _, err := b.runner.Apply(t.Context(), b, b.plan, b.request); err != nil {
					t.Fatalf("the next run: %v", err)
				}
			}
			b.checkNew(t)
			if _, err := b.runner.Rollback(t.Context(), 1, b.find, false); err != nil {
				t.Fatalf("rolling back: %v", err)
			}
			b.checkOld(t, before)
		},
	},
	"temporary": {
		prepare: func(*testing.T, *bench) {},
		run: func(ctx context.Context, r *Runner, s Server, p *Plan, q Request) error {
			p.Serves[0].Leaf, _ = leafOf(q.Certificate)
			undo, err := r.Temporary(ctx, s, p)
			if err != nil {
				return err
			}
			return undo(ctx)
		},
		check: func(t *testing.T, b *bench, before string) {
			b.checkOld(t, before)
		},
	},
	"forget": {
		prepare: func(*testing.T, *bench) {},
		run: func(ctx context.Context, r *Runner, s Server, p *Plan, q Request) error {
			p.Forget = true
			_, err := r.Apply(ctx, s, p, q)
			return err
		},
		check: func(t *testing.T, b *bench, before string) {
			if names, err := b.runner.names(); err != nil || len(names) != 0 {
				t.Errorf("kept: %q, %v", names, err)
			}
			if read(t, b.dir+"/sites/a") == string(b.plan.Changes[0].New) {
				b.checkNew(t)
			} else {
				b.checkOld(t, before)
			}
		},
	},
	"recover": {
		prepare: func(t *testing.T, b *bench) {
			u := &run{Runner: b.runner, server: b, plan: b.plan, at: dirInProgress}
			u.look(t.Context(), nil)
			if err := errors.Join(u.prepare(u.record, b.plan.Changes, u.at), u.stage(t.Context())); err != nil {
				t.Fatal(err)
			}
			write(t, b.dir+"/sites/.a.tmp-1", "half of it", 0o600)
			if err := b.Activate(t.Context()); err != nil { // it saw that
				t.Fatal(err)
			}
		},
		run: func(ctx context.Context, r *Runner, s Server, p *Plan, q Request) error {
			_, err := r.Recover(ctx, func(string) Server { return s })
			return err
		},
		check: func(t *testing.T, b *bench, _ string) {
			b.checkOld(t, b.was)
		},
	},
	"rollback": {
		prepare: func(t *testing.T, b *bench) {
			if _, err := b.runner.Apply(t.Context(), b, b.plan, b.request); err != nil {
				t.Fatal(err)
			}
		},
		run: func(ctx context.Context, r *Runner, s Server, p *Plan, q Request) error {
			_, err := r.Rollback(ctx, 1, func(string) Server { return s }, false)
			return err
		},
		check: func(t *testing.T, b *bench, before string) {
			names, err := b.runner.names()
			if err != nil {
				t.Fatal(err)
			}
			if len(names) == 1 {
				if now := snapshot(t, b.dir, true); now != before {
					t.Errorf("not as before the rollback:\n%s", diff.Unified("before", "now", before, now))
				}
				b.checkNew(t)
				if _, err := b.runner.Rollback(t.Context(), 1, b.find, false); err != nil {
					t.Fatalf("the next rollback: %v", err)
				}
			}
			if content := read(t, b.dir+"/sites/a"); content == string(b.plan.Changes[0].New) || b.shows(t, "a.test") != 1 {
				t.Errorf("not rolled back: %q", content)
			}
			if _, err := os.Lstat(b.dir + "/extra"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the folder that was new: %v", err)
			}
		},
	},
}

func leafOf(c Certificate) ([32]byte, error) {
	chain, err := c.load()
	if err != nil {
		return [32]byte{}, err
	}
	return leafDigest(chain[0]), nil
}

// failAt fails the nth step, or every step from there on.
func failAt(n int, forever bool, fail func() error) (before func(durable.Step, string) error, steps *atomic.Int64) {
	steps = new(atomic.Int64)
	return func(durable.Step, string) error {
		if i := int(steps.Add(1)) - 1; i == n || forever && i > n {
			return fail()
		}
		return nil
	}, steps
}

// Disks that fail or are full at any step, once or from there on, and processes that die
// there: after the next Recover all is as it was or as it was to be, and the server
// shows what is on the disk.
func TestFaultAtEachStep(t *testing.T) {
	if os.Getenv("EDGE_INSTALLERS_DIR") != "" {
		dieInChild(t)
	}
	for name, op := range operations {
		whole := setUpRich(t)
		op.prepare(t, whole)
		before, steps := failAt(-1, false, nil)
		whole.runner.Durable.Before = before
		state := snapshot(t, whole.dir, true)
		if err := op.run(t.Context(), whole.runner, whole.toyClient, whole.plan, whole.request); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		total := int(steps.Load())
		whole.runner.Durable.Before = nil
		whole.litter(t)
		op.check(t, whole, state)
		t.Logf("%s: %d steps", name, total)
		for n := range total {
			for i, fault := range []string{"EIO", "ENOSPC", "KILL"} {
				if os.Getenv("EDGE_SOAK") == "" && (n+7*i)%29 != 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s/%d/%s", name, n, fault), func(t *testing.T) {
					b := setUpRich(t)
					op.prepare(t, b)
					state := snapshot(t, b.dir, true)
					var err error
					switch fault {
					case "EIO":
						b.runner.Durable.Before, _ = failAt(n, false, func() error { return syscall.EIO })
						err = op.run(t.Context(), b.runner, b.toyClient, b.plan, b.request)
					case "ENOSPC":
						b.runner.Durable.Before, _ = failAt(n, true, func() error { return syscall.ENOSPC })
						err = op.run(t.Context(), b.runner, b.toyClient, b.plan, b.request)
					default:
						killChild(t, b, name, n)
					}
					b.runner.Durable.Before = nil
					var failed *StepError
					if errors.As(err, &failed) && failed.State != NotUndone {
						if now := snapshot(t, b.dir, true); now != state {
							t.Errorf("%v, but:\n%s", err, diff.Unified("before", "now", state, now))
						}
					}
					recovered, err := b.runner.Recover(t.Context(), b.find)
					if err != nil {
						t.Fatal(err)
					}
					for _, r := range recovered {
						if r.Err != nil || len(r.Notes) > 0 {
							t.Errorf("%+v", r)
						}
					}
					b.litter(t)
					op.check(t, b, state)
				})
			}
		}
	}
}

func killChild(t *testing.T, b *bench, name string, n int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestFaultAtEachStep$")
	child.Env = append(os.Environ(), "EDGE_INSTALLERS_DIR="+b.dir, "EDGE_INSTALLERS_CONTROL="+b.control, "EDGE_INSTALLERS_TLS="+b.tls,
		"EDGE_INSTALLERS_OP="+name, "EDGE_INSTALLERS_STEP="+strconv.Itoa(n))
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed: %v\n%s", err, out)
	}
}

// dieInChild is the process that is killed.
func dieInChild(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("EDGE_INSTALLERS_STEP"))
	if err != nil {
		t.Fatal(err)
	}
	dir := os.Getenv("EDGE_INSTALLERS_DIR")
	before, _ := failAt(n, false, func() error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	r := &Runner{Work: dir + "/work", Verify: time.Second, settle: time.Millisecond, Durable: durable.Writer{Before: before}}
	c := Certificate{Cert: dir + "/new/cert.pem", Key: dir + "/new/privkey.pem", FullChain: dir + "/new/fullchain.pem"}
	s := &toyClient{os.Getenv("EDGE_INSTALLERS_CONTROL")}
	err = operations[os.Getenv("EDGE_INSTALLERS_OP")].run(t.Context(), r, s, richPlan(dir, os.Getenv("EDGE_INSTALLERS_TLS")), Request{Names: []string{"a.test"}, Deploy: true, Certificate: c})
	t.Fatalf("still alive: %v", err)
}

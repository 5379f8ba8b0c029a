package installers

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"edge/internal/diff"
)

// certbot runs a few lines of Python with certbot's own reverter, r, on the work folder
// of the bench. Debian package python3-certbot.
func (b *bench) certbot(t *testing.T, lines string, args ...string) {
	t.Helper()
	const start = `
import sys, types
from certbot.reverter import Reverter
work, args = sys.argv[1], sys.argv[2:]
r = Reverter(types.SimpleNamespace(strict_permissions=False, backup_dir=work + "/backups",
    temp_checkpoint_dir=work + "/temp_checkpoint", in_progress_dir=work + "/IN_PROGRESS"))
`
	out, err := exec.Command("/usr/bin/python3", append([]string{"-c", start + lines, b.runner.Work}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("certbot: %v\n%s", err, out)
	}
}

// plainPlan has all kinds of changes that certbot's format can take back byte for byte.
func (b *bench) plainPlan(t *testing.T) *Plan {
	t.Helper()
	write(t, b.dir+"/elsewhere/c", "# c\n", 0o644)
	if err := os.Symlink("../elsewhere/c", b.dir+"/sites/c"); err != nil {
		t.Fatal(err)
	}
	p := *b.plan
	p.Changes = append(slices.Clone(p.Changes),
		b.rewrite("elsewhere/c", "# another\n"),
		Change{Path: b.dir + "/sites/n", Op: Create, New: []byte("# n\n"), Mode: 0o644},
		Change{Path: b.dir + "/sites/l", Op: Symlink, Target: "../elsewhere/c"},
		Change{Path: b.dir + "/sites/c", Op: Delete})
	p.Commands = []Command{{Do: []string{"touch", b.dir + `/a "marker", of ours`}, Undo: []string{"rm", b.dir + `/a "marker", of ours`}}}
	return &p
}

// certbot rolls back what edge installed.
func TestCertbotRollsBack(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	plan := b.plainPlan(t)
	before := snapshot(t, b.dir, true)
	for range 2 {
		if _, err := b.runner.Apply(t.Context(), b, plan, b.request); err != nil {
			t.Fatal(err)
		}
		b.certbot(t, "r.rollback_checkpoints(1)")
		if now := snapshot(t, b.dir, true); now != before {
			t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
		}
		if names, err := b.runner.names(); err != nil || len(names) != 0 {
			t.Errorf("%q, %v", names, err)
		}
	}
	// What its format cannot carry: folders, and the owners of files that were deleted.
	b = setUpRich(t)
	if _, err := b.runner.Apply(t.Context(), b, b.plan, b.request); err != nil {
		t.Fatal(err)
	}
	b.certbot(t, "r.rollback_checkpoints(1)")
	_, was, err := readFile(b.dir + "/sites/gone")
	if err != nil || was.Mode != 0o600 || string(was.Extended["user.note"]) != "keep\x00me" || was.Modified != 1000000000123456789 {
		t.Errorf("%+v, %v", was, err)
	}
	if _, was, err := readFile(b.dir + "/sites/a"); err != nil || was.Mode != 0o640 || was.UID != 1234 || was.Modified != 1000000000123456789 {
		t.Errorf("%+v, %v", was, err)
	}
}

// certbot recovers from what a killed edge left behind.
func TestCertbotRecovers(t *testing.T) {
	t.Parallel()
	for _, temporary := range []bool{false, true} {
		b := setUp(t)
		plan := b.plainPlan(t)
		before := snapshot(t, b.dir, true)
		u := &run{Runner: b.runner, server: b, plan: plan, at: map[bool]string{false: dirInProgress, true: dirTemporary}[temporary]}
		u.look(t.Context(), nil)
		if err := errors.Join(u.prepare(u.record, plan.Changes, u.at), u.stage(t.Context())); err != nil {
			t.Fatal(err)
		}
		b.certbot(t, "r.recovery_routine()")
		if now := snapshot(t, b.dir, true); now != before {
			t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
		}
		b.litter(t)
	}
}

// What certbot does in this order: note, write, and perhaps finish.
const certbotInstalls = `
d = args[0]
r.add_to_checkpoint({d + "/sites/a", d + "/sites/c"}, "some notes\n")
r.register_file_creation(False, d + "/sites/new", d + "/sites/link")
r.register_undo_command(False, ["rm", d + '/a "marker", of certbot'])
r.register_undo_command(False, ["/bin/false"])
open(d + "/sites/a", "a").write("# certbot\n")
open(d + "/sites/c", "a").write("# certbot\n")
open(d + "/sites/new", "w").write("# certbot\n")
import os
os.symlink("new", d + "/sites/link")
open(d + '/a "marker", of certbot', "w")
`

func (b *bench) forCertbot(t *testing.T) (before string) {
	t.Helper()
	write(t, b.dir+"/elsewhere/c", "# c\n", 0o600)
	err := errors.Join(os.Symlink("../elsewhere/c", b.dir+"/sites/c"), os.Chown(b.dir+"/elsewhere/c", 1234, 5678), os.Chown(b.dir+"/sites/a", 1234, 5678))
	if err != nil {
		t.Fatal(err)
	}
	return snapshot(t, b.dir, true)
}

// edge rolls back what certbot installed, also through links, with undo commands that
// fail, and under what edge installed later.
func TestRollbackOfCertbots(t *testing.T) {
	t.Parallel()
	for _, between := range []bool{false, true} {
		b := setUp(t)
		before := b.forCertbot(t)
		b.certbot(t, certbotInstalls+`r.finalize_checkpoint("Deployed ACME Certificate")`, b.dir)
		if snapshot(t, b.dir, true) == before {
			t.Fatal("certbot did nothing")
		}
		n := 1
		if between {
			n = 2
			b.install(t, "two", b.rewrite("sites/a", read(t, b.dir+"/sites/a")+"# edge\n"))
		}
		list, err := b.runner.Checkpoints()
		if err != nil || len(list) != n || list[n-1].Server != "" || !slices.Equal(list[n-1].Titles, []string{"Deployed ACME Certificate"}) || len(list[n-1].Paths) != 4 {
			t.Errorf("%+v, %v", list, err)
		}
		out, err := b.runner.Rollback(t.Context(), n, func(name string) Server {
			if name == "" {
				return nil
			}
			return b.toyClient
		}, false)
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(out.Warnings, "\n"); !strings.Contains(text, "does not say for which server") || !strings.Contains(text, "unable to run undo command: /bin/false") {
			t.Errorf("warnings: %s", text)
		}
		if now := snapshot(t, b.dir, true); now != before {
			t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
		}
		b.litter(t)
	}
}

// edge recovers from what a killed certbot left behind.
func TestRecoverCertbots(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	before := b.forCertbot(t)
	b.certbot(t, certbotInstalls+`
r.add_to_temp_checkpoint({d + "/sites/b"}, "challenge")
r.register_file_creation(True, d + "/sites/challenge")
open(d + "/sites/b", "a").write("# challenge\n")
open(d + "/sites/challenge", "w").write("# challenge\n")
`, b.dir)
	// Until then nothing is written on top of it.
	_, err := b.runner.Apply(t.Context(), b, b.plan, b.request)
	if failed, ok := errors.AsType[*StepError](err); !ok || failed.State != Untouched || !strings.Contains(err.Error(), "it has to be recovered first") {
		t.Errorf("%v", err)
	}
	reloads := b.reloads
	got, err := b.runner.Recover(t.Context(), b.find)
	if err != nil || len(got) != 2 || got[0].Checkpoint != "temp_checkpoint" || got[1].Checkpoint != "IN_PROGRESS" || got[0].Server != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	if got[0].Err != nil || got[1].Err == nil || !strings.Contains(got[1].Err.Error(), "/bin/false") || b.reloads != reloads+2 {
		t.Errorf("%+v, %d reloads", got, b.reloads-reloads)
	}
	if now := snapshot(t, b.dir, true); now != before {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}
	b.litter(t)
}

// A challenge of certbot's is under way: what it changed is not for us to change.
func TestChallengeFilesAreLeftAlone(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.certbot(t, `r.add_to_temp_checkpoint({args[0] + "/sites/a"}, "challenge")`, b.dir)
	b.failsAt(t, t.Context(), Precheck, Untouched, "Attempting to overwrite challenge file - "+b.dir+"/sites/a")
	// The other way round, with a challenge of ours.
	b = setUp(t)
	b.plan.Serves[0].Leaf, _ = leafOf(b.request.Certificate)
	undo, err := b.runner.Temporary(t.Context(), b, b.plan)
	if err != nil {
		t.Fatal(err)
	}
	b.certbot(t, `
from certbot import errors
try:
    r.add_to_checkpoint({args[0] + "/sites/a"}, "notes")
except errors.ReverterError as e:
    assert str(e) == "Attempting to overwrite challenge file - " + args[0] + "/sites/a", e
else:
    raise Exception("it was taken")
`, b.dir)
	if _, err := b.runner.Temporary(t.Context(), b, b.plan); err == nil {
		t.Error("two at a time")
	}
	for range 2 {
		if err := undo(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// The names of checkpoints grow from one program to the other.
func TestTimestampsOfBoth(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	var want []string
	for i := range 3 {
		want = append(want, b.install(t, "x", b.rewrite("sites/b", read(t, b.dir+"/sites/b")+"# "+strconv.Itoa(i)+"\n")))
		b.certbot(t, `r.add_to_checkpoint({args[0] + "/sites/b"}, "x"); r.finalize_checkpoint("y")`, b.dir)
		names, err := b.runner.names()
		if err != nil || len(names) != 2*i+2 || names[1] != want[i] {
			t.Errorf("%q, %v; want %q next to last", names, err, want[i])
		}
	}
}

// What somebody else could have written has no commands for us.
func TestCheckpointOfStrangers(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	own, mode := func(uid int) func(string) error { return func(p string) error { return os.Chown(p, uid, uid) } },
		func(m os.FileMode) func(string) error { return func(p string) error { return os.Chmod(p, m) } }
	checkpoint := b.runner.Work + "/IN_PROGRESS"
	write(t, checkpoint+"/COMMANDS", "touch,"+b.dir+"/owned\r\n", 0o644)
	finished := b.runner.Work + "/backups/1700000000.5"
	write(t, finished+"/COMMANDS", "touch,"+b.dir+"/owned\r\n", 0o644)
	for _, c := range []struct {
		path         string
		change, back func(string) error
		says         string
	}{
		{"/COMMANDS", own(1234), own(0), "/COMMANDS: others could have written it (owner 1234, mode 0644)"},
		{"/COMMANDS", mode(0o666), mode(0o644), "then chmod go-w "},
		{"/COMMANDS", mode(0o664), mode(0o644), "then chmod g-w "},
		{"/COMMANDS", mode(0o646), mode(0o644), "then chmod o-w "},
		{"", mode(0o775), mode(0o755), ": others could have written it (owner 0, mode 0775): look at what is in "},
		{"/..", mode(0o775), mode(0o755), ": others could have written what is in it (mode 0775), and commands in there would be run: look at it, then chmod g-w " + b.runner.Work},
	} {
		for dir, try := range map[string]func() error{
			checkpoint: func() error { _, err := b.runner.Recover(t.Context(), b.find); return err },
			finished:   func() error { _, err := b.runner.Rollback(t.Context(), 1, b.find, true); return err },
		} {
			if err := c.change(dir + c.path); err != nil {
				t.Fatal(err)
			}
			if err := try(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s%s: %v\nwant: %s", dir, c.path, err, c.says)
			}
			if err := c.back(dir + c.path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := os.Lstat(b.dir + "/owned"); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("it was run: %v", err)
	}
	// With all of that taken away they are as good as any, in a folder like /tmp, too.
	if err := os.Chmod(b.runner.Work, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if got, err := b.runner.Recover(t.Context(), b.find); err != nil || len(got) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

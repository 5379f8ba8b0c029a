package installers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edge/internal/diff"
	"edge/internal/durable"

	"golang.org/x/sys/unix"
)

// failsAt applies the plan, which has to fail at a step with all as it was.
func (b *bench) failsAt(t *testing.T, ctx context.Context, step Step, state UndoState, says ...string) *StepError {
	t.Helper()
	before := snapshot(t, b.dir, true)
	_, err := b.runner.Apply(ctx, b, b.plan, b.request)
	var failed *StepError
	if !errors.As(err, &failed) || failed.Step != step || failed.State != state {
		t.Fatalf("%v; want a failure of %s in state %d", err, step, state)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%v\ndoes not say: %s", err, text)
		}
	}
	if now := snapshot(t, b.dir, true); now != before && state != NotUndone {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}
	if there, err := b.runner.pending(dirInProgress); there || err != nil {
		t.Errorf("unfinished: %v", err)
	}
	return failed
}

func TestReloadIgnored(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.ignoreReload = true
	b.failsAt(t, t.Context(), Verify, Undone, "toy: verify: ", "(a.test) shows the certificate of a.test with serial 1 ",
		"the running server still shows the certificate with serial 1: it ignored the reload", "everything was put back")
	if b.reloads != 2 {
		t.Errorf("%d reloads, want one each way", b.reloads)
	}
}

func TestReloadFails(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.failReload = true
	b.failsAt(t, t.Context(), Activate, Undone, "toy: activate: toy reload: reload failed: no such process",
		"the server goes on showing what it did before, but refused to load it again")

	// Without anything to look at, nobody knows.
	b.plan.Serves, b.plan.Watch = nil, nil
	b.failsAt(t, t.Context(), Activate, NotUndone, "not everything could be put back: toy reload", "then run: toy -t", "then run: toy -s reload")
	if read(t, b.dir+"/sites/a") == string(b.plan.Changes[0].New) {
		t.Error("the files are not as they were")
	}
}

func TestTestFails(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.plan.Changes[0].New = []byte("nonsense\n")
	e := b.failsAt(t, t.Context(), Test, Undone, `toy test: a:1: unknown directive "nonsense"`)
	if b.reloads != 0 || e.Cause != "" {
		t.Errorf("%d reloads of a server that never saw it; cause %q", b.reloads, e.Cause)
	}
	write(t, b.dir+"/sites/z", "rubbish\n", 0o644)
	b.failsAt(t, t.Context(), Test, Undone, "it was broken before")
}

// A third party makes the server show a certificate of its own.
func TestCertificateOfThirdParty(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	third := recipe{serial: 9, names: []string{"a.test"}}.make(t).lineage(t, b.dir+"/third")
	restored := false
	b.onReload = func() {
		if pair, _, err := b.parse(); err == nil && !restored {
			restored = true
			write(t, b.dir+"/sites/zz", "a.test "+third.FullChain+" "+third.Key+"\n", 0o644)
			if err := b.load(); err != nil || pair == nil {
				t.Error(err)
			}
			if err := os.Remove(b.dir + "/sites/zz"); err != nil {
				t.Error(err)
			}
		}
	}
	b.failsAt(t, t.Context(), Verify, Undone, "with serial 9", "neither the old certificate nor the new one")
	if b.shows(t, "a.test") != 1 {
		t.Error("the old one is not shown")
	}
}

// The files of the certificate are replaced while the server loads them.
func TestCertificateReplacedDuringRun(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	again := recipe{serial: 10, names: []string{"a.test"}}.make(t)
	first := true
	b.onReload = func() {
		if first {
			first = false
			again.lineage(t, b.dir+"/new")
			if err := b.load(); err != nil {
				t.Error(err)
			}
		}
	}
	_, err := b.runner.Apply(t.Context(), b, b.plan, b.request)
	var failed *StepError
	if !errors.As(err, &failed) || failed.State != Undone || !strings.Contains(err.Error(), "/new/fullchain.pem has been changed while the server was: run the command again") {
		t.Errorf("%v", err)
	}
}

func TestServerGone(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.onReload = func() { b.listener.Close() }
	b.failsAt(t, t.Context(), Verify, NotUndone, "nothing listens there any more", "the server does not show what it did before")
}

// Nobody's edit is lost: neither before nor while the plan is carried out.
func TestEditedMeanwhile(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	write(t, b.dir+"/sites/a", read(t, b.dir+"/sites/a")+"# edited\n", 0o640)
	e := b.failsAt(t, t.Context(), Precheck, Untouched, "/sites/a has been changed since the plan was made")
	if _, ok := errors.AsType[*staleError](e); !ok {
		t.Errorf("%v", e)
	}

	b = setUp(t)
	b.ignoreReload = true
	edited := string(b.plan.Changes[0].New) + "# edited\n"
	b.onReload = func() {
		if b.reloads == 1 {
			write(t, b.dir+"/sites/a", edited, 0o640)
		}
	}
	before := read(t, b.dir+"/sites/a")
	e = b.failsAt(t, t.Context(), Verify, Undone, "somebody else changed "+b.dir+"/sites/a meanwhile", "see "+b.runner.Work+"/EDGE_KEPT/a-")
	if read(t, b.dir+"/sites/a") != before {
		t.Error("not put back")
	}
	kept, err := os.ReadDir(b.runner.Work + "/EDGE_KEPT")
	if err != nil || len(kept) != 1 || read(t, b.runner.Work+"/EDGE_KEPT/"+kept[0].Name()) != edited {
		t.Errorf("kept: %v, %v; %v", kept, err, e)
	}
}

// What somebody does to new files, links and folders meanwhile is not lost either.
func TestNewThingsEditedMeanwhile(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.ignoreReload = true
	b.plan.Changes = append(b.plan.Changes,
		Change{Path: b.dir + "/sites/l", Op: Symlink, Target: "a"},
		Change{Path: b.dir + "/sites/n", Op: Create, New: []byte("# n\n"), Mode: 0o644},
		Change{Path: b.dir + "/extra", Op: Mkdir, Mode: 0o755})
	b.onReload = func() {
		if b.reloads == 1 {
			write(t, b.dir+"/sites/n", "# edited\n", 0o644)
			write(t, b.dir+"/extra/theirs", "x", 0o644)
			if err := errors.Join(os.Remove(b.dir+"/sites/l"), os.Symlink("b", b.dir+"/sites/l")); err != nil {
				t.Error(err)
			}
		}
	}
	_, err := b.runner.Apply(t.Context(), b, b.plan, b.request)
	failed, ok := errors.AsType[*StepError](err)
	if !ok || failed.State != Undone || len(failed.Notes) != 3 {
		t.Fatalf("%v", err)
	}
	if target, err := os.Readlink(b.dir + "/sites/l"); err != nil || target != "b" {
		t.Errorf("their link: %q, %v", target, err)
	}
	kept, err := filepath.Glob(b.runner.Work + "/EDGE_KEPT/n-*")
	if err != nil || len(kept) != 1 || read(t, kept[0]) != "# edited\n" || read(t, b.dir+"/extra/theirs") != "x" {
		t.Errorf("kept: %q, %v", kept, err)
	}
	if _, err := os.Lstat(b.dir + "/sites/n"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the new file: %v", err)
	}
}

// An editor that is faster than the journal, or writes between the journal and the change.
func TestEditedWhileNoting(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"/EDGE_PREPARED", "/IN_PROGRESS"} {
		b := setUp(t)
		edited := read(t, b.dir+"/sites/a") + "# edited\n"
		b.plan.Commands = []Command{{Do: []string{"touch", b.dir + "/done"}, Undo: []string{"rm", b.dir + "/done"}}} // comes first, and is undone
		b.runner.Durable.Before = func(_ durable.Step, path string) error {
			if path == b.runner.Work+when {
				write(t, b.dir+"/sites/a", edited, 0o640)
			}
			return nil
		}
		_, err := b.runner.Apply(t.Context(), b, b.plan, b.request)
		failed, ok := errors.AsType[*StepError](err)
		if _, stale := errors.AsType[*staleError](err); !ok || !stale || failed.Step != Stage || failed.State == NotUndone || b.reloads != 0 {
			t.Errorf("%s: %v", when, err)
		}
		if now := read(t, b.dir+"/sites/a"); now != edited {
			t.Errorf("the edit is gone: %q", now)
		}
		if _, err := os.Lstat(b.dir + "/done"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what the command did is there: %v", err)
		}
	}
}

// A folder that cannot be written to: immutable, or on a file system mounted read-only.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	folder, err := os.Open(b.dir + "/sites")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	flags, err := unix.IoctlGetInt(int(folder.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		t.Fatal(err)
	}
	const immutable = 0x10 // FS_IMMUTABLE_FL
	if err := unix.IoctlSetPointerInt(int(folder.Fd()), unix.FS_IOC_SETFLAGS, flags|immutable); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.IoctlSetPointerInt(int(folder.Fd()), unix.FS_IOC_SETFLAGS, flags); err != nil {
			t.Error(err)
		}
	}()
	b.failsAt(t, t.Context(), Stage, Undone, "operation not permitted; the file or folder may be immutable")
	if b.reloads != 0 {
		t.Error("the server was reloaded for nothing")
	}
}

func TestWatchedNameBroken(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	c := b.request.Certificate
	b.plan.Changes = append(b.plan.Changes, b.rewrite("sites/b", "b.test "+c.FullChain+" "+c.Key+"\n"))
	b.failsAt(t, t.Context(), Verify, Undone, "(b.test) shows the certificate of a.test with serial 3", "the change has an effect on a name that it must not have any on")
	if b.shows(t, "b.test") != 2 {
		t.Error("the watched name is not as it was")
	}
}

// Old workers go on answering for a while: that the watched name is broken shows late.
func TestWatchedNameBrokenLate(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.runner.settle = 200 * time.Millisecond
	b.onReload = func() {
		if b.reloads == 1 {
			time.AfterFunc(50*time.Millisecond, func() {
				b.mu.Lock()
				defer b.mu.Unlock()
				delete(b.sites, "b.test")
			})
		}
	}
	b.failsAt(t, t.Context(), Verify, Undone, "(b.test): the TLS handshake failed")
}

// The configuration as it was names the files that have been renewed: the new certificate
// is shown after the undo as well, and that is no failure of the undo.
func TestUndoneWithRenewedFiles(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.request.Certificate = b.new.lineage(t, b.dir+"/old")
	c := b.request.Certificate
	b.plan.Changes = []Change{b.rewrite("sites/b", "b.test "+c.FullChain+" "+c.Key+"\n")}
	b.failsAt(t, t.Context(), Verify, Undone, "(b.test) shows the certificate of a.test with serial 3", "the new certificate is shown all the same")
	if b.shows(t, "b.test") != 2 || b.shows(t, "a.test") != 3 {
		t.Error("the wrong certificates are shown")
	}
}

// The other lineage was renewed before, and the reload has the server show that as
// well. That is no fault of the plan.
func TestWatchedNameRenewed(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	recipe{serial: 12, names: []string{"b.test"}}.make(t).lineage(t, b.dir+"/other")
	if _, err := b.runner.Apply(t.Context(), b, b.plan, b.request); err != nil || b.shows(t, "b.test") != 12 {
		t.Errorf("%v", err)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.ignoreReload = true
	b.runner.Verify = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var reloaded, looks atomic.Int64
	b.onReload = func() { reloaded.Store(1) }
	b.onHello = func() {
		if looks.Add(reloaded.Load()) == 2 { // the second look of Verify
			cancel()
		}
	}
	e := b.failsAt(t, ctx, Verify, Undone, "context canceled", "it ignored the reload")
	if !errors.Is(e, context.Canceled) {
		t.Errorf("%v", e)
	}
}

// Commands that fail have their own undo, and those of the commands before, run.
func TestCommandFails(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.plan.Commands = []Command{
		{Do: []string{"touch", b.dir + "/first"}, Undo: []string{"rm", b.dir + "/first"}},
		{Do: []string{"sh", "-c", "echo it is broken >&2; exit 3"}},
		{Do: []string{"true"}, Undo: []string{"false"}}, // never comes to that
	}
	b.failsAt(t, t.Context(), Stage, Undone, "exit status 3:\nit is broken")
}

func TestRedirectChecked(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.request.Deploy = false
	b.request.Certificate = b.old.lineage(t, b.dir+"/old")
	b.plan.Changes = []Change{{Path: b.dir + "/sites/r", Op: Create, New: []byte("redirect\n"), Mode: 0o644}}
	check := HTTPCheck{Addr: b.http, Host: "a.test", Path: "/x", WantStatus: []int{301, 308}, WantLocationPrefix: "https://a.test/"}
	b.plan.Checks = []HTTPCheck{check}
	b.ignoreReload = true
	b.failsAt(t, t.Context(), Verify, Undone, "GET http://a.test/x at "+b.http+": the answer is 200 OK, not 301 308")
	b.ignoreReload = false
	if out, err := b.runner.Apply(t.Context(), b, b.plan, b.request); err != nil || out.Verified != 3 {
		t.Errorf("%+v, %v", out, err)
	}
	check.WantLocationPrefix = "https://other.test/"
	b.plan = &Plan{Checks: []HTTPCheck{check}}
	b.failsAt(t, t.Context(), Verify, Untouched, `it leads to "https://a.test/x", not to https://other.test/`)
}

// What the file system says is explained, and the first file is back.
func TestFileSystemRefuses(t *testing.T) {
	t.Parallel()
	for errno, says := range map[syscall.Errno]string{
		syscall.EROFS: "mounted read-only", syscall.EBUSY: "a mount of its own", syscall.EACCES: "run as root", syscall.ENOSPC: "make room", syscall.EDQUOT: "quota",
	} {
		b := setUp(t)
		b.plan.Changes = append(b.plan.Changes, b.rewrite("sites/b", "b.test is gone\n"))
		b.runner.Durable.Before = func(step durable.Step, path string) error {
			if step == durable.Rename && path == b.dir+"/sites/b" {
				return errno
			}
			return nil
		}
		e := b.failsAt(t, t.Context(), Stage, Undone, "/sites/b: "+errno.Error()+"; ", says)
		if !errors.Is(e, errno) || b.reloads != 0 {
			t.Errorf("%v; %d reloads", e, b.reloads)
		}
	}
}

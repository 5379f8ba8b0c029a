package flock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func lock(t *testing.T, dir string, o Options) *Held {
	t.Helper()
	h, err := Dir(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Release() })
	return h
}

func busy(t *testing.T, dir string) *BusyError {
	t.Helper()
	h, err := Dir(t.Context(), dir, Options{})
	if h != nil {
		_ = h.Release()
	}
	var b *BusyError
	if !errors.As(err, &b) {
		t.Fatalf("got %v, want a BusyError", err)
	}
	if want := filepath.Join(dir, Name); b.Path != want {
		t.Errorf("busy path %s, want %s", b.Path, want)
	}
	return b
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	h := lock(t, dir, Options{Command: "renew\nx.test \x1b[31m"})
	info, err := os.Stat(h.Path())
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("lock file: %v %v, want mode 0600", info.Mode(), err)
	}
	if b := busy(t, dir); b.PID != os.Getpid() || b.Command != "renew x.test [31m" {
		t.Errorf("busy: %+v", b)
	}
	for range 2 {
		if err := h.Release(); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	if _, err := os.Stat(h.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock file is left over: %v", err)
	}
	lock(t, dir, Options{})
}

func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	other := startHolder(t, dir)
	b := busy(t, dir)
	if b.PID != other.cmd.Process.Pid || b.Command != "test holder" {
		t.Errorf("busy: %+v, want PID %d", b, other.cmd.Process.Pid)
	}
	if want := fmt.Sprintf("%s is locked by process %d (test holder)", b.Path, b.PID); b.Error() != want {
		t.Errorf("error %q, want %q", b, want)
	}
	// Without a command in the file, what /proc says, without secrets.
	if err := os.WriteFile(b.Path, fmt.Appendln(nil, b.PID), 0o600); err != nil {
		t.Fatal(err)
	}
	if b := busy(t, dir); b.PID != other.cmd.Process.Pid || !strings.HasSuffix(b.Command, "flock.test --eab-hmac-key ***") {
		t.Errorf("busy: %+v", b)
	}
	// We wait, and get it when the other releases it.
	var waits []*BusyError
	h, err := Dir(t.Context(), dir, Options{Timeout: time.Minute, OnWait: func(b *BusyError) {
		waits = append(waits, b)
		other.stdin.Close()
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(waits) != 1 || waits[0].PID != other.cmd.Process.Pid {
		t.Errorf("waited for %v", waits)
	}
	if err := other.cmd.Wait(); err != nil {
		t.Errorf("the other process: %v", err)
	}
	if err := h.Release(); err != nil {
		t.Error(err)
	}
}

// A process that dies leaves its file, which means nothing.
func TestStaleFile(t *testing.T) {
	dir := t.TempDir()
	other := startHolder(t, dir)
	if err := other.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.cmd.Wait()
	if _, err := os.Stat(filepath.Join(dir, Name)); err != nil {
		t.Fatal(err)
	}
	h := lock(t, dir, Options{Command: "second"})
	if b, err := os.ReadFile(h.Path()); err != nil || string(b) != fmt.Sprintf("%d second\n", os.Getpid()) {
		t.Errorf("lock file: %q %v", b, err)
	}
}

// Who a file names is not believed when it has not got the file open.
func TestHolderIsNotBelievedBlindly(t *testing.T) {
	for _, content := range []string{"", "1 init\n", "0 x\n", "-1 x\n", "x", "99999999999999999999 x", strings.Repeat("1", 10000)} {
		dir := t.TempDir()
		h := lock(t, dir, Options{})
		if err := os.WriteFile(h.Path(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		b := busy(t, dir)
		if b.PID != 0 || b.Command != "" || !strings.Contains(b.Error(), "another process") {
			t.Errorf("%.20q: %+v %v", content, b, b)
		}
	}
}

// Our own name in a file that another has locked: we have it open to look at it.
func TestHolderIsNotUs(t *testing.T) {
	dir := t.TempDir()
	startHolder(t, dir)
	path := filepath.Join(dir, Name)
	if err := os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	if b := busy(t, dir); b.PID != 0 {
		t.Errorf("%+v", b)
	}
}

// A holder may leave before it is asked for.
func TestHolderGone(t *testing.T) {
	dir := t.TempDir()
	h := lock(t, dir, Options{})
	f, err := open(h.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, gone := whoHolds(f, h.Path()); gone || b.PID != os.Getpid() {
		t.Errorf("%+v, gone %v", b, gone)
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	if b, gone := whoHolds(f, h.Path()); !gone || b.PID != 0 {
		t.Errorf("after its release: %+v, gone %v", b, gone)
	}
}

// Between opening the file and locking it, its holder unlinks it, and maybe
// somebody else makes a new one: what we locked then keeps nobody out.
func TestUnlinkedWhileWaiting(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	h := lock(t, dir, Options{})
	f, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s, err := take(f, path); s != held || err != nil {
		t.Errorf("while it is held: %v %v", s, err)
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	if s, err := take(f, path); s != replaced || err != nil {
		t.Errorf("after it was unlinked: %v %v", s, err)
	}
	second := lock(t, dir, Options{})
	if s, err := take(f, path); s != replaced || err != nil {
		t.Errorf("after another has locked a new file: %v %v", s, err)
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
}

// Somebody removed our file by hand and another locked a new one, which must
// survive our release.
func TestReleaseOfARemovedFile(t *testing.T) {
	dir := t.TempDir()
	first := lock(t, dir, Options{})
	if err := os.Remove(first.Path()); err != nil {
		t.Fatal(err)
	}
	lock(t, dir, Options{})
	if err := first.Release(); err == nil || !strings.Contains(err.Error(), "removed it while it was held") {
		t.Errorf("release: %v", err)
	}
	busy(t, dir)
}

// Nobody gets in beside another: processes and goroutines, a new file each time.
func TestExclusion(t *testing.T) {
	dir := t.TempDir()
	number := filepath.Join(dir, "number")
	if err := os.WriteFile(number, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	const processes, goroutines = 2, 3
	for range processes {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asCounter+"="+dir)
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	for range goroutines {
		wg.Go(func() {
			if err := count(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if b, err := os.ReadFile(number); err != nil || string(b) != fmt.Sprint((processes+goroutines)*rounds) {
		t.Errorf("counted %s, want %d (%v)", b, (processes+goroutines)*rounds, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestTimeout(t *testing.T) {
	dir := t.TempDir()
	lock(t, dir, Options{Command: "first"})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := Dir(t.Context(), dir, Options{Timeout: time.Minute})
		var b *BusyError
		if !errors.As(err, &b) || b.Command != "first" {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("gave up after %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = Dir(ctx, dir, Options{Timeout: time.Minute})
		if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*BusyError)) || !strings.Contains(err.Error(), "(first)") {
			t.Errorf("got %v", err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dir(ctx, t.TempDir(), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTraps(t *testing.T) {
	for what, set := range map[string]func(dir, path string) error{
		"symbolic link":  func(dir, path string) error { return os.Symlink(filepath.Join(dir, "target"), path) },
		"no plain file":  func(_, path string) error { return exec.Command("mkfifo", path).Run() },
		"is a directory": func(_, path string) error { return os.Mkdir(path, 0o700) },
		"no such file":   func(dir, _ string) error { return os.Remove(dir) },
	} {
		dir := filepath.Join(t.TempDir(), "d")
		if err := errors.Join(os.Mkdir(dir, 0o700), set(dir, filepath.Join(dir, Name))); err != nil {
			t.Fatal(err)
		}
		_, err := Dir(t.Context(), dir, Options{})
		if err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, "target")); err == nil {
			t.Errorf("%s: went through it", what)
		}
	}
	// A second name of somebody's file: it is locked, but not written to.
	dir := t.TempDir()
	precious := filepath.Join(t.TempDir(), "precious")
	if err := errors.Join(os.WriteFile(precious, []byte("content"), 0o600), os.Link(precious, filepath.Join(dir, Name))); err != nil {
		t.Fatal(err)
	}
	h := lock(t, dir, Options{Command: "x"})
	busy(t, dir)
	if err := h.Release(); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(precious); string(b) != "content" {
		t.Errorf("wrote to a file with another name: %q %v", b, err)
	}
}

func TestDirs(t *testing.T) {
	a, b, c := t.TempDir(), t.TempDir(), t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(a, link); err != nil {
		t.Fatal(err)
	}
	release, err := Dirs(t.Context(), []string{a, b, a, link, b + "/."}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	busy(t, a)
	busy(t, b)
	if err := release(); err != nil {
		t.Error(err)
	}
	// None is held where one cannot be had.
	lock(t, b, Options{})
	for _, last := range []string{b, filepath.Join(c, "missing")} {
		if _, err := Dirs(t.Context(), []string{a, c, last}, Options{}); err == nil {
			t.Errorf("locked %s", last)
		}
		for _, dir := range []string{a, c} {
			if _, err := os.Stat(filepath.Join(dir, Name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is still locked: %v", dir, err)
			}
		}
	}
	// The timeout is for all together.
	first := lock(t, a, Options{})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		time.AfterFunc(40*time.Second, func() { _ = first.Release() })
		_, err := Dirs(t.Context(), []string{a, b, c}, Options{Timeout: time.Minute})
		if took := time.Since(start); !errors.As(err, new(*BusyError)) || took != time.Minute {
			t.Errorf("%v after %s", err, took)
		}
	})
}

func TestHideSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"certbot renew -q":                             "certbot renew -q",
		"certbot --eab-hmac-key abc --eab-kid k":       "certbot --eab-hmac-key *** --eab-kid k",
		"x --dns-token=abc y":                          "x --dns-token=*** y",
		"x --password":                                 "x --password",
		"certbot --key-type ecdsa --cert-path /etc/x":  "certbot --key-type ecdsa --cert-path /etc/x",
		"certbot --webroot-path /srv/passwords -d a.b": "certbot --webroot-path /srv/passwords -d a.b",
	} {
		if got := strings.Join(hideSecrets(strings.Split(in, " ")), " "); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		" a\tb\nc ":              "a b c",
		"a\x1b]0;title\x07b":     "a]0;titleb",
		"\xff\u202ex\u0000":      "?x",
		strings.Repeat("ä", 100): strings.Repeat("ä", 100),
		strings.Repeat("ä", 101): strings.Repeat("ä", 98) + "...",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

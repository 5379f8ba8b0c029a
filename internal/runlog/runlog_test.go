package runlog

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fixed is the clock of the tests.
func fixed() time.Time { return time.Date(2026, 11, 23, 9, 5, 38, 123456789, time.Local) }

// open opens a log, with a terminal to look at.
func open(t *testing.T, o Options) (l *Log, dir string, stderr *bytes.Buffer) {
	t.Helper()
	stderr = new(bytes.Buffer)
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Stderr, o.Now = stderr, fixed
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, o.Dir, stderr
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLines(t *testing.T) {
	l, dir, stderr := open(t, Options{MaxBackups: 10})
	log := l.Logger()
	log.Debug("plain")
	log.Info("Renewing", "component", "steward", "site", "a b", "n", 3)
	log = log.With("component", "issuer", "ca", "le").WithGroup("order").With("id", "x=y")
	log.Warn("two\nlines", "error", fmt.Errorf("no\nway"), slog.Group("at", "time", 5*time.Second))
	log.Error("bad", slog.Group("", "inline", true), "empty", "")
	log.Log(t.Context(), slog.LevelError+4, "worse")
	want := `2026-11-23 09:05:38,123:DEBUG:edge:plain
2026-11-23 09:05:38,123:INFO:edge.steward:Renewing site="a b" n=3
2026-11-23 09:05:38,123:WARNING:edge.issuer:two
lines ca=le order.id="x=y" order.error="no\nway" order.at.time=5s
2026-11-23 09:05:38,123:ERROR:edge.issuer:bad ca=le order.id="x=y" order.inline=true order.empty=""
2026-11-23 09:05:38,123:CRITICAL:edge.issuer:worse ca=le order.id="x=y"
`
	if got := read(t, filepath.Join(dir, Name)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	want = "Saving debug log to " + dir + "/letsencrypt.log\n" + `two
lines ca=le order.id="x=y" order.error="no\nway" order.at.time=5s
bad ca=le order.id="x=y" order.inline=true order.empty=""
worse ca=le order.id="x=y"
`
	if stderr.String() != want {
		t.Errorf("on the terminal:\n%s\nwant\n%s", stderr, want)
	}
	if a := l.Advice("Certbot"); !strings.Contains(a, "See the logfile "+dir+"/letsencrypt.log or re-run Certbot with -v") {
		t.Error(a)
	}
}

func TestVerbosity(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "SWE"}, {Options{Verbosity: 1}, "SIWE"}, {Options{Verbosity: 2}, "SDIWE"}, {Options{Verbosity: 7}, "SDIWE"},
		{Options{Quiet: true}, "E"}, {Options{Quiet: true, Verbosity: 2}, "E"},
	} {
		l, dir, stderr := open(t, c.o)
		for level, text := range map[slog.Level]string{slog.LevelDebug: "D", slog.LevelInfo: "I", slog.LevelWarn: "W", slog.LevelError: "E"} {
			l.Logger().Log(t.Context(), level, text)
		}
		for _, letter := range "SDIWE" {
			if shown := strings.Contains("\n"+stderr.String(), "\n"+string(letter)); shown != strings.ContainsRune(c.want, letter) {
				t.Errorf("%+v: %c shown: %v", c.o, letter, shown)
			}
		}
		if n := strings.Count(read(t, filepath.Join(dir, Name)), "\n"); n != 4 {
			t.Errorf("%+v: %d lines in the file", c.o, n)
		}
	}
}

// What strangers write gets no line of its own, and no grip on the terminal.
func TestForgedLines(t *testing.T) {
	l, dir, stderr := open(t, Options{})
	forged := "ok\n2026-11-23 09:05:38,123:INFO:edge:all is well\x1b[2J"
	l.Logger().Error(forged, "error", fmt.Errorf("x%s", forged), forged, 1)
	for _, text := range []string{read(t, filepath.Join(dir, Name)), stderr.String()} {
		if strings.Contains(text, "\x1b") || strings.Contains(text, "\n2026-11-23 09:05:38,123:INFO") && text != stderr.String() {
			t.Errorf("%q", text)
		}
	}
}

func TestLongMessages(t *testing.T) {
	l, dir, _ := open(t, Options{})
	l.Logger().Debug(strings.Repeat("\u00fc", maxMessage), "hook", strings.Repeat("y", 3*maxMessage))
	text := read(t, filepath.Join(dir, Name))
	if len(text) > 2*maxMessage+200 || !strings.Contains(text, fmt.Sprintf("\u00fc [%d bytes more]", maxMessage)) || !strings.Contains(text, fmt.Sprintf("[%d bytes more]", 2*maxMessage)) {
		t.Errorf("%d bytes", len(text))
	}
}

// A long run goes on in a new file, as with certbot, but only where there may be
// more than one.
func TestLongRun(t *testing.T) {
	for backups, files := range map[int]int{0: 1, 2: 3} {
		l, dir, _ := open(t, Options{MaxBackups: backups})
		line := strings.Repeat("x", 100<<10)
		for range 45 { // more than four megabytes
			l.Logger().Debug(line)
		}
		got := tree(t, dir)
		if len(got) != files {
			t.Errorf("%d backups: %d files", backups, len(got))
		}
		for name, content := range got {
			if backups > 0 && len(content) > maxSize+20 {
				t.Errorf("%s: %d bytes", name, len(content))
			}
		}
	}
}

// A full disk is no reason not to go on. It is said once.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/dev/full", filepath.Join(dir, Name)); err != nil {
		t.Fatal(err)
	}
	l, _, stderr := open(t, Options{Dir: dir})
	l.Logger().Warn("one")
	l.Logger().Warn("two")
	if strings.Count(stderr.String(), "no space left on device") != 1 || !strings.HasSuffix(stderr.String(), "two\n") {
		t.Error(stderr)
	}
}

// Older logs that cannot be moved are no reason either.
func TestRotationFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, Name+".2", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Name, Name + ".1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("before\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, _, stderr := open(t, Options{Dir: dir, MaxBackups: 2})
	text := read(t, filepath.Join(dir, Name))
	if !strings.HasPrefix(text, "before\n2026") || !strings.Contains(stderr.String(), "letsencrypt.log.1 to letsencrypt.log.2") {
		t.Errorf("%s\n%s", text, stderr)
	}
}

func TestTemporary(t *testing.T) {
	base := t.TempDir()
	l, err := Open(Options{Temp: base})
	if err != nil {
		t.Fatal(err)
	}
	if l.Path() != "" || strings.Contains(l.Advice("edge"), "logfile") {
		t.Error(l.Path(), l.Advice("edge"))
	}
	l.Logger().Debug("hello")
	if !strings.Contains(read(t, l.Path()), "hello") {
		t.Error("nothing in", l.Path())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	// Where nothing is logged, nothing is left behind, not even after the end.
	empty := t.TempDir()
	if l, err = Open(Options{Temp: empty}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	l.Logger().Error("too late")
	if files := tree(t, empty); len(files) != 0 {
		t.Error(files)
	}
}

func TestConcurrent(t *testing.T) {
	l, dir, _ := open(t, Options{MaxBackups: 3})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				l.Redactor.Hide("a-secret-of-some-length")
				l.Logger().With("a", 1).Debug("a line a-secret-of-some-length")
			}
		})
	}
	wg.Wait()
	text := read(t, filepath.Join(dir, Name))
	if n := strings.Count(text, ":DEBUG:edge:a line *** a=1\n"); n != 400 {
		t.Errorf("%d lines are whole", n)
	}
}

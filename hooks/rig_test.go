package hooks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for something that comes at once unless the
// code is broken.
const patience = 20 * time.Second

// run runs a command for the shell that must succeed.
func run(t *testing.T, r *Runner, shell string, env map[string]string) Result {
	t.Helper()
	res, err := r.Run(t.Context(), Command{Kind: Deploy, Shell: shell, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// failed is the error as a FailedError; anything else is wrong.
func failed(t *testing.T, err error) *FailedError {
	t.Helper()
	var f *FailedError
	if !errors.As(err, &f) {
		t.Fatalf("error is %v (%T), not a FailedError", err, err)
	}
	return f
}

// outcome is what Run returned.
type outcome struct {
	res Result
	err error
}

// start runs a hook beside the test.
func start(ctx context.Context, r *Runner, c Command) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		res, err := r.Run(ctx, c)
		done <- outcome{res, err}
	}()
	return done
}

// get waits for what comes out of a channel.
func get[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
		panic("unreachable")
	}
}

// script writes a file that can be executed.
func script(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// fifo makes a named pipe, with which hooks and tests wait for each other.
func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// listener reads what hooks write to a fifo. It has a writer of its own until it
// waits for the end, so that there is none before the first hook has opened it.
type listener struct {
	f, writer *os.File
}

func listen(t *testing.T, path string) *listener {
	t.Helper()
	open := func(flag int) *os.File {
		f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	l := &listener{f: open(os.O_RDONLY)}
	l.writer = open(os.O_WRONLY)
	return l
}

// line is the next line.
func (l *listener) line(t *testing.T) string {
	t.Helper()
	_ = l.f.SetReadDeadline(time.Now().Add(patience))
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := l.f.Read(b); err != nil {
			t.Fatalf("wait for a line of the hook: %v (have %q)", err, line)
		}
		if b[0] == '\n' {
			break
		}
		line = append(line, b[0])
	}
	return string(line)
}

// ended waits until no process has the pipe open any more.
func (l *listener) ended(t *testing.T) {
	t.Helper()
	_ = l.writer.Close()
	_ = l.f.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, l.f); err != nil {
		t.Fatalf("a process that has the pipe open is still there: %v", err)
	}
}

// tell writes a line to a hook that waits for one.
func tell(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// journal keeps the messages that are logged, one a line.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func (j *journal) has(s string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.b.String(), s)
}

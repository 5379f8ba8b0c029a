package hooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTimeout(t *testing.T) {
	var shown Result
	r := &Runner{Timeout: 50 * time.Millisecond, Output: func(res Result) { shown = res }}
	o := get(t, "the end of the hook", start(t.Context(), r, Command{Kind: Deploy, Shell: "exec cat " + fifo(t)}))
	f := failed(t, o.err)
	if !o.res.TimedOut || !shown.TimedOut || !f.Result.TimedOut || o.res.ExitCode != -15 || o.res.Duration < r.Timeout {
		t.Errorf("result is %+v", o.res)
	}
	if want := fmt.Sprintf("hook 'deploy-hook' (%s) took longer than --hook-timeout allows and was stopped after ", o.res.Command); !strings.HasPrefix(o.err.Error(), want) {
		t.Errorf("error is %v", o.err)
	}
}

func TestTimeoutThatIsNotReached(t *testing.T) {
	if res := run(t, &Runner{Timeout: time.Hour}, "echo x", nil); res.TimedOut || res.Stdout != "x\n" {
		t.Errorf("result is %+v", res)
	}
}

// SIGTERM comes first, and the hook may use the grace to tidy up.
func TestEndOfContextAsksFirst(t *testing.T) {
	ready, wait := fifo(t), fifo(t)
	l := listen(t, ready)
	because := errors.New("somebody pressed Ctrl-C")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	done := start(ctx, &Runner{Grace: time.Hour}, Command{Kind: Pre, Shell: fmt.Sprintf(
		`trap 'echo tidied; exit 4' TERM; exec 3<>%s; echo ready >%s; read x <&3`, wait, ready)})
	l.line(t)
	cancel(because)
	o := get(t, "the end of the hook", done)
	if f := failed(t, o.err); f.Err != because || o.res.TimedOut || o.res.ExitCode != 4 || o.res.Stdout != "tidied\n" {
		t.Errorf("result is %+v, error %v", o.res, o.err)
	}
	if want := ": somebody pressed Ctrl-C"; !strings.HasSuffix(o.err.Error(), want) {
		t.Errorf("error is %v", o.err)
	}
}

// The shell ends with SIGTERM. What it started does not, has closed all that we
// could wait for, and still is gone when Run returns.
func TestGrandchildThatIgnoresTERMIsKilled(t *testing.T) {
	ready, wait := fifo(t), fifo(t)
	l := listen(t, ready)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const grace = 50 * time.Millisecond
	done := start(ctx, &Runner{Grace: grace}, Command{Kind: Pre, Shell: fmt.Sprintf(
		`(trap '' TERM; exec 3>%s >/dev/null 2>&1; echo $$ >&3; read x <%s) & wait`, ready, wait)})
	l.line(t)
	cancelled := time.Now()
	cancel()
	o := get(t, "the end of the hook", done)
	if took := time.Since(cancelled); took < grace {
		t.Errorf("there were only %v to end", took)
	}
	if failed(t, o.err); o.res.ExitCode != -15 || !errors.Is(o.err, context.Canceled) {
		t.Errorf("code %d, error %v", o.res.ExitCode, o.err)
	}
	l.ended(t)
}

func TestHookThatIgnoresTERMIsKilled(t *testing.T) {
	ready, wait := fifo(t), fifo(t)
	l := listen(t, ready)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := start(ctx, &Runner{Grace: 20 * time.Millisecond}, Command{Kind: Pre, Shell: fmt.Sprintf(
		`trap '' TERM; exec 3>%s; echo ready >&3; echo before; read x <%s`, ready, wait)})
	l.line(t)
	cancel()
	o := get(t, "the end of the hook", done)
	if failed(t, o.err); o.res.ExitCode != -9 {
		t.Errorf("code %d, error %v", o.res.ExitCode, o.err)
	}
	l.ended(t)
}

// Orphans come to this process as they come to PID 1 of a container, and nobody
// reaps them.
func TestZombieNeedsNoGrace(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	ready, wait := fifo(t), fifo(t)
	l := listen(t, ready)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := start(ctx, &Runner{Grace: time.Hour}, Command{Kind: Pre, Shell: fmt.Sprintf(
		`sh -c 'exec 3>%s >/dev/null 2>&1; echo $$ >&3; read x <%s' & wait`, ready, wait)})
	orphan, err := strconv.Atoi(l.line(t))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	o := get(t, "the end of the hook", done)
	if failed(t, o.err); o.res.ExitCode != -15 {
		t.Errorf("code %d, error %v", o.res.ExitCode, o.err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", orphan))
	if err != nil || !strings.Contains(string(stat), ") Z ") {
		t.Errorf("the child is no zombie: %s, %v", stat, err)
	}
	if _, err := unix.Wait4(orphan, nil, 0, nil); err != nil {
		t.Errorf("nobody else may reap the child: %v", err)
	}
}

func TestMemberAlive(t *testing.T) {
	for stat, want := range map[string]bool{
		"7 (sh) S 1 7 7 0 -1":          true,
		"7 (sh) Z 1 7 7 0 -1":          false,
		"7 (sh) X 1 7 7 0 -1":          false,
		"7 (sh) S 1 8 7 0 -1":          false,
		"7 (a) Z 1 7) R 1 7 7 0 -1":    true,
		"7 (a b\n) S 1 9 () Z 1 7 7 0": false,
		"7 (sh":                        false,
		"":                             false,
	} {
		if got := memberAlive([]byte(stat), 7); got != want {
			t.Errorf("%q: %v", stat, got)
		}
	}
}

// A daemon that a hook starts is the reason for many hooks.
func TestDaemonGoesOn(t *testing.T) {
	answer, wait := fifo(t), fifo(t)
	l := listen(t, answer)
	var log journal
	r := &Runner{Drain: 10 * time.Millisecond, Timeout: time.Hour, Log: log.logger()}
	// It keeps standard output open, which is not waited for longer than Drain.
	res := run(t, r, fmt.Sprintf(`(exec 3>%s; read x <%s; echo alive >&3) & echo started`, answer, wait), nil)
	if res.Stdout != "started\n" || res.ExitCode != 0 {
		t.Errorf("result is %+v", res)
	}
	if !log.has("Hook 'deploy-hook' left a process behind that keeps its output open; what it writes from now on is lost") {
		t.Errorf("log is %s", log.b.String())
	}
	tell(t, wait)
	if got := l.line(t); got != "alive" {
		t.Errorf("the daemon said %q", got)
	}
	l.ended(t)
}

// What is waited for after a hook's end is no longer the hook's time.
func TestDaemonGoesOnWhenContextEndsWhileItsOutputIsRead(t *testing.T) {
	answer, daemon := fifo(t), fifo(t)
	l := listen(t, answer)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := start(ctx, &Runner{Drain: time.Hour}, Command{Kind: Post, Shell: fmt.Sprintf(
		`(exec 3>%s; echo $$ >&3; read x <%s; echo late) & exit 0`, answer, daemon)})
	pid, err := strconv.Atoi(l.line(t))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the hook itself", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
		return os.IsNotExist(err)
	})
	cancel()
	tell(t, daemon)
	o := get(t, "the end of the output", done)
	if o.err != nil || o.res.Stdout != "late\n" {
		t.Errorf("result is %+v, error %v", o.res, o.err)
	}
	l.ended(t)
}

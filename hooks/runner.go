package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Kind names what a hook is for, as certbot does in its texts.
type Kind string

// The kinds of hooks.
const (
	Pre           Kind = "pre-hook"
	Deploy        Kind = "deploy-hook"
	Post          Kind = "post-hook"
	ManualAuth    Kind = "manual-auth-hook"
	ManualCleanup Kind = "manual-cleanup-hook"
	OnFailure     Kind = "on-failure-hook" // edge's own
)

// DefaultMaxOutput is what Runner.MaxOutput is where it is zero.
const DefaultMaxOutput = 256 << 10

// Runner runs hooks. Its zero value is ready to use. Do not change one in use;
// safe for concurrent use.
type Runner struct {
	// Timeout ends a hook that takes longer. Zero: certbot's way, no limit.
	Timeout time.Duration
	// Grace is the time between SIGTERM and SIGKILL. Zero: ten seconds.
	Grace time.Duration
	// Drain is how long to wait for output when the hook has ended but left a
	// process behind that keeps it open. Zero: one second.
	Drain time.Duration
	// MaxOutput is how many bytes are kept of standard output, and of standard
	// error. What comes after is read and dropped. Zero: DefaultMaxOutput.
	MaxOutput int
	// Env is the environment that hooks start from. Nil: that of this process.
	// The variables that hooks are given are always taken out of it first: they
	// would be left over from somewhere else.
	Env []string
	// Path is PATH for the hooks. Empty: that of Env, with /usr/sbin,
	// /usr/local/bin and /usr/local/sbin at its end where they are missing, since
	// cron's PATH lacks them.
	Path string
	// Log, where set, gets certbot's messages.
	Log *slog.Logger
	// Output, where set, gets what each hook that was started came to, before
	// Run returns.
	Output func(Result)
}

// Command is a hook to run: a command line for the shell, or a file.
type Command struct {
	Kind  Kind
	Shell string // for /bin/sh -c
	// File is the path of a script or program. It is started as the shell would
	// start it (a script needs no #! line), but blanks in it do no harm.
	File string
	// Env is what the hook is told beyond the environment it starts from. Values
	// that are too long for it, or have a NUL, go into a file whose name is in
	// NAME_FILE instead.
	Env map[string]string
	// Stdin is its standard input. Nil: /dev/null.
	Stdin []byte
}

// String is the command as certbot writes it.
func (c Command) String() string {
	if c.File != "" {
		return c.File
	}
	return c.Shell
}

// Result is what came of a hook.
type Result struct {
	Kind           Kind
	Command        string
	Env            map[string]string // as in Command
	Stdout, Stderr string
	ExitCode       int  // negative: the signal that ended it, as in Python
	Truncated      bool // there was more output than Stdout or Stderr has
	TimedOut       bool
	Duration       time.Duration
}

// FailedError says that a hook failed, could not be started, or was stopped. It
// wraps the cause where there is one beyond the exit code.
type FailedError struct {
	Result Result
	Err    error
}

func (e *FailedError) Error() string {
	hook := fmt.Sprintf("hook '%s' (%s)", e.Result.Kind, e.Result.Command)
	switch {
	case e.Result.TimedOut:
		return fmt.Sprintf("%s took longer than --hook-timeout allows and was stopped after %s", hook, e.Result.Duration.Round(time.Millisecond))
	case e.Err != nil:
		return fmt.Sprintf("%s: %v", hook, e.Err)
	}
	return fmt.Sprintf("%s reported error code %d", hook, e.Result.ExitCode)
}

func (e *FailedError) Unwrap() error { return e.Err }

// Run runs one hook to its end. Any exit code but 0 is a *FailedError, and so is
// a hook that cannot be started. When its time is over or ctx ends, its process
// group, which is all that it started unless that made a group of its own, gets
// SIGTERM and, after a grace, SIGKILL. What a successful hook leaves running in the background, such
// as a daemon, goes on.
func (r *Runner) Run(ctx context.Context, c Command) (Result, error) {
	res := Result{Kind: c.Kind, Command: c.String(), Env: c.Env, ExitCode: -1}
	fail := func(err error) (Result, error) { return res, &FailedError{res, err} }
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	cmd, err := command(c)
	if err != nil {
		return fail(err)
	}
	env, tidy, err := environment(r.base(), c.Env)
	if err != nil {
		return fail(err)
	}
	defer tidy()
	cmd.Env = env
	// A session of its own: one signal reaches all of it, Ctrl-C of the terminal
	// does not kill it behind our back, and a question to the terminal fails at
	// once where it would stop for ever.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = or(r.Drain, time.Second)
	if c.Stdin != nil {
		cmd.Stdin = bytes.NewReader(c.Stdin)
	}
	stdout, stderr := &capped{max: or(r.MaxOutput, DefaultMaxOutput)}, &capped{max: or(r.MaxOutput, DefaultMaxOutput)}
	cmd.Stdout, cmd.Stderr = stdout, stderr

	log := r.log()
	log.Info(fmt.Sprintf("Running %s command: %s", c.Kind, res.Command))
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	ended := make(chan struct{})
	watched := r.watch(ctx, cmd.Process.Pid, ended)
	// The watch is over when the hook is: while we wait for output of a daemon
	// that it left behind, neither Timeout nor ctx may cost that its life.
	awaitExit(cmd.Process.Pid)
	close(ended)
	err = cmd.Wait()
	cause := <-watched
	res.Duration = time.Since(start)
	res.Stdout, res.Stderr = stdout.String(), stderr.String()
	res.Truncated = stdout.more || stderr.more
	res.ExitCode = exitCode(cmd.ProcessState)
	res.TimedOut = errors.Is(cause, errTimeout)
	if errors.Is(err, exec.ErrWaitDelay) && cause == nil {
		log.Warn(fmt.Sprintf("Hook '%s' left a process behind that keeps its output open; what it writes from now on is lost", c.Kind))
	}
	if r.Output != nil {
		r.Output(res)
	}
	switch {
	case cause != nil:
		return fail(cause)
	case res.ExitCode != 0:
		return fail(nil)
	}
	return res, nil
}

var errTimeout = errors.New("timeout")

// watch stops the session of pid when ctx or the time ends before ended is
// closed. The channel that it returns then has why, or nil.
func (r *Runner) watch(ctx context.Context, pid int, ended <-chan struct{}) <-chan error {
	watched := make(chan error, 1)
	go func() {
		var timeout <-chan time.Time
		if r.Timeout > 0 {
			t := time.NewTimer(r.Timeout)
			defer t.Stop()
			timeout = t.C
		}
		var cause error
		select {
		case <-ended:
		case <-ctx.Done():
			cause = context.Cause(ctx)
		case <-timeout:
			cause = errTimeout
		}
		select {
		case <-ended: // at the same time: it was not us
			watched <- nil
			return
		default:
		}
		kill(pid, syscall.SIGTERM)
		// The hook may end before its children have, which need the grace as well.
		deadline := time.Now().Add(or(r.Grace, 10*time.Second))
		poll := time.NewTicker(10 * time.Millisecond)
		defer poll.Stop()
		for alive(pid) && time.Now().Before(deadline) {
			<-poll.C
		}
		kill(pid, syscall.SIGKILL)
		watched <- cause
	}()
	return watched
}

// awaitExit returns when a child has ended, and leaves its status to Wait.
func awaitExit(pid int) {
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}

// command makes the process. A file is given to the shell as a parameter, which
// it runs without looking for blanks or other meaning in it.
func command(c Command) (*exec.Cmd, error) {
	switch {
	case (c.Shell == "") == (c.File == ""):
		return nil, errors.New("it needs either a command or a file")
	case c.Shell != "":
		return exec.Command("/bin/sh", "-c", c.Shell), nil
	}
	path, err := filepath.Abs(c.File)
	if err != nil {
		return nil, err
	}
	return exec.Command("/bin/sh", "-c", `exec "$0"`, path), nil
}

func exitCode(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return -int(ws.Signal())
	}
	return s.ExitCode()
}

func (r *Runner) log() *slog.Logger {
	if r.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Log
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

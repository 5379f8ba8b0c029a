package installers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	maxOutput = 64 << 10
	// outputGrace is how long a program's streams are read after its end, in case that
	// a server it started has them still.
	outputGrace = time.Second
)

// Run runs a program and returns what it said, both streams in one, bounded, for
// people. It is in a process group of its own, which is killed when ctx ends; what
// it leaves in the background (a server that was started) goes on. An error has the
// command and what was said in its text.
func Run(ctx context.Context, argv []string) (output string, err error) {
	if len(argv) == 0 {
		return "", errors.New("run a command: it is empty")
	}
	cmd := grouped(ctx, argv)
	var out bounded
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = ended(cmd.Run())
	output = out.String()
	if err == nil {
		return output, nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	if output == "" {
		return "", fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return output, fmt.Errorf("%s: %w:\n%s", strings.Join(argv, " "), err, output)
}

// Program is a program that wants more than arguments.
type Program struct {
	Argv  []string
	Env   []string // all of it, NAME=VALUE; of a name that is there twice, the last counts
	Stdin *os.File // nil: nothing to read
}

// Said is what came of a program: both streams, bounded, without blanks around them.
type Said struct {
	Stdout, Stderr string
	Code           int // exit code
}

// Exec runs a program to its end, in a session of its own: it may read from a terminal
// and Ctrl-C is not for it, but all that it started is killed when ctx ends. An exit code
// is no error; that it did not start, or was killed, is one.
func Exec(ctx context.Context, p Program) (Said, error) {
	if len(p.Argv) == 0 {
		return Said{}, errors.New("run a command: it is empty")
	}
	cmd := grouped(ctx, p.Argv)
	var out, errs bounded
	cmd.Env, cmd.Stdout, cmd.Stderr = p.Env, &out, &errs
	if p.Stdin != nil {
		cmd.Stdin = p.Stdin
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err := ended(cmd.Run())
	said := Said{Stdout: out.String(), Stderr: errs.String(), Code: -1}
	if cmd.ProcessState != nil {
		said.Code = cmd.ProcessState.ExitCode()
	}
	var exit *exec.ExitError
	switch {
	case err != nil && ctx.Err() != nil:
		return said, fmt.Errorf("%s: %w (%w)", strings.Join(p.Argv, " "), context.Cause(ctx), err)
	case err != nil && (!errors.As(err, &exit) || !exit.Exited()):
		return said, fmt.Errorf("%s: %w", strings.Join(p.Argv, " "), err)
	}
	return said, nil
}

// grouped is a program that is killed with its process group, which it has to be given.
func grouped(ctx context.Context, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = outputGrace
	return cmd
}

// ended is what a program's end means: it may have ended well while something of it
// goes on.
func ended(err error) error {
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	return err
}

// bounded keeps the beginning of what is written.
type bounded struct{ text []byte }

func (b *bounded) String() string {
	return strings.TrimSpace(strings.ToValidUTF8(string(b.text), "\uFFFD"))
}

func (b *bounded) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(len(p), maxOutput-len(b.text))]...)
	return len(p), nil
}

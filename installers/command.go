package installers

import (
	"context"
	"errors"
	"fmt"
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
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out bounded
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = outputGrace
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well, and something of it goes on
	}
	output = strings.TrimSpace(strings.ToValidUTF8(string(out.text), "\uFFFD"))
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

// bounded keeps the beginning of what is written.
type bounded struct{ text []byte }

func (b *bounded) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(len(p), maxOutput-len(b.text))]...)
	return len(p), nil
}

package apache

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
	maxSaid = 8 << 20  // bytes; a list of ten thousand virtual hosts needs two of them
	maxTold = 16 << 10 // bytes of it in an error
)

// environment is what programs get: nothing of ours, since a server that they start
// keeps it. Debian's tools find another root than /etc/apache2 by it.
func (a *Apache) environment() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	if a.ownRoot {
		env = append(env, "APACHE_CONFDIR="+a.serverRoot)
	}
	return env
}

// run runs a program, bounded in time and output, and returns both its streams. What it
// leaves in the background goes on.
func (a *Apache) run(ctx context.Context, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out bounded
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = a.environment()
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // a server that was started may keep the streams
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	said := strings.ToValidUTF8(string(out.text), "\uFFFD")
	if err != nil {
		told := strings.TrimSpace(said)
		told = told[:min(len(told), maxTold)]
		err = fmt.Errorf("%s: %w:\n%s", strings.Join(argv, " "), err, strings.ToValidUTF8(told, ""))
	}
	return said, err
}

// bounded keeps the beginning of what is written.
type bounded struct{ text []byte }

func (b *bounded) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(len(p), maxSaid-len(b.text))]...)
	return len(p), nil
}

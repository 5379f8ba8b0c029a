package nginx

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
	maxSaid = 64 << 10  // bytes on standard error, for people
	maxDump = 256 << 20 // bytes on standard output, which nginx -T needs
)

// run runs the program, which is somebody else's, with an environment that has nothing
// of ours: a server that it starts keeps it. What it leaves in the background goes on.
func (n *Nginx) run(ctx context.Context, argv ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	out, said := &bounded{limit: maxDump}, &bounded{limit: maxSaid}
	cmd.Stdout, cmd.Stderr = out, said
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A server that was started may keep the streams.
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	stdout, stderr = string(out.text), strings.ToValidUTF8(string(said.text), "\uFFFD")
	if err != nil {
		err = fmt.Errorf("%s: %w:\n%s", strings.Join(argv, " "), err, strings.TrimSpace(stderr))
	}
	return stdout, stderr, err
}

// bounded keeps the beginning of what is written.
type bounded struct {
	text  []byte
	limit int
}

func (b *bounded) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(len(p), b.limit-len(b.text))]...)
	return len(p), nil
}

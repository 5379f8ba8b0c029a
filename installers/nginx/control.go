package nginx

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// argv is the program with the configuration that is meant, and more.
func (n *Nginx) argv(more ...string) []string {
	out := []string{n.ctl, "-c", n.conf}
	if n.prefix != "" {
		out = append(out, "-p", n.prefix)
	}
	return append(out, more...)
}

// Commands returns how nginx is tested and reloaded.
func (n *Nginx) Commands() (test, activate []string) {
	return n.argv("-t"), n.argv("-s", "reload")
}

// Test runs nginx -t.
func (n *Nginx) Test(ctx context.Context) error {
	argv := n.argv("-t")
	stdout, stderr, err := n.run(ctx, argv...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return certbotError("Error while running %s.\n%s\n%s", strings.Join(argv, " "), stdout, strings.TrimSpace(stderr))
	}
	return err
}

// Activate has nginx read its configuration again, and starts it where it does not run.
// It returns when the old workers are done, or after a while.
func (n *Nginx) Activate(ctx context.Context) error {
	m, ok := n.running()
	if !ok {
		if _, _, err := n.run(ctx, n.argv()...); err != nil {
			return fmt.Errorf("nginx restart failed:\n%w", err)
		}
		return nil
	}
	old := workers(m)
	if err := n.reload(ctx, m); err != nil {
		return err
	}
	n.settle(ctx, old)
	return nil
}

// reload tells the master. nginx -s reload signals whatever process has the number in the
// pid file: it is used where that is the master with this configuration.
func (n *Nginx) reload(ctx context.Context, m master) error {
	if n.pidInFile() == m.pid {
		if _, _, err := n.run(ctx, n.argv("-s", "reload")...); err == nil {
			return nil
		}
	}
	if err := syscall.Kill(m.pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("nginx restart failed:\nreload the master process %d: %w", m.pid, err)
	}
	return nil
}

package apache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Commands returns how Apache is tested and reloaded.
func (a *Apache) Commands() (test, activate []string) {
	return a.argv("configtest"), a.argv("graceful")
}

// argv is what ctl is asked for. Debian's finds another root by the environment.
func (a *Apache) argv(verb string) []string {
	switch {
	case !a.ownRoot:
		return []string{a.ctl, verb}
	case a.modules:
		return []string{"env", "APACHE_CONFDIR=" + a.serverRoot, a.ctl, verb}
	case verb == "configtest":
		return []string{a.ctl, "-d", a.serverRoot, "-f", a.main, "-t"}
	}
	return []string{a.ctl, "-d", a.serverRoot, "-f", a.main, "-k", verb}
}

// Test runs configtest.
func (a *Apache) Test(ctx context.Context) error {
	if _, err := a.run(ctx, a.argv("configtest")...); err != nil {
		return fmt.Errorf("Error while running %w", err) //nolint:staticcheck // certbot's words
	}
	return nil
}

// Activate has Apache read its configuration again, and starts it where it does not run:
// graceful would start it as well, but out of the sight of systemd.
func (a *Apache) Activate(ctx context.Context) error {
	verb := "graceful"
	if !a.running(ctx) {
		verb = "start"
	}
	_, err := a.run(ctx, a.argv(verb)...)
	if err != nil && verb == "graceful" && a.alternative != "" {
		_, err = a.run(ctx, a.argv(a.alternative)...)
	}
	if err != nil {
		return fmt.Errorf("restart Apache: %w", err)
	}
	return nil
}

// running reports whether the process of the pid file is an httpd. Where that cannot be
// known it is taken to run.
func (a *Apache) running(ctx context.Context) bool {
	set, err := a.load(ctx)
	if err != nil {
		return true
	}
	path := ""
	for _, d := range set.Root.All("PidFile") {
		if len(d.Values) > 0 {
			path = d.Values[0]
		}
	}
	if path == "" {
		return true
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(a.serverRoot, path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || pid < 1 || syscall.Kill(pid, 0) == syscall.ESRCH {
		return false
	}
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	return err != nil || strings.HasPrefix(string(name), "apache2") || strings.HasPrefix(string(name), "httpd")
}

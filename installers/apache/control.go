package apache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"edge/installers/apache/conf"
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
		return certbots("Error while running %w", err)
	}
	return nil
}

// Activate has Apache read its configuration again, and starts it where it does not run:
// graceful would start it as well, but out of the sight of systemd. A master that ends
// while it reads, as it does when SSLStaplingCache has gone (mod_ssl keeps half of it
// over a restart), is started again.
func (a *Apache) Activate(ctx context.Context) error {
	master, file := a.master(ctx)
	if master == 0 && file != "" {
		return a.control(ctx, "start")
	}
	before, _ := os.Stat(file) // nil where it is not known
	err := a.control(ctx, "graceful")
	if err != nil && a.alternative != "" {
		err = a.control(ctx, a.alternative)
	}
	if err != nil || master == 0 || a.goesOn(ctx, master, file, before) {
		return err
	}
	gone(ctx, master)
	return a.control(ctx, "start")
}

func (a *Apache) control(ctx context.Context, verb string) error {
	if _, err := a.run(ctx, a.argv(verb)...); err != nil {
		return fmt.Errorf("%s Apache: %w", verb, err)
	}
	return nil
}

const (
	restartDefault = 5 * time.Second
	reapTime       = 10 * time.Second
	restartStep    = 10 * time.Millisecond
)

// goesOn waits until a master that was signalled has read its configuration, which is
// when it writes its pid file anew, and reports false when it ends instead.
func (a *Apache) goesOn(ctx context.Context, master int, file string, before os.FileInfo) bool {
	ctx, cancel := context.WithTimeout(ctx, a.restartTime)
	defer cancel()
	tick := time.NewTicker(restartStep)
	defer tick.Stop()
	for {
		if !isHTTPD(master) {
			return false
		}
		now, err := os.Stat(file)
		if err == nil && before != nil && (!os.SameFile(now, before) || !now.ModTime().Equal(before.ModTime())) {
			return true
		}
		select {
		case <-ctx.Done():
			return true // it runs, and whether it shows what it has to is seen later
		case <-tick.C:
		}
	}
}

// gone waits until a process that has ended is no more: as long as it is there, start
// says that the server runs.
func gone(ctx context.Context, pid int) {
	ctx, cancel := context.WithTimeout(ctx, reapTime)
	defer cancel()
	tick := time.NewTicker(restartStep)
	defer tick.Stop()
	for ctx.Err() == nil && syscall.Kill(pid, 0) == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// isHTTPD reports whether a process runs and is an httpd.
func isHTTPD(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), "(")
	name, rest, _ := strings.Cut(rest, ") ")
	return !strings.HasPrefix(rest, "Z") && (strings.HasPrefix(name, "apache2") || strings.HasPrefix(name, "httpd"))
}

// master is the process of the pid file, 0 where there is none. Where the configuration
// does not say which file that is, it is not known.
func (a *Apache) master(ctx context.Context) (pid int, file string) {
	set, err := a.load(ctx)
	if err != nil {
		return 0, ""
	}
	return a.masterOf(set)
}

func (a *Apache) masterOf(set *conf.Set) (pid int, file string) {
	for _, d := range set.Root.All("PidFile") {
		if len(d.Values) > 0 {
			file = d.Values[0]
		}
	}
	if file == "" {
		return 0, ""
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(a.serverRoot, file)
	}
	raw, err := readRegular(file)
	if err != nil {
		return 0, file
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || pid < 1 || !isHTTPD(pid) {
		return 0, file
	}
	return pid, file
}

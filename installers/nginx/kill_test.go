package nginx

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"edge/installers"
	"edge/internal/durable"
)

// A run that is killed at any step leaves a configuration that nginx accepts, and the
// next run finds out and puts everything back.
func TestKilled(t *testing.T) {
	if os.Getenv("EDGE_NGINX_LAB") != "" {
		dieInChild(t)
	}
	for _, op := range []string{"install", "challenge"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			killed := 0
			for n := 0; ; n++ {
				if os.Getenv("EDGE_SOAK") == "" && n%11 != 3 && n > 0 && n < 200 {
					continue
				}
				if !killAt(t, op, n) {
					break
				}
				killed++
			}
			t.Logf("killed %d times", killed)
			if killed < 3 {
				t.Error("that is less than there are steps")
			}
		})
	}
}

// killAt reports whether there was such a step.
func killAt(t *testing.T, op string, n int) bool {
	t.Helper()
	l, http, https := newTwo(t, nil)
	l.start(t)
	r := l.request("one.test")
	makeCertificate(t, r)
	before := snapshot(t, l.root)
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "EDGE_NGINX_LAB="+l.dir, "EDGE_NGINX_OP="+op, fmt.Sprintf("EDGE_NGINX_STEP=%d", n), fmt.Sprintf("EDGE_NGINX_HTTP=%d", http), fmt.Sprintf("EDGE_NGINX_HTTPS=%d", https))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	died := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	if err != nil && !died {
		t.Fatalf("step %d: %v\n%s", n, err, out)
	}
	server := l.detect(t)
	if err := server.Test(t.Context()); err != nil {
		t.Errorf("step %d: %v", n, err)
	}
	runner := l.runner()
	if _, err := runner.Recover(t.Context(), func(string) installers.Server { return server }); err != nil {
		t.Fatalf("step %d: %v", n, err)
	}
	if left, err := runner.Checkpoints(); err != nil || len(left) > 0 && op == "challenge" {
		t.Fatalf("step %d: %v %v", n, left, err)
	} else if len(left) > 0 {
		l.rollback(t, runner) // it was killed after all was done
	}
	same(t, l.root, before)
	if err := server.Test(t.Context()); err != nil {
		t.Errorf("step %d, recovered: %v", n, err)
	}
	if entries, err := filepath.Glob(l.dir + "/le/*challenge*"); err != nil || len(entries) > 0 {
		t.Errorf("step %d: %v is left", n, entries)
	}
	return died
}

// dieInChild is the process that is killed. It ends well where there is no such step.
func dieInChild(t *testing.T) {
	number := func(name string) int {
		n, err := strconv.Atoi(os.Getenv(name))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	dir := os.Getenv("EDGE_NGINX_LAB")
	l := &lab{dir: dir, root: dir + "/nginx"}
	left := number("EDGE_NGINX_STEP")
	runner := &installers.Runner{Work: dir + "/work", Verify: 5 * time.Second, Durable: durable.Writer{Before: func(durable.Step, string) error {
		if left--; left < 0 {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}}}
	http, https := uint16(number("EDGE_NGINX_HTTP")), uint16(number("EDGE_NGINX_HTTPS"))
	if os.Getenv("EDGE_NGINX_OP") == "challenge" {
		a := l.detect(t).Authenticator(AuthenticatorOptions{Runner: runner, HTTPPort: http, HTTPSPort: https, ConfigDir: dir + "/le", WorkDir: dir + "/work"})
		batch := http01("one.test", "new.test")
		if err := a.Present(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if err := a.Cleanup(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		os.Exit(0)
	}
	r := l.request("one.test")
	r.HTTPPort, r.HTTPSPort, r.Enhance.Redirect = http, https, true
	p := l.plan(t, r)
	if _, err := runner.Apply(t.Context(), l.nginx, p, r); err != nil {
		t.Fatal(err)
	}
	os.Exit(0)
}

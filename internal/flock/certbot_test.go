package flock

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// certbot is Debian's, on folders of its own.
func certbot(t *testing.T, root string, args ...string) *exec.Cmd {
	t.Helper()
	bin, err := exec.LookPath("certbot")
	if err != nil {
		t.Fatalf("%v; install it: apt-get install certbot", err)
	}
	cmd := exec.CommandContext(t.Context(), bin, append(args, "-n",
		"--logs-dir", filepath.Join(root, "logs"), "--config-dir", filepath.Join(root, "config"), "--work-dir", filepath.Join(root, "work"))...)
	// Nothing but the test's server may be asked for anything.
	cmd.Env = append(os.Environ(), "no_proxy=*", "HTTPS_PROXY=http://127.0.0.1:1", "HOME="+root)
	return cmd
}

const another = "Another instance of Certbot is already running."

// While we hold any of its folders, certbot refuses to work.
func TestCertbotRespectsUs(t *testing.T) {
	root := t.TempDir()
	if out, err := certbot(t, root, "certificates").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, dir := range []string{"logs", "config", "work"} {
		h := lock(t, filepath.Join(root, dir), Options{Command: "edge renew"})
		out, err := certbot(t, root, "certificates").CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), another) {
			t.Errorf("%s is locked: certbot says %v: %s", dir, err, out)
		}
		if b := busy(t, filepath.Join(root, dir)); b.PID != os.Getpid() {
			t.Errorf("%s: certbot broke our lock: %+v", dir, b)
		}
		if err := h.Release(); err != nil {
			t.Error(err)
		}
	}
	if out, err := certbot(t, root, "certificates").CombinedOutput(); err != nil {
		t.Errorf("after the release: %v: %s", err, out)
	}
}

// While certbot works, we do not, say who it is, and get the folders afterwards.
func TestWeRespectCertbot(t *testing.T) {
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	ca := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-answer
		http.Error(w, "enough", http.StatusTeapot)
	}))
	defer ca.Close()
	finish := sync.OnceFunc(func() { close(answer) })
	defer finish()
	root := t.TempDir()
	cmd := certbot(t, root, "register", "--server", ca.URL, "--agree-tos", "--register-unsafely-without-email")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	select {
	case <-asked:
	case err := <-exited:
		t.Fatalf("certbot ended before it asked the CA: %v: %s", err, out.String())
	}
	var dirs []string
	for _, dir := range []string{"logs", "config", "work"} {
		dir = filepath.Join(root, dir)
		dirs = append(dirs, dir)
		b := busy(t, dir)
		if b.PID != cmd.Process.Pid || !strings.Contains(b.Command, "certbot register --server") {
			t.Errorf("%s: busy %+v, want PID %d", dir, b, cmd.Process.Pid)
		}
	}
	// A stranger's name in the file changes nothing for the kernel.
	if err := os.WriteFile(filepath.Join(dirs[0], Name), []byte("1 init\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var waited []int
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	release, err := Dirs(ctx, dirs, Options{Timeout: time.Hour, OnWait: func(b *BusyError) {
		if waited = append(waited, b.PID); len(waited) == 1 {
			finish()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(waited) == 0 || waited[0] != cmd.Process.Pid {
		t.Errorf("waited for %v, want first %d", waited, cmd.Process.Pid)
	}
	if err := <-exited; err == nil || strings.Contains(out.String(), another) {
		t.Errorf("certbot: %v: %s", err, out.String())
	}
	for _, dir := range dirs {
		if b := busy(t, dir); b.PID != os.Getpid() {
			t.Errorf("%s: %+v", dir, b)
		}
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

package main

import (
	"bytes"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"edge/internal/edgetest"
)

// A run that is stopped says so, ends as certbot does, and takes back what it began.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		program, stderr string
		signal          syscall.Signal
		code            int
	}{
		{"edge", "edge: interrupted: SIGINT came; what was begun was given up, run the command again\n", syscall.SIGINT, 1},
		{"edge", "edge: interrupted: SIGTERM came; what was begun was given up, run the command again\n", syscall.SIGTERM, 1},
		{"certbot", "Exiting due to user request.\n", syscall.SIGINT, 1},
		{"certbot", "", syscall.SIGTERM, 143},
	} {
		w := newWebTree(t, "none", edgetest.CAOptions{})
		cmd := w.command(c.program, "certonly", "-n", "--manual", "--preferred-challenges", "http", "--manual-auth-hook", "touch started; exec sleep 60",
			"--manual-cleanup-hook", "touch cleaned", "--agree-tos", "-m", "a@example.org", "-d", "a.example.test")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.eventually("the hook has begun", func() bool { _, err := os.Stat(w.path("started")); return err == nil })
		if err := cmd.Process.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		_, last, _ := strings.Cut(stderr.String(), "reported error code -15\n")
		last, _, _ = strings.Cut(last, "edge: details are in")
		if code := cmd.ProcessState.ExitCode(); code != c.code || last != c.stderr || strings.Contains(stdout.String()+last, "context canceled") {
			t.Errorf("%s, %v: exit status %d\n%s\n%s", c.program, c.signal, code, stdout.String(), stderr.String())
		}
		if _, err := os.Stat(w.path("cleaned")); err != nil {
			t.Errorf("%s, %v: nothing was cleaned up: %v", c.program, c.signal, err)
		}
	}
}

// A port that is taken is said once, whatever number of names there is.
func TestPortTakenIsSaidOnce(t *testing.T) {
	t.Parallel()
	w := newTree(t, edgetest.CAOptions{})
	l, err := net.Listen("tcp", w.http)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, program := range []string{ours, "edge"} {
		out := w.run(program, "certonly", "-n", "--standalone", "--http-01-port", "PORT", "--http-01-address", "127.0.0.1", "--preferred-challenges", "http", "--agree-tos", "-m", "a@example.org",
			"-d", "a.example.test,b.example.test,c.example.test")
		if out.code != 1 || strings.Count(out.stderr, "Could not bind TCP port") != 1 || strings.Contains(out.stderr, "from the internet") {
			t.Errorf("%s: %d\n%s%s", program, out.code, out.stdout, out.stderr)
		}
	}
}

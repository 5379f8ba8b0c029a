package flock

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test's program is also the other process of the tests.
const (
	asHolder  = "EDGE_FLOCK_HOLD"  // a folder: hold its lock until standard input ends
	asCounter = "EDGE_FLOCK_COUNT" // a folder: count up in it under its lock
)

const rounds = 40 // of each counter

func TestMain(m *testing.M) {
	if dir := os.Getenv(asHolder); dir != "" {
		h, err := Dir(context.Background(), dir, Options{Command: "test holder"})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		_, _ = io.Copy(io.Discard, os.Stdin)
		if err := h.Release(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(asCounter); dir != "" {
		if err := count(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// holder is another process that has a lock.
type holder struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

func startHolder(t *testing.T, dir string) *holder {
	t.Helper()
	h := &holder{cmd: exec.Command(os.Args[0], "--eab-hmac-key", "verysecret")}
	h.cmd.Env = append(os.Environ(), asHolder+"="+dir)
	stdout, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.cmd.Process.Kill(); _ = h.cmd.Wait() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q (%v)", line, err)
	}
	return h
}

// count adds to a number in a file, in the way that loses counts when two do it
// at the same time.
func count(dir string) error {
	file := dir + "/number"
	for range rounds {
		h, err := Dir(context.Background(), dir, Options{Timeout: time.Minute})
		if err != nil {
			return err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(strconv.Itoa(n+1)), 0o600); err != nil {
			return err
		}
		if err := h.Release(); err != nil {
			return err
		}
	}
	return nil
}

package targettest

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// fakeProgram is where a process that stands in for a program finds who answers for it.
const fakeProgram = "EDGE_FAKE_PROGRAM"

// saying is what comes of a fake program.
type saying struct {
	Stdout, Stderr string
	Code           int
}

// Program makes a program that is called by its path, and answered for by serve in the
// process of the test. The package's TestMain is Main.
func Program(t testing.TB, name string, serve func(args []string) (stdout, stderr string, code int)) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "edge-fake") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var args []string
			if json.NewDecoder(c).Decode(&args) == nil {
				var s saying
				s.Stdout, s.Stderr, s.Code = serve(args)
				_ = json.NewEncoder(c).Encode(s)
			}
			c.Close()
		}
	}()
	path = filepath.Join(dir, name)
	// A program of the race detector's waits a second at its end otherwise.
	script := fmt.Sprintf("#!/bin/sh\nGORACE=atexit_sleep_ms=0 %s='%s' exec '%s' \"$@\"\n", fakeProgram, socket, self)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Main is the TestMain of packages with fake programs: this process is a test, or one of
// them.
func Main(m *testing.M) {
	socket := os.Getenv(fakeProgram)
	if socket == "" {
		os.Exit(m.Run())
	}
	c, err := net.Dial("unix", socket)
	if err == nil {
		err = json.NewEncoder(c).Encode(os.Args[1:])
	}
	var s saying
	if err == nil {
		err = json.NewDecoder(c).Decode(&s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(111)
	}
	fmt.Fprint(os.Stdout, s.Stdout)
	fmt.Fprint(os.Stderr, s.Stderr)
	os.Exit(s.Code)
}

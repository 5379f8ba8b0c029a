package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace names what a test process of its own network is to do: nothing is there
// but its loopback, so that servers can have ports 80 and 443, which certbot takes for
// granted in places.
const namespace = "EDGE_TEST_NAMESPACE"

// alone runs a test once more, in a network of its own and with a word that tells it
// what to do, and returns what it reported.
func alone(t *testing.T, word string, result any) {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.json")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), namespace+"="+word, "EDGE_TEST_REPORT="+report)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s alone: %v\n%s", word, err, out)
		return
	}
	raw, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(raw, result)
	}
	if err != nil {
		t.Errorf("%s alone: %v\n%s", word, err, out)
	}
}

// isAlone reports whether this is such a process, and what it is to do.
func isAlone(t *testing.T) (word string, is bool) {
	t.Helper()
	word, is = os.LookupEnv(namespace)
	if !is {
		return "", false
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
	return word, true
}

// reports passes on what came of it.
func reports(t *testing.T, result any) {
	t.Helper()
	raw, err := json.Marshal(result)
	if err == nil {
		err = os.WriteFile(os.Getenv("EDGE_TEST_REPORT"), raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wellKnown are the ports of the web where this process has them to itself, else
// others that are free.
func wellKnown(t *testing.T) (plain, tls string) {
	t.Helper()
	if _, is := os.LookupEnv(namespace); is {
		return "127.0.0.1:80", "127.0.0.1:443"
	}
	free := reserve(t, 2)
	return free[0], free[1]
}

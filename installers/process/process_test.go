package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func start(t *testing.T) (program string, pid int) {
	t.Helper()
	path, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return path, cmd.Process.Pid
}

func pidFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNamed(t *testing.T) {
	program, pid := start(t)
	p, err := Named(pidFile(t, fmt.Sprintf("%d\n", pid)), program)
	if err != nil || p.PID != pid || p.Parent != os.Getpid() || p.UID != os.Getuid() || len(p.Args) != 2 || p.Args[1] != "1000" {
		t.Errorf("%+v, %v", p, err)
	}
	for content, why := range map[string]string{
		"":                        "no process id",
		"x":                       "no process id",
		"-5":                      "no process id",
		"1":                       "no process id",
		"2147483600":              "has ended",
		fmt.Sprint(os.Getpid()):   "is not " + program,
		strings.Repeat("9", 1000): "no process id",
	} {
		if p, err := Named(pidFile(t, content), program); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.20q: %+v, %v", content, p, err)
		}
	}
}

// Anybody can start a server's program.
func TestOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not run: only root can start a process as somebody else")
		return
	}
	program, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	for name, attr := range map[string]*syscall.SysProcAttr{
		"of another user": {Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}, "like ours": {},
	} {
		cmd := exec.Command(program, "1000")
		cmd.SysProcAttr = attr
		if err := cmd.Start(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		p, err := Read(cmd.Process.Pid)
		if err != nil || p.Runs(program) != (name == "like ours") {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func TestRunning(t *testing.T) {
	program, pid := start(t)
	found := false
	for _, p := range Running(program) {
		found = found || p.PID == pid
		if p.PID == os.Getpid() {
			t.Error("this test is no sleep")
		}
	}
	if !found {
		t.Error("it was not found")
	}
	// The child of one that is found is not found: it is a worker.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("TEST_CHILD") != "" {
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the test ends
		return
	}
	child := exec.Command(self, "-test.run=^TestRunning$")
	child.Env = append(os.Environ(), "TEST_CHILD=1")
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	for _, p := range Running(self) {
		if p.PID == child.Process.Pid {
			t.Error("a child of this process was found")
		}
	}
}

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

func TestGroup(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 5678, NoSetGroups: true}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for pid, want := range map[int]int{cmd.Process.Pid: 5678, os.Getpid(): os.Getegid()} {
		if got, err := Group(pid); err != nil || got != want {
			t.Errorf("process %d is of group %d, want %d (%v)", pid, got, want, err)
		}
	}
	if _, err := Group(1<<22 + 1); err == nil {
		t.Error("a process that there is not has a group")
	}
}

func TestEnters(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 5678, Groups: []uint32{77}}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	top, err := os.MkdirTemp("/var/lib", "edge-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(top)
	if err := errors.Join(os.Chmod(top, 0o755), os.MkdirAll(top+"/a/b", 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode     os.FileMode
		uid, gid int
		enters   bool
	}{
		{0o755, 0, 0, true}, {0o750, 0, 0, false}, {0o750, 0, 5678, true}, {0o710, 0, 77, true}, {0o701, 0, 77, false}, {0o700, 1234, 0, true}, {0o077, 1234, 0, false},
	} {
		if err := errors.Join(os.Chown(top+"/a", c.uid, c.gid), os.Chmod(top+"/a", c.mode)); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{"/a", "/a/b", "/a/b/not/yet"} {
			if err := Enters(cmd.Process.Pid, top+dir); (err == nil) != c.enters {
				t.Errorf("%s with %+v: %v", dir, c, err)
			}
		}
		if err := Enters(os.Getpid(), top+"/a"); err != nil {
			t.Errorf("root: %v", err)
		}
	}
}

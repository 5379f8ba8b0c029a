package process

import (
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

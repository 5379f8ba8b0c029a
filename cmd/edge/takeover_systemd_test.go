package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// booted is a machine in namespaces of its own, whose process 1 is Debian's systemd.
type booted struct {
	t   *testing.T
	pid int // of systemd, here
}

// boot needs root and a cgroup v2. The machine goes with the test.
func boot(t *testing.T) *booted {
	t.Helper()
	group := cgroup(t)
	dir, err := os.Open(group)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	edge, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	units, err := filepath.Abs("../../deploy/systemd")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("testdata/systemd/boot", t.TempDir(), edge, units)
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		UseCgroupFD: true, CgroupFD: int(dir.Fd()), Setsid: true,
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &booted{t, cmd.Process.Pid}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with it, all of the machine
		<-ended
		if t.Failed() {
			t.Logf("the console:\n%s", console.Bytes())
		}
	})
	within(t, 30*time.Second, "systemd", func() bool {
		select {
		case <-ended:
			t.Fatalf("systemd has ended:\n%s", console.Bytes())
		default:
		}
		out, _ := m.try("systemctl", "is-system-running")
		return out == "running" || out == "degraded"
	})
	return m
}

// cgroup is one that is removed with the test.
func cgroup(t *testing.T) string {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
			continue
		}
		group, err := os.MkdirTemp(root, "edge-test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { within(t, 10*time.Second, "the end of the cgroup", func() bool { return removeGroup(group) }) })
		return group
	}
	t.Fatal("there is no cgroup v2")
	return ""
}

// removeGroup removes groups, the innermost first. Until all their processes are
// gone, they are busy.
func removeGroup(group string) bool {
	entries, _ := os.ReadDir(group)
	for _, e := range entries {
		if e.IsDir() && !removeGroup(filepath.Join(group, e.Name())) {
			return false
		}
	}
	err := os.Remove(group)
	return err == nil || errors.Is(err, fs.ErrNotExist)
}

func within(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// try runs a program of the machine.
func (m *booted) try(program string, args ...string) (string, error) {
	cmd := exec.CommandContext(m.t.Context(), "nsenter", append([]string{"-t", fmt.Sprint(m.pid), "-a", program}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (m *booted) must(program string, args ...string) string {
	m.t.Helper()
	out, err := m.try(program, args...)
	if err != nil {
		m.t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return out
}

// timer is what systemd says of one.
func (m *booted) timer(name string) string {
	m.t.Helper()
	return m.must("systemctl", "show", "--property=UnitFileState,ActiveState", "--value", name)
}

// Under a real systemd: the timers change hands and come back, ours has a next time,
// and the service that it starts does its work.
func TestTakeoverUnderSystemd(t *testing.T) {
	if os.Getenv("EDGE_SYSTEMD") == "" {
		t.Skip("not run: EDGE_SYSTEMD is not set; it needs root, and boots a systemd in namespaces of its own")
	}
	m := boot(t)
	const on, off = "active\nenabled", "inactive\ndisabled"
	job := m.must("cat", cronJob)
	m.must("systemctl", "enable", "--now", "certbot.timer")
	timers := func(what, ours, theirs string) {
		t.Helper()
		if o, c := m.timer(ourTimer), m.timer("certbot.timer"); o != ours || c != theirs {
			t.Errorf("%s: ours is %q, certbot's %q", what, o, c)
		}
	}
	timers("before", off, on)
	out := m.must("edge", "takeover", "certbot")
	timers("taken over:\n"+out, on, off)
	if cron := m.must("cat", cronJob); cron == job || !strings.HasPrefix(cron, mark) {
		t.Errorf("cron has %s", cron)
	}
	if next := m.must("systemctl", "show", "--property=NextElapseUSecRealtime", "--value", ourTimer); next == "" {
		t.Error("our timer has no next time")
	}
	// Its next time is now.
	m.must("sh", "-c", `mkdir /etc/systemd/system/edge-renew.timer.d
printf '[Timer]\nOnCalendar=\nOnBootSec=\nOnActiveSec=1ms\nAccuracySec=1ms\nRandomizedDelaySec=0\n' >/etc/systemd/system/edge-renew.timer.d/now.conf
systemctl daemon-reload && systemctl restart edge-renew.timer`)
	within(t, 20*time.Second, "the end of edge-renew.service", func() bool {
		out, _ := m.try("systemctl", "show", "--property=ExecMainExitTimestamp", "--value", "edge-renew.service")
		return out != ""
	})
	if got := m.must("systemctl", "show", "--property=Result,ExecMainStatus,ExecMainCode", "edge-renew.service"); got != "Result=success\nExecMainCode=1\nExecMainStatus=0" {
		t.Errorf("edge-renew.service: %s\n%s", got, m.must("cat", "/var/log/letsencrypt/letsencrypt.log"))
	}
	if log := m.must("cat", "/var/log/letsencrypt/letsencrypt.log"); !strings.Contains(log, "No renewals were attempted.") {
		t.Errorf("the log of the run: %s", log)
	}
	if again := m.must("edge", "takeover", "certbot"); !strings.HasPrefix(again, "Nothing is left to be done") {
		t.Errorf("twice: %s", again)
	}
	out = m.must("edge", "takeover", "certbot", "--undo")
	timers("given back:\n"+out, off, on)
	if cron := m.must("cat", cronJob); cron != job {
		t.Errorf("cron has %s", cron)
	}
}

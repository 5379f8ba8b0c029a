package edgetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// nextPort is below the ports that the kernel gives to connections, so that nobody takes
// one before a server does.
var nextPort atomic.Uint32

// FreePort finds a port of the loopback that nobody listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	nextPort.CompareAndSwap(0, 10000+uint32(os.Getpid()*89%15000))
	for {
		port := nextPort.Add(1)
		if port > 32000 {
			t.Fatal("no free ports are left")
		}
		if l, err := net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			_ = l.Close() // only tried
			return int(port)
		}
	}
}

// Daemon is a real server that stays in the foreground. It ends with the test.
type Daemon struct {
	Argv []string
	Dir  string // its working folder, where its output goes
	// Up are addresses that it listens on when it has started: HOST:PORT, or the path of a
	// socket.
	Up         []string
	Credential *syscall.Credential // nil: this process's
	cmd        *exec.Cmd
	gone       chan struct{}
}

// Start starts it and waits until it listens.
func (d *Daemon) Start(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath(d.Argv[0]); err != nil {
		t.Fatalf("%v: install it (make test does)", err)
	}
	log, err := os.OpenFile(d.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the daemon has its own
	d.cmd = exec.Command(d.Argv[0], d.Argv[1:]...)
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = d.Dir, log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: d.Credential}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	d.gone = gone
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // how it ended is in its log
		close(gone)
	}(d.cmd)
	t.Cleanup(func() { d.Stop(t) })
	deadline := time.Now().Add(20 * time.Second)
	for _, addr := range d.Up {
		for {
			c, err := net.Dial(network(addr), addr)
			if err == nil {
				_ = c.Close() // only tried
				break
			}
			select {
			case <-gone:
				t.Fatalf("%s has ended:\n%s", filepath.Base(d.Argv[0]), d.Log())
			case <-time.After(10 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not listen on %s:\n%s", filepath.Base(d.Argv[0]), addr, d.Log())
			}
		}
	}
}

func network(addr string) string {
	if strings.HasPrefix(addr, "/") {
		return "unix"
	}
	return "tcp"
}

// Stop ends it with all processes of its group.
func (d *Daemon) Stop(t testing.TB) {
	t.Helper()
	if d.cmd == nil {
		return
	}
	group := -d.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-d.gone:
	case <-time.After(3 * time.Second):
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-d.gone
	deadline := time.Now().Add(10 * time.Second)
	for _, addr := range d.Up { // others of the group are on their way
		for time.Now().Before(deadline) {
			c, err := net.Dial(network(addr), addr)
			if err != nil {
				break
			}
			_ = c.Close() // only tried
			time.Sleep(time.Millisecond)
		}
	}
	d.cmd = nil
	if t.Failed() {
		t.Logf("%s said:\n%s", filepath.Base(d.Argv[0]), d.Log())
	}
}

// PID is that of the process that was started, 0 while there is none.
func (d *Daemon) PID() int {
	if d.cmd == nil {
		return 0
	}
	return d.cmd.Process.Pid
}

func (d *Daemon) logPath() string {
	return filepath.Join(d.Dir, filepath.Base(d.Argv[0])+".out")
}

// Log is the end of what it said.
func (d *Daemon) Log() string {
	raw, err := os.ReadFile(d.logPath())
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(bytes.TrimSpace(raw[max(0, len(raw)-8<<10):])), "?")
}

package edgetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// PTY is a pseudo-terminal: a program is at Slave, and the methods are the person
// at the other end.
type PTY struct {
	Slave *os.File

	t      testing.TB
	master *os.File

	mu   sync.Mutex
	seen bytes.Buffer
	read int           // of what was seen, bytes that were waited for
	more chan struct{} // has a token when there is more to see
	gone chan struct{} // closed when the terminal is
}

// OpenPTY makes one, which lives as long as the test.
func OpenPTY(t testing.TB) *PTY {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n uint32
	var errs [2]error
	err = c.Control(func(fd uintptr) {
		errs[0] = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		n, errs[1] = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
	})
	if err := errors.Join(err, errs[0], errs[1]); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &PTY{Slave: slave, t: t, master: master, more: make(chan struct{}, 1), gone: make(chan struct{})}
	go p.watch()
	t.Cleanup(func() {
		p.HangUp()
		<-p.gone
	})
	return p
}

// Start starts a program that has the terminal for its own, as a shell would. Its
// Stderr may be set to something else. Slave is closed: the terminal ends with the
// program.
func (p *PTY) Start(cmd *exec.Cmd) {
	p.t.Helper()
	cmd.Stdin, cmd.Stdout = p.Slave, p.Slave
	if cmd.Stderr == nil {
		cmd.Stderr = p.Slave
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err := cmd.Start()
	p.Slave.Close()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func (p *PTY) watch() {
	defer close(p.gone)
	b := make([]byte, 4096)
	for {
		n, err := p.master.Read(b)
		p.mu.Lock()
		p.seen.Write(b[:n])
		p.mu.Unlock()
		select {
		case p.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Screen is all that was ever printed.
func (p *PTY) Screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.ReplaceAll(p.seen.String(), "\r\n", "\n")
}

// Sees waits until a text is on the screen, after all that was waited for before.
func (p *PTY) Sees(text string) *PTY {
	p.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		screen := p.Screen()
		if n := strings.Index(screen[p.read:], text); n >= 0 {
			p.read += n + len(text)
			return p
		}
		select {
		case <-p.more:
		case <-p.gone:
			if !strings.Contains(p.Screen()[p.read:], text) {
				p.t.Fatalf("the program ended without %q; the screen shows\n%s", text, p.Screen())
			}
		case <-deadline:
			p.t.Fatalf("never seen: %q; the screen shows\n%s", text, p.Screen())
		}
	}
}

// Types presses keys; Enter is \r.
func (p *PTY) Types(keys string) *PTY {
	p.t.Helper()
	if _, err := io.WriteString(p.master, keys); err != nil {
		p.t.Fatal(err)
	}
	return p
}

// HangUp takes the terminal away, as a connection does that breaks.
func (p *PTY) HangUp() {
	p.Slave.Close()
	p.master.Close()
}

// Gone is closed when the last program has left the terminal.
func (p *PTY) Gone() <-chan struct{} { return p.gone }

package display

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a pseudo-terminal: what a person types and sees is at master, what a
// program reads and prints at slave.
type pty struct {
	master, slave *os.File

	mu   sync.Mutex
	seen bytes.Buffer
	more chan struct{} // gets a token whenever there is more to see
	done chan struct{} // closed when the terminal is gone
}

func openPTY(t *testing.T) *pty {
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
	if err := c.Control(func(fd uintptr) {
		errs[0] = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		n, errs[1] = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
	}); err != nil || errs[0] != nil || errs[1] != nil {
		t.Fatal(err, errs)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{master: master, slave: slave, more: make(chan struct{}, 1), done: make(chan struct{})}
	go p.watch()
	t.Cleanup(p.close)
	return p
}

func (p *pty) close() {
	p.slave.Close()
	p.master.Close()
	<-p.done
}

func (p *pty) watch() {
	defer close(p.done)
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

func (p *pty) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.ReplaceAll(p.seen.String(), "\r\n", "\n")
}

// see waits until text is on the screen n times.
func (p *pty) see(t *testing.T, text string, n int) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for strings.Count(p.screen(), text) < n {
		select {
		case <-p.more:
		case <-deadline:
			t.Fatalf("never seen %d times: %q; the screen shows\n%s", n, text, p.screen())
		}
	}
}

func (p *pty) typ(t *testing.T, keys string) {
	t.Helper()
	if _, err := io.WriteString(p.master, keys); err != nil {
		t.Fatal(err)
	}
}

// result is what a question in a goroutine came to.
type result[T any] struct {
	value T
	err   error
}

func start[T any](question func() (T, error)) <-chan result[T] {
	out := make(chan result[T], 1)
	go func() {
		v, err := question()
		out <- result[T]{v, err}
	}()
	return out
}

func TestPersonAtATerminal(t *testing.T) {
	p := openPTY(t)
	d := NewTerminal(p.slave, p.slave, Options{})
	sure := start(func() (bool, error) { return ConfirmDelete(t.Context(), d, []string{"site"}) })
	p.see(t, "(Y)es/(N)o: ", 1)
	p.typ(t, "what?\r")
	p.see(t, "(Y)es/(N)o: ", 2)
	p.typ(t, "nX\x7fo\r") // with one character erased
	if r := <-sure; r.err != nil || r.value {
		t.Errorf("a default was taken at a terminal: %+v", r)
	}
	index := start(func() (int, error) {
		return d.Menu(t.Context(), "Pick", Choices([]string{"a", "b"}), MenuOptions{Default: new(0)})
	})
	p.see(t, "to cancel): ", 1)
	p.typ(t, "2\r")
	if r := <-index; r.err != nil || r.value != 1 {
		t.Errorf("%+v", r)
	}
	pause := start(func() (bool, error) { return true, d.Pause(t.Context(), "Look at this.") })
	p.see(t, "Press Enter to Continue", 1)
	p.typ(t, "\r")
	if r := <-pause; r.err != nil {
		t.Error(r.err)
	}
	answer := start(func() (string, error) { return d.Input(t.Context(), "Name", InputOptions{Flag: "--name"}) })
	p.see(t, "Name (Enter 'c' to cancel): ", 1)
	p.typ(t, "\x04") // Ctrl-D
	var eof *EOFError
	if r := <-answer; !errors.As(r.err, &eof) || eof.Flag != "--name" || !strings.Contains(r.err.Error(), "--name") {
		t.Errorf("%+v", r)
	}
}

// A question that nobody waits for any more takes nothing of what is typed later.
func TestContextEndsAQuestion(t *testing.T) {
	p := openPTY(t)
	d := NewTerminal(p.slave, p.slave, Options{})
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	first := start(func() (string, error) { return d.Input(ctx, "First", InputOptions{}) })
	p.see(t, "First", 1)
	// Another one waits for its turn, and gives up as well.
	second := start(func() (string, error) { return d.Input(ctx, "Second", InputOptions{}) })
	cancel(enough)
	for _, r := range []result[string]{<-first, <-second} {
		if !errors.Is(r.err, enough) {
			t.Errorf("%+v", r)
		}
	}
	if strings.Contains(p.screen(), "Second") {
		t.Error("two questions at a time")
	}
	third := start(func() (string, error) { return d.Input(t.Context(), "Third", InputOptions{}) })
	p.see(t, "Third", 1)
	p.typ(t, "here\r")
	if r := <-third; r.err != nil || r.value != "here" {
		t.Errorf("%+v", r)
	}
	if _, err := d.YesNo(ctx, "Fourth", "Yes", "No", YesNoOptions{}); !errors.Is(err, enough) {
		t.Error(err)
	}
}

func TestTimeOver(t *testing.T) {
	p := openPTY(t)
	d := NewTerminal(p.slave, p.slave, Options{Timeout: time.Millisecond})
	_, err := d.Input(t.Context(), "Name", InputOptions{})
	if !errors.Is(err, os.ErrDeadlineExceeded) || err.Error() != "Timed out waiting for answer to prompt 'Name (Enter 'c' to cancel): '" {
		t.Error(err)
	}
}

const asAsker = "EDGE_DISPLAY_ASK" // the test's program asks a question on its terminal

// askForPTY is the program of TestInterrupt and TestHangUp.
func askForPTY() {
	interrupted := errors.New("Exiting due to user request.")
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	signal.Ignore(syscall.SIGHUP)
	go func() { <-signals; cancel(interrupted) }()
	_, err := NewTerminal(os.Stdin, os.Stdout, Options{}).Input(ctx, "Name", InputOptions{})
	fmt.Fprintln(os.Stderr, err)
	os.Exit(3)
}

// startAsker starts it with the terminal for its own, as a shell would.
func startAsker(t *testing.T, p *pty) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	stderr = new(bytes.Buffer)
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asAsker+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.slave, p.slave, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, stderr
}

func TestInterrupt(t *testing.T) {
	p := openPTY(t)
	cmd, stderr := startAsker(t, p)
	p.see(t, "Name (Enter 'c' to cancel): ", 1)
	p.typ(t, "half an ans\x03") // Ctrl-C
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 3 || stderr.String() != "Exiting due to user request.\n" {
		t.Errorf("%v: %s", cmd.ProcessState, stderr)
	}
}

// A connection that breaks takes the terminal away.
func TestHangUp(t *testing.T) {
	p := openPTY(t)
	cmd, stderr := startAsker(t, p)
	p.see(t, "Name (Enter 'c' to cancel): ", 1)
	p.slave.Close()
	p.master.Close()
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 3 || !strings.HasPrefix(stderr.String(), "An unexpected error occurred:\nEOFError: ") {
		t.Errorf("%v: %s", cmd.ProcessState, stderr)
	}
}

func TestHeading(t *testing.T) {
	for color, want := range map[string]string{"": "\x1b[1m\nNEXT STEPS:\n\x1b[0m- go\n", "1": "\nNEXT STEPS:\n- go\n"} {
		t.Setenv("NO_COLOR", color)
		p := openPTY(t)
		d := NewNonInteractive(p.slave, Options{})
		d.Heading("NEXT STEPS:")
		d.Notify("- go", false)
		p.see(t, "- go\n", 1)
		if p.screen() != want {
			t.Errorf("NO_COLOR=%q: %q", color, p.screen())
		}
	}
	var out bytes.Buffer
	if NewNonInteractive(&out, Options{}).Heading("NEXT STEPS:"); out.String() != "NEXT STEPS:\n" {
		t.Errorf("in a file: %q", out.String())
	}
}

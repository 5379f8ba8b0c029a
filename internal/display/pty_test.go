package display

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/internal/edgetest"
)

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
	p := edgetest.OpenPTY(t)
	d := NewTerminal(p.Slave, p.Slave, Options{})
	sure := start(func() (bool, error) { return ConfirmDelete(t.Context(), d, []string{"site"}) })
	p.Sees("(Y)es/(N)o: ")
	p.Types("what?\r")
	p.Sees("(Y)es/(N)o: ")
	p.Types("nX\x7fo\r") // with one character erased
	if r := <-sure; r.err != nil || r.value {
		t.Errorf("a default was taken at a terminal: %+v", r)
	}
	index := start(func() (int, error) {
		return d.Menu(t.Context(), "Pick", Choices([]string{"a", "b"}), MenuOptions{Default: new(0)})
	})
	p.Sees("to cancel): ")
	p.Types("2\r")
	if r := <-index; r.err != nil || r.value != 1 {
		t.Errorf("%+v", r)
	}
	pause := start(func() (bool, error) { return true, d.Pause(t.Context(), "Look at this.") })
	p.Sees("Press Enter to Continue")
	p.Types("\r")
	if r := <-pause; r.err != nil {
		t.Error(r.err)
	}
	answer := start(func() (string, error) { return d.Input(t.Context(), "Name", InputOptions{Flag: "--name"}) })
	p.Sees("Name (Enter 'c' to cancel): ")
	p.Types("\x04") // Ctrl-D
	var eof *EOFError
	if r := <-answer; !errors.As(r.err, &eof) || eof.Flag != "--name" || !strings.Contains(r.err.Error(), "--name") {
		t.Errorf("%+v", r)
	}
}

// A question that nobody waits for any more takes nothing of what is typed later.
func TestContextEndsAQuestion(t *testing.T) {
	p := edgetest.OpenPTY(t)
	d := NewTerminal(p.Slave, p.Slave, Options{})
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	first := start(func() (string, error) { return d.Input(ctx, "First", InputOptions{}) })
	p.Sees("First")
	// Another one waits for its turn, and gives up as well.
	second := start(func() (string, error) { return d.Input(ctx, "Second", InputOptions{}) })
	cancel(enough)
	for _, r := range []result[string]{<-first, <-second} {
		if !errors.Is(r.err, enough) {
			t.Errorf("%+v", r)
		}
	}
	if strings.Contains(p.Screen(), "Second") {
		t.Error("two questions at a time")
	}
	third := start(func() (string, error) { return d.Input(t.Context(), "Third", InputOptions{}) })
	p.Sees("Third")
	p.Types("here\r")
	if r := <-third; r.err != nil || r.value != "here" {
		t.Errorf("%+v", r)
	}
	if _, err := d.YesNo(ctx, "Fourth", "Yes", "No", YesNoOptions{}); !errors.Is(err, enough) {
		t.Error(err)
	}
}

func TestTimeOver(t *testing.T) {
	p := edgetest.OpenPTY(t)
	d := NewTerminal(p.Slave, p.Slave, Options{Timeout: time.Millisecond})
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
func startAsker(t *testing.T, p *edgetest.PTY) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	stderr = new(bytes.Buffer)
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asAsker+"=1")
	cmd.Stderr = stderr
	p.Start(cmd)
	return cmd, stderr
}

func TestInterrupt(t *testing.T) {
	p := edgetest.OpenPTY(t)
	cmd, stderr := startAsker(t, p)
	p.Sees("Name (Enter 'c' to cancel): ")
	p.Types("half an ans\x03") // Ctrl-C
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 3 || stderr.String() != "Exiting due to user request.\n" {
		t.Errorf("%v: %s", cmd.ProcessState, stderr)
	}
}

// A connection that breaks takes the terminal away.
func TestHangUp(t *testing.T) {
	p := edgetest.OpenPTY(t)
	cmd, stderr := startAsker(t, p)
	p.Sees("Name (Enter 'c' to cancel): ")
	p.HangUp()
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 3 || !strings.HasPrefix(stderr.String(), "An unexpected error occurred:\nEOFError: ") {
		t.Errorf("%v: %s", cmd.ProcessState, stderr)
	}
}

func TestHeading(t *testing.T) {
	for color, want := range map[string]string{"": "\x1b[1m\nNEXT STEPS:\n\x1b[0m- go\n", "1": "\nNEXT STEPS:\n- go\n"} {
		t.Setenv("NO_COLOR", color)
		p := edgetest.OpenPTY(t)
		d := NewNonInteractive(p.Slave, Options{})
		d.Heading("NEXT STEPS:")
		d.Notify("- go", false)
		p.Sees("- go\n")
		if p.Screen() != want {
			t.Errorf("NO_COLOR=%q: %q", color, p.Screen())
		}
	}
	var out bytes.Buffer
	if NewNonInteractive(&out, Options{}).Heading("NEXT STEPS:"); out.String() != "NEXT STEPS:\n" {
		t.Errorf("in a file: %q", out.String())
	}
}

package display

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxAnswer bounds an answer, in bytes: a hundred names of full length fit well.
const maxAnswer = 64 << 10

// timeoutError is certbot's for a person who has gone away.
type timeoutError struct{ prompt string }

func (e *timeoutError) Error() string {
	return fmt.Sprintf("Timed out waiting for answer to prompt '%s'", e.prompt)
}

func (e *timeoutError) Unwrap() error { return os.ErrDeadlineExceeded }

// asker prints a prompt and returns the line that answers it.
type asker func(prompt string) (string, error)

// question takes its turn, prints text, and has its answers asked for.
func (t *Terminal) question(ctx context.Context, text, flag string, answers func(asker) error) error {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := t.print(text); err != nil {
		return fmt.Errorf("ask on standard output: %w", err)
	}
	return answers(func(prompt string) (string, error) {
		if err := t.print(prompt); err != nil {
			return "", fmt.Errorf("ask on standard output: %w", err)
		}
		line, err := t.readLine(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return "", &EOFError{Flag: flag}
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "", &timeoutError{prompt}
		}
		return line, err
	})
}

// readLine reads one line, without its end. It stops when ctx ends or the time is
// over, and then has taken no more than what was typed.
func (t *Terminal) readLine(ctx context.Context) (line string, err error) {
	if t.in == nil {
		return "", io.EOF
	}
	ended, stop, err := onDone(ctx)
	if err != nil {
		return "", fmt.Errorf("read from standard input: %w", err)
	}
	defer stop()
	c, err := t.in.SyscallConn()
	if err != nil {
		return "", fmt.Errorf("read from standard input: %w", err)
	}
	cerr := c.Control(func(fd uintptr) {
		line, err = readLine(ctx, int(fd), ended, time.Now().Add(t.o.Timeout))
	})
	return line, errors.Join(err, cerr)
}

// onDone returns a descriptor that becomes ready when ctx ends.
func onDone(ctx context.Context) (ready int, stop func(), err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return 0, nil, err
	}
	cancel := context.AfterFunc(ctx, func() { unix.Close(p[1]) })
	return p[0], func() {
		if cancel() {
			unix.Close(p[1])
		}
		unix.Close(p[0])
	}, nil
}

func readLine(ctx context.Context, in, ended int, deadline time.Time) (string, error) {
	var line []byte
	for {
		if err := waitFor(ctx, in, ended, deadline); err != nil {
			return "", err
		}
		var b [1]byte
		n, err := unix.Read(in, b[:])
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			continue
		case err == nil && n == 0 && len(line) > 0:
			return string(line), nil
		case err == nil && n == 0:
			return "", io.EOF
		case err != nil:
			return "", fmt.Errorf("read from standard input: %w", err)
		case b[0] == '\n':
			return strings.TrimSuffix(string(line), "\r"), nil
		case len(line) == maxAnswer:
			return "", fmt.Errorf("read from standard input: the answer is longer than %d bytes", maxAnswer)
		}
		line = append(line, b[0])
	}
}

// waitFor returns when there is something to read.
func waitFor(ctx context.Context, in, ended int, deadline time.Time) error {
	fds := []unix.PollFd{{Fd: int32(in), Events: unix.POLLIN}, {Fd: int32(ended)}}
	for {
		n, err := unix.Poll(fds, int(max(0, time.Until(deadline).Milliseconds())))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for standard input: %w", err)
		case fds[1].Revents != 0:
			return context.Cause(ctx)
		case n == 0:
			return os.ErrDeadlineExceeded
		}
		return nil
	}
}

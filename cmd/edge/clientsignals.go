package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"edge/acmeglue/steward"
	"edge/internal/display"
)

// signalError is why a run ends that somebody has stopped.
type signalError struct{ signal syscall.Signal }

func (e *signalError) Error() string { return "interrupted by " + unix.SignalName(e.signal) }

// Is has it taken for what it is, the end of a context.
func (e *signalError) Is(target error) bool { return target == context.Canceled }

// untilSignal is a context that ends when somebody stops this process.
func untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		defer close(ended)
		select {
		case s := <-signals:
			if number, ok := s.(syscall.Signal); ok {
				cancel(&signalError{number})
			}
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
		<-ended
	}
}

// interruptedError is the end of a run that a signal has stopped.
type interruptedError struct {
	by  *signalError
	err error // that the run came back with
}

func (e *interruptedError) Error() string {
	says := fmt.Sprintf("interrupted: %s came; what was begun was given up, run the command again", unix.SignalName(e.by.signal))
	if rest := e.rest(); rest != "" {
		says += "\n" + rest
	}
	return says
}

// Unwrap returns the error of the run.
func (e *interruptedError) Unwrap() error { return e.err }

// rest is what people have to know beside that the run was stopped.
func (e *interruptedError) rest() string {
	var server *steward.InstallError
	if errors.Is(e.err, context.Canceled) && !errors.As(e.err, &server) {
		return ""
	}
	return e.err.Error()
}

// exitAsCertbot ends as Python does, with certbot's words: its handler of SIGINT prints
// them, all other signals end it in silence.
func (c *client) exitAsCertbot(e *interruptedError) int {
	c.logger.Debug("the run was stopped", "error", e.err)
	if rest := e.rest(); rest != "" {
		fmt.Fprintln(c.stderr, display.Clean(rest))
	}
	if e.by.signal != syscall.SIGINT {
		return 128 + int(e.by.signal)
	}
	fmt.Fprintln(c.stderr, "Exiting due to user request.")
	return exitFailed
}

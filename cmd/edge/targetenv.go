package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"edge/installers"
	"edge/installers/target"
	"edge/internal/durable"
)

// targetEnv is the world of a target, as it is. State is where deliveries keep secrets.
func targetEnv(name, state string, log *slog.Logger, runner *installers.Runner, lock func(context.Context, installers.Server, string) (func() error, error)) *target.Env {
	return &target.Env{
		Name: name, State: state, Durable: durable.Writer{}, Run: runProgram, Exec: installers.Exec, Signal: syscall.Kill, Dial: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		Getenv: os.Getenv, Now: time.Now, Log: log, Runner: runner, Lock: lock,
	}
}

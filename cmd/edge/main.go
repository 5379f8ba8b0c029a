// Command edge is the front door and its tools; see `edge --help`.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// version is set by the linker (make build).
var version = "devel"

// Exit codes, as documented in docs/cli.md.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2 // bad flags, or a configuration that is not valid
	exitTryLater = 75
)

func main() {
	// The heap of a proxy is small and its garbage is plenty: collecting half as
	// often buys a tenth of the CPU of a small request for a few megabytes.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if calledAsCertbot(os.Args[0]) {
		os.Exit(runClient(context.Background(), os.Args[1:], true, os.Stdout, os.Stderr))
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// exitError carries the exit code of a verb that failed. A nil err means that
// everything has been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// run is main without the process: arguments in, exit code out.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	args = verbFirst(args)
	if err := knownVerb(root, args); err != nil {
		return report(err, stderr)
	}
	if clientHelp(root, args, stdout) {
		return exitOK
	}
	root.SetArgs(args)
	return report(root.ExecuteContext(ctx), stderr)
}

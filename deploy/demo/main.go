// Command demo shows edge at work on this machine: a certificate authority and
// a backend in this process, the real edge binary in front of them. It prints
// what it sees, with timings, and fails when a step did not really happen.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	edgeBin := flag.String("edge", "bin/edge", "the edge `binary` to show")
	once := flag.Bool("once", false, "exit when every step was shown")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *edgeBin, *once); err != nil {
		fmt.Fprintln(os.Stderr, "demo: FAILED:", err)
		os.Exit(1)
	}
}

// step is one thing to be shown. Its result is printed; its error ends the demo.
type step struct {
	name string
	show func(context.Context, *stage) (string, error)
}

var steps = []step{
	{"a configured name: certificate obtained at start", configuredName},
	{"a permitted name nobody has asked for: certificate in the first handshake", firstHandshake},
	{"the same name again: from memory", secondHandshake},
	{"a name that is not permitted: refused", refusedName},
	{"a request, proxied to the backend", proxiedAnswer},
	{"plain HTTP: redirected", redirected},
	{"reload under load: nothing fails, the new site answers", reloadUnderLoad},
	{"a renewal, by edge's own scheduler", renewal},
	{"the metrics that moved", metricsMoved},
	{"edge status", status},
}

func run(ctx context.Context, edgeBin string, once bool) error {
	s, err := newStage(ctx, edgeBin)
	if err != nil {
		return err
	}
	defer s.close()
	for i, st := range steps {
		stepCtx, cancel := context.WithTimeout(ctx, time.Minute)
		start := time.Now()
		result, err := st.show(stepCtx, s)
		cancel()
		if err != nil {
			s.printLog()
			return fmt.Errorf("%s: %w", st.name, err)
		}
		fmt.Printf("%d. %s\n   %s  [%v]\n", i+1, st.name, result, time.Since(start).Round(100*time.Microsecond))
	}
	if once {
		fmt.Println("every step happened")
		return s.stopEdge()
	}
	s.printCommands()
	<-ctx.Done()
	return s.stopEdge()
}

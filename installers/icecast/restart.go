package icecast

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"edge/installers"
)

// Activate implements installers.Server: Icecast is restarted, unless it shows the leaf
// of the bundle already, or nobody but people may do it.
func (i *Icecast) Activate(ctx context.Context) error {
	if i.when.never || i.shows(ctx) {
		return nil
	}
	_, argv := i.Commands()
	for try := 1; ; try++ {
		if _, err := i.o.Run(ctx, argv); err != nil {
			return err
		}
		alive, err := i.settle(ctx)
		if alive || err != nil {
			return err
		}
		if try == restarts {
			return fmt.Errorf("icecast has ended soon after each of %d starts; see its error log", try)
		}
	}
}

const (
	restarts = 3
	// settled is how long Icecast needs from when it listens until it can be connected to.
	settled = 500 * time.Millisecond
	// appear is how long it may take to listen, which others may see where we do not.
	appear = 5 * time.Second
	poll   = 20 * time.Millisecond
)

// settle lets Icecast start without connecting to it: 2.4 may crash (SIGSEGV) where somebody
// does before all of its threads have begun. It reports whether it is there still.
func (i *Icecast) settle(ctx context.Context) (alive bool, err error) {
	_, doc, err := i.load()
	if err != nil {
		return false, err
	}
	var ports []int
	for _, s := range doc.sockets() {
		_, port, _ := net.SplitHostPort(s.addr)
		if n, err := strconv.Atoi(port); err == nil {
			ports = append(ports, n)
		}
	}
	for deadline := time.Now().Add(appear); !listening(ports); {
		if time.Now().After(deadline) {
			return true, nil // what it shows is looked at anyway
		}
		if err := pass(ctx, poll); err != nil {
			return false, err
		}
	}
	if err := pass(ctx, cmp.Or(i.o.Settle, settled)); err != nil {
		return false, err
	}
	return listening(ports), nil
}

func pass(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

const maxTable = 16 << 20 // bytes of the kernel's table of sockets

// listening reports whether somebody listens at all of these ports.
func listening(ports []int) bool {
	open := map[int64]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		raw, _ := io.ReadAll(io.LimitReader(f, maxTable)) // half of it is looked at too
		_ = f.Close()                                     // only read
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			if len(f) < 4 || f[3] != "0A" { // TCP_LISTEN
				continue
			}
			_, hex, _ := strings.Cut(f[1], ":")
			if port, err := strconv.ParseInt(hex, 16, 32); err == nil {
				open[port] = true
			}
		}
	}
	for _, p := range ports {
		if !open[int64(p)] {
			return false
		}
	}
	return true
}

// shows reports whether all places of the configuration show the leaf of the bundle: then
// there is nothing that streams would have to end for.
func (i *Icecast) shows(ctx context.Context) bool {
	_, doc, err := i.load()
	if err != nil {
		return false
	}
	leaf, err := i.leaf()
	at, _ := doc.places()
	if err != nil || len(at) == 0 {
		return false
	}
	for _, e := range at {
		if got, err := installers.Shows(ctx, e, leaf); err != nil || !got.Equal(leaf) {
			return false
		}
	}
	return true
}

// Commands implements installers.Server.
func (i *Icecast) Commands() (test, activate []string) {
	switch {
	case i.when.never:
		return nil, nil
	case len(i.o.Command) > 0:
		return nil, i.o.Command
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		return nil, []string{"systemctl", "restart", "icecast2"}
	}
	return nil, []string{"service", "icecast2", "restart"}
}

package haproxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	reloadTimeout = 50 * time.Second // less than the transaction gives to Activate
	reloadStep    = 50 * time.Millisecond
	settleTimeout = 1500 * time.Millisecond
	systemdDir    = "/run/systemd/system" // is there where systemd runs
)

// errNoReload is for a HAProxy that can only be told by its socket.
var errNoReload = errors.New("edge does not know how to reload HAProxy: it does not run under systemd or as a master with a socket (-S); say with reload: how")

// way is one of reloading HAProxy.
type way struct {
	argv   []string // of a program; empty: the master does it
	master *cli
	says   string // for people
}

// way finds out how HAProxy is reloaded: what was told, the unit that it is in, its
// master.
func (w *world) way(ctx context.Context) (*way, error) {
	if len(w.o.Reload) > 0 {
		return &way{argv: w.o.Reload, says: strings.Join(w.o.Reload, " ")}, nil
	}
	if argv := w.systemctl(ctx); argv != nil {
		return &way{argv: argv, says: strings.Join(argv, " ")}, nil
	}
	var errs []error
	for _, addr := range w.masters() {
		m := &cli{addr: addr, master: true, dial: w.o.Dial}
		_, err := m.settled(ctx)
		if err == nil {
			return &way{master: m, says: "reload HAProxy by " + m.String()}, nil
		}
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return nil, errNoReload
}

// systemctl is the argv that reloads HAProxy's unit, nil where it is in none.
func (w *world) systemctl(ctx context.Context) []string {
	if _, err := os.Stat(systemdDir); err != nil || w.run == nil {
		return nil
	}
	cgroup, err := readFile(fmt.Sprintf("/proc/%d/cgroup", w.run.PID), maxPEM)
	if err != nil {
		return nil
	}
	return w.o.reloadUnit(ctx, string(cgroup), w.run.PID)
}

// reloadUnit is the argv that reloads the unit of a cgroup, nil where the process is not
// its main one: another service may have started HAProxy.
func (o *Options) reloadUnit(ctx context.Context, cgroup string, pid int) []string {
	name := unit(cgroup)
	if name == "" {
		return nil
	}
	out, err := o.Run(ctx, []string{"systemctl", "show", "--property=MainPID", "--value", name})
	if err != nil || strings.TrimSpace(out) != strconv.Itoa(pid) {
		return nil
	}
	return []string{"systemctl", "reload", name}
}

// reload has HAProxy read everything from the disk.
func (w *world) reload(ctx context.Context) error {
	way, err := w.way(ctx)
	if err != nil {
		return err
	}
	if len(way.argv) > 0 {
		_, err := w.o.Run(ctx, way.argv)
		return err
	}
	return way.master.reload(ctx)
}

func (c *cli) proc(ctx context.Context) (processes, error) {
	answer, err := c.ask(ctx, "show proc", "")
	if err != nil {
		return processes{}, err
	}
	return parseProc(answer)
}

// settled is proc of a master that may be about to start itself anew.
func (c *cli) settled(ctx context.Context) (p processes, err error) {
	err = c.settle(ctx, func() error {
		p, err = c.proc(ctx)
		return err
	})
	return p, err
}

// settle asks until there is an answer: a master that has started its workers starts itself
// anew, and takes no connections for a moment, or gives no answers; a new worker begins to
// listen on the stats socket after its master says that it has reloaded.
func (c *cli) settle(ctx context.Context, ask func() error) error {
	for deadline := time.Now().Add(settleTimeout); ; {
		err := ask()
		if err == nil || !soon(err) || time.Now().After(deadline) {
			return err
		}
		if perr := pause(ctx, reloadStep); perr != nil {
			return errors.Join(perr, err)
		}
	}
}

// soon reports whether there may be an answer in a moment.
func soon(err error) bool {
	if errors.Is(err, errNobody) {
		return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
	}
	return errors.Is(err, errEmpty) || errors.Is(err, errNoAnswer)
}

// reload has the master start a new worker, and waits until it has one or has failed.
func (c *cli) reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	before, err := c.settled(ctx)
	if err != nil {
		return err
	}
	answer, err := c.talk(ctx, message(true, "reload", ""))
	if err != nil {
		return fmt.Errorf("reload by %s: %w", c, err)
	}
	if sync, err := parseReload(strings.TrimRight(answer, "\n")); sync || err != nil {
		return err
	}
	var nobody time.Time // since when
	for {
		now, err := c.settled(ctx)
		if !errors.Is(err, errNobody) {
			nobody = time.Time{}
		}
		switch {
		case err == nil && now.reloads > before.reloads && now.failed > 0:
			return fmt.Errorf("HAProxy could not start a new worker and goes on with the old one (show proc: failed: %d); its log says why", now.failed)
		case err == nil && now.reloads > before.reloads:
			return nil
		case errors.Is(err, errNobody) && nobody.IsZero():
			nobody = time.Now() // its socket is closed for a moment, before it is bound anew
		case errors.Is(err, errNobody) && time.Since(nobody) > settleTimeout:
			return fmt.Errorf("HAProxy's master has ended: %w", err)
		}
		if perr := pause(ctx, reloadStep); perr != nil {
			return errors.Join(fmt.Errorf("HAProxy's master has not reloaded: %w", perr), err)
		}
	}
}

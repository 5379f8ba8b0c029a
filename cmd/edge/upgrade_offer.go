package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"edge/internal/admin"
)

// upgradeTime is how long a new process may take until it serves. It loads the
// certificates of all sites meanwhile.
const upgradeTime = 2 * time.Minute

// upgradeEnv tells a process that another one wants it to take its place: the number
// of the descriptor of the way to it.
const upgradeEnv = "EDGE_UPGRADE_FD"

var errUpgrading = errors.New("an upgrade is under way; try again when it is over (edge status tells how it went)")

// Upgrade implements admin.Backend.
func (d *door) Upgrade() (admin.UpgradeResult, error) {
	if !d.mu.TryLock() {
		return admin.UpgradeResult{}, errors.New("a reload or an upgrade is under way; try again when it is over (edge status tells how it went)")
	}
	defer d.mu.Unlock()
	if s := d.successor.Load(); s != nil {
		return admin.UpgradeResult{}, errReplaced(s.pid)
	}
	d.upgrading.Store(true)
	defer d.upgrading.Store(false)
	d.log.Info("starting another process in the place of this one", "program", d.program)
	result := admin.UpgradeResult{Time: time.Now(), Was: os.Getpid()}
	s, err := d.handOver()
	if err != nil {
		result.Error = err.Error()
		d.lastTry.Store(&result)
		d.log.Error("the upgrade failed; this process goes on as before", "error", err)
		return result, fmt.Errorf("PID %d goes on as before: %w", os.Getpid(), err)
	}
	result.PID, result.Version, result.Draining = s.pid, s.version, true
	d.log.Info("another process serves now", "pid", s.pid, "version", s.version)
	d.successor.Store(s)
	d.replaced <- s
	return result, nil
}

// handOver starts a process, gives it the sockets, and returns once it serves and this one
// has stepped back. After an error all is as it was.
func (d *door) handOver() (*successor, error) {
	if os.Getpid() == 1 {
		return nil, errors.New("edge is PID 1 here, and all ends with it: start a new container in its place")
	}
	w, far, err := newWay()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(d.program, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{far} // number 3
	cmd.Env = append(slices.DeleteFunc(os.Environ(), isOurs), upgradeEnv+"=3")
	err = cmd.Start()
	far.Close()
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("start %s: %w", d.program, err)
	}
	s := &successor{pid: cmd.Process.Pid, way: w, end: make(chan struct{})}
	if err = d.offer(w); err == nil {
		err = s.await(upgradeTime)
	}
	if err != nil {
		w.Close()
		_ = cmd.Process.Kill() // it may have ended
		if state := cmd.Wait(); gone(err) {
			err = fmt.Errorf("it ended before it served (%s); what it said is where this process logs", ended(state))
		}
		return nil, fmt.Errorf("the new process (%s, PID %d): %w", d.program, s.pid, err)
	}
	d.stepBack(s)
	go func() { _ = cmd.Wait() }() // it outlives this process, or the service manager sees to it
	return s, nil
}

// gone reports whether an error of a way means that the other process has ended.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

func ended(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// isOurs names what is not for a process that takes this one's place: it gets all
// sockets by the way, and answers the service manager's watchdog under its own PID.
func isOurs(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return slices.Contains([]string{upgradeEnv, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"}, name)
}

// offer sends all sockets.
func (d *door) offer(w *way) error {
	if err := w.send(note{Kind: noteOffer, PID: os.Getpid(), Version: version}, -1); err != nil {
		return err
	}
	packets, err := d.server.PacketSockets()
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range packets {
			if f, ok := s.Socket.(*os.File); ok {
				f.Close()
			}
		}
	}()
	for _, s := range append(d.server.Sockets(), packets...) {
		if err := w.sendSocket("proxy", s.Name, s.Socket); err != nil {
			return err
		}
	}
	if err := w.sendSocket("admin", "", d.socket.Socket()); err != nil {
		return err
	}
	if c := d.side.socket(); c != nil {
		if err := w.sendSocket("metrics", d.side.address, c); err != nil {
			return err
		}
	}
	return w.send(note{Kind: noteEnd}, -1)
}

func (w *way) sendSocket(role, name string, c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = w.send(note{Kind: noteSocket, Role: role, Name: name}, int(fd)) }); err != nil {
		return fmt.Errorf("socket %s: %w", name, err)
	}
	return serr
}

// await waits until the new process serves.
func (s *successor) await(limit time.Duration) error {
	_ = s.way.SetReadDeadline(time.Now().Add(limit))
	n, f, err := s.way.receive()
	if f != nil {
		f.Close()
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("not serving after %s", limit)
	case err != nil:
		return err
	case n.Kind == noteFailed:
		return errors.New(n.Error)
	case n.Kind != noteReady:
		return fmt.Errorf("said %q where it should say that it is ready", n.Kind)
	}
	s.version = n.Version
	return nil
}

// stepBack leaves to the new process what only one may do. It cannot fail: the new
// one serves already, and goes on even if this one ends here.
func (d *door) stepBack(s *successor) {
	d.manager.Quiesce()
	notify(d.log, fmt.Sprintf("MAINPID=%d", s.pid))
	d.mirror(s.way, s.end)
	d.socket.Leave()
	if err := s.way.send(note{Kind: noteGo}, -1); err != nil {
		d.log.Warn("the new process was not told to go on; it will when this one has ended", "error", err)
	}
	d.mirrors.Go(func() { d.follow(s.way, s.end) })
}

// retire leaves everything to the process that has taken this one's place.
func (d *door) retire(signals <-chan os.Signal, s *successor) error {
	defer d.mirrors.Wait()
	defer s.way.Close()
	d.side.close()
	d.log.Info("finishing what is in flight", "limit", d.live.Load().cfg.Limits.Drain.String(), "pid", s.pid)
	return d.drain(signals, 2, d.server.Retire) // a service manager ends all its processes with one
}

// programPath is what is started in the place of this process: by the path that this
// one was started by, so that it is what has been put there since.
func programPath() string {
	if p, err := exec.LookPath(os.Args[0]); err == nil {
		if p, err = filepath.Abs(p); err == nil {
			return p
		}
	}
	p, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return p
}

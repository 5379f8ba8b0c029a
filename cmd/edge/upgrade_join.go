package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"edge/internal/admin"
	"edge/internal/config"
	"edge/proxy"
)

// predecessor is the process whose place this one takes.
type predecessor struct {
	way     *way
	offer   note
	sockets []received
	end     chan struct{} // closed when it has ended
}

type received struct {
	note
	f *os.File
}

// withPredecessor runs f, with the process before this one if there is one. That one
// learns of an error.
func withPredecessor(f func(*predecessor) error) error {
	v := os.Getenv(upgradeEnv)
	if v == "" {
		return f(nil)
	}
	if err := os.Unsetenv(upgradeEnv); err != nil {
		return err
	}
	fd, err := strconv.Atoi(v)
	if err != nil {
		return fmt.Errorf("%s=%s in the environment: not a descriptor; it is for edge itself to set", upgradeEnv, v)
	}
	w, err := wayOf(os.NewFile(uintptr(fd), upgradeEnv))
	if err != nil {
		return fmt.Errorf("%s=%s in the environment: %w; it is for edge itself to set", upgradeEnv, v, err)
	}
	defer w.Close()
	p := &predecessor{way: w, end: make(chan struct{})}
	defer p.drop()
	if err = p.receive(); err == nil {
		err = f(p)
	}
	if err != nil {
		_ = w.send(note{Kind: noteFailed, Error: err.Error()[:min(len(err.Error()), maxNote/8)]}, -1) // it may have ended
	}
	return err
}

// receive takes the sockets.
func (p *predecessor) receive() (err error) {
	_ = p.way.SetReadDeadline(time.Now().Add(noteTime))
	p.offer, _, err = p.way.receive()
	if err == nil && p.offer.Kind != noteOffer {
		err = fmt.Errorf("%q where an offer was expected", p.offer.Kind)
	}
	for err == nil {
		n, f, rerr := p.way.receive()
		switch {
		case rerr != nil:
			err = rerr
		case n.Kind == noteEnd:
			return nil
		case n.Kind != noteSocket || f == nil:
			err = fmt.Errorf("%q where a socket was expected", n.Kind)
		default:
			p.sockets = append(p.sockets, received{n, f})
		}
	}
	return fmt.Errorf("sockets of the process before: %w", err)
}

// take returns the sockets of a role, and forgets them. The caller closes the files.
func (p *predecessor) take(role string) (out []received) {
	if p == nil {
		return nil
	}
	var rest []received
	for _, s := range p.sockets {
		if s.Role == role {
			out = append(out, s)
		} else {
			rest = append(rest, s)
		}
	}
	p.sockets = rest
	return out
}

// drop closes what nobody took.
func (p *predecessor) drop() {
	for _, s := range p.sockets {
		s.f.Close()
	}
	p.sockets = nil
}

// inherited are the sockets for the proxy.
func (d *door) inherited() (proxy.Inherited, error) {
	if d.from == nil {
		return proxy.ServiceSockets()
	}
	in := proxy.Inherited{Listeners: map[string][]net.Listener{}, Packets: map[string][]net.PacketConn{}}
	var errs []error
	for _, s := range d.from.take("proxy") {
		errs = append(errs, in.Add(s.Name, s.f))
		s.f.Close()
	}
	return in, errors.Join(errs...)
}

// adminOptions are those of the admin socket, which stays the same at an upgrade.
func (d *door) adminOptions(cfg *config.Config) (admin.Options, error) {
	o := admin.Options{Path: cfg.Admin.Socket, AllowUIDs: cfg.Admin.AllowUIDs, Backend: d, Log: d.log}
	for _, s := range d.from.take("admin") {
		l, err := net.FileListener(s.f)
		s.f.Close()
		if err != nil {
			return o, fmt.Errorf("admin socket of the process before: %w", err)
		}
		u, ok := l.(*net.UnixListener)
		if !ok || u.Addr().String() == "" {
			l.Close()
			return o, errors.New("admin socket of the process before: not a unix socket")
		}
		o.Listener = u
	}
	return o, nil
}

// sideListener binds the metrics listener, or goes on with that of the process before.
func (d *door) sideListener(address string) (net.Listener, error) {
	for _, s := range d.from.take("metrics") {
		l, err := net.FileListener(s.f)
		s.f.Close()
		if err != nil {
			return nil, err
		}
		if s.Name == address {
			return l, nil
		}
		l.Close()
	}
	return proxy.Listen(address)
}

// takePlace tells the process before that this one serves, and waits until that one
// has stepped back. Where it has ended meanwhile, there is nothing to wait for.
func (d *door) takePlace() error {
	p := d.from
	if p == nil {
		return nil
	}
	p.drop()
	if err := p.way.send(note{Kind: noteReady, PID: os.Getpid(), Version: version}, -1); err != nil {
		d.log.Warn("the process before does not listen any more", "error", err)
	}
	d.mirror(p.way, p.end) // of its own answers only: none of the other's has come yet
	_ = p.way.SetReadDeadline(time.Now().Add(noteTime))
	for {
		n, f, err := p.way.receive()
		if f != nil {
			f.Close()
		}
		switch {
		case gone(err):
			d.log.Warn("the process before has ended already", "pid", p.offer.PID)
			close(p.end)
			return nil
		case err != nil:
			close(p.end)
			return fmt.Errorf("the process before (PID %d) does not step back: %w", p.offer.PID, err)
		case n.Kind == notePut || n.Kind == noteRemove:
			d.reflect(n)
		case n.Kind == noteGo:
			d.mirrors.Go(func() { d.follow(p.way, p.end) })
			d.log.Info("took the place of another process, which finishes what it had begun", "pid", p.offer.PID, "version", p.offer.Version)
			return nil
		}
	}
}

// draining reports whether the process before is still there.
func (p *predecessor) draining() bool {
	select {
	case <-p.end:
		return false
	default:
		return true
	}
}

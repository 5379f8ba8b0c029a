package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"edge/internal/portholder"
)

// listener is one bound socket. A reload that keeps its address keeps it, and
// changes at most its role.
type listener struct {
	net.Listener
	key string // address as configured, made unique
	tls atomic.Bool
}

func (l *listener) name() string {
	if l.tls.Load() {
		return "https"
	}
	return "http"
}

// keepAlive notices peers that vanished without a word, after about a minute.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}

// wanted lists the listeners of settings by key.
type wantedListener struct {
	key, address string
	tls          bool
}

func wantedListeners(set *Settings) []wantedListener {
	var out []wantedListener
	seen := map[string]int{}
	add := func(addresses []string, tls bool) {
		for _, a := range addresses {
			seen[a]++
			out = append(out, wantedListener{fmt.Sprintf("%s#%d", a, seen[a]), a, tls})
		}
	}
	add(set.HTTP, false)
	add(set.HTTPS, true)
	return out
}

// bind opens one configured address. "fd:NAME" may stand for several sockets.
// Those that are leaving do not stand in the way.
func (s *Server) bind(address string, leaving []*listener) ([]net.Listener, error) {
	if name, ok := strings.CutPrefix(address, "fd:"); ok {
		return s.inherit(name)
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	l, err := lc.Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		if own := onPort(leaving, address); len(own) > 0 {
			l, err = shareWith(own, lc, address)
		}
	}
	if err != nil {
		return nil, explainListen(address, err)
	}
	return []net.Listener{l}, nil
}

// onPort picks the sockets on the port of an address.
func onPort(ls []*listener, address string) (own []*net.TCPListener) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	for _, l := range ls {
		if t, ok := l.Listener.(*net.TCPListener); ok && strconv.Itoa(t.Addr().(*net.TCPAddr).Port) == port {
			own = append(own, t)
		}
	}
	return own
}

// shareWith binds an address that sockets of ours cover which are about to go:
// ":443" gives way to "192.0.2.1:443". No moment passes in which nobody listens: old and new share the port until the old are closed.
// The option is taken back at once, so that an edge started by mistake still
// finds the port in use.
func shareWith(own []*net.TCPListener, lc net.ListenConfig, address string) (net.Listener, error) {
	set := func(c syscall.RawConn, on int) (err error) {
		if cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, on)
		}); cerr != nil {
			return cerr
		}
		return err
	}
	setAll := func(on int) error {
		var errs []error
		for _, l := range own {
			c, err := l.SyscallConn()
			if err == nil {
				err = set(c, on)
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	if err := setAll(1); err != nil {
		return nil, err
	}
	defer setAll(0)
	lc.Control = func(_, _ string, c syscall.RawConn) error { return set(c, 1) }
	l, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	c, err := l.(*net.TCPListener).SyscallConn()
	if err == nil {
		err = set(c, 0)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (s *Server) inherit(name string) ([]net.Listener, error) {
	if s.inherited == nil {
		m, err := s.opts.Inherited()
		if err != nil {
			return nil, fmt.Errorf("listen on fd:%s: sockets of the service manager: %w", name, err)
		}
		if m == nil {
			m = map[string][]net.Listener{}
		}
		s.inherited = m
	}
	ls := s.inherited[name]
	if len(ls) == 0 {
		var have []string
		for n := range s.inherited {
			have = append(have, n)
		}
		return nil, fmt.Errorf("listen on fd:%s: the service manager passed no socket of that name (passed: %s); "+
			"set FileDescriptorName=%s in the .socket unit, or restart edge if the socket was given up by an earlier reload",
			name, orNone(have), name)
	}
	delete(s.inherited, name)
	return ls, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// explainListen adds to a bind error what a person needs to know next.
func explainListen(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		_, port, _ := net.SplitHostPort(address)
		n, _ := strconv.Atoi(port)
		if who := portholder.Text(n); who != "" {
			return fmt.Errorf("listen on %s: the port is held by %s; stop it or choose another address: %w", address, who, syscall.EADDRINUSE)
		}
		return fmt.Errorf("listen on %s: the port is in use by a process that cannot be seen from here; "+
			"find it with `ss -ltnp sport = :%s` as root, stop it or choose another address: %w", address, port, syscall.EADDRINUSE)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("listen on %s: ports below 1024 need a permission that this process lacks; "+
			"give it CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit, or setcap cap_net_bind_service=+ep on the binary), "+
			"use systemd socket activation (fd:NAME), or lower the sysctl net.ipv4.ip_unprivileged_port_start: %w", address, syscall.EACCES)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen on %s: this machine has no such address; see `ip addr`: %w", address, syscall.EADDRNOTAVAIL)
	}
	return fmt.Errorf("listen on %s: %w", address, err)
}

package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"edge/internal/portholder"
)

// listener is one bound socket. A reload that keeps its address keeps it, and
// changes at most its role.
type listener struct {
	net.Listener
	address string // as configured when it was bound
	role    atomic.Pointer[role]

	inherited bool
}

// role is what is done with connections of a listener.
type role struct {
	name string       // "http", "https" or "tcp"
	tcp  *TCPListener // of "tcp"
}

var (
	roleHTTP  = &role{name: "http"}
	roleHTTPS = &role{name: "https"}
)

// keepAlive notices peers that vanished without a word, after about a minute.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}

// wanted lists the listeners of settings by key.
type wantedListener struct {
	key, address string
	role         *role
}

func wantedListeners(set *Settings) []wantedListener {
	var out []wantedListener
	seen := map[string]int{}
	add := func(r *role, addresses ...string) {
		for _, a := range addresses {
			seen[a]++
			out = append(out, wantedListener{fmt.Sprintf("%s#%d", a, seen[a]), a, r})
		}
	}
	add(roleHTTP, set.HTTP...)
	add(roleHTTPS, set.HTTPS...)
	for i := range set.TCP {
		add(&role{name: "tcp", tcp: &set.TCP[i]}, set.TCP[i].Address)
	}
	return out
}

// bind opens one configured address. "fd:NAME" may stand for several sockets.
// Those that are leaving do not stand in the way: see rebind.
func (s *Server) bind(address string, leaving []*listener) ([]*listener, error) {
	ls, err := s.inherit(address)
	if len(ls) > 0 || err != nil {
		return ls, err
	}
	l, err := Listen(address)
	if own := onPort(leaving, address); len(own) > 0 && errors.Is(err, syscall.EADDRINUSE) {
		return rebind(own, address)
	}
	if err != nil {
		return nil, err
	}
	return []*listener{{Listener: l, address: address}}, nil
}

// Listen binds "host:port" or ":port". Errors say who is in the way, and what to do.
func Listen(address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	l, err := lc.Listen(context.Background(), network(address), address)
	if err != nil {
		return nil, explainListen(address, err)
	}
	return l, nil
}

// network keeps Go from taking 0.0.0.0 for all addresses of both families.
func network(address string) string {
	host, _, _ := net.SplitHostPort(address)
	if a, err := netip.ParseAddr(host); err == nil && a.Is4() {
		return "tcp4"
	}
	return "tcp"
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
		host, port, _ := net.SplitHostPort(address)
		n, _ := strconv.Atoi(port)
		at, _ := netip.ParseAddr(host) // invalid for "" and localhost: any
		if who := portholder.TextAt(at, n); who != "" {
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

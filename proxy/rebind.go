package proxy

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// onPort picks the listeners on the port of an address.
func onPort(ls []*listener, address string) (own []*listener) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	for _, l := range ls {
		if t, ok := l.Addr().(*net.TCPAddr); ok && strconv.Itoa(t.Port) == port {
			own = append(own, l)
		}
	}
	return own
}

// rebind gets an address that listeners of ours stand in the way of: ":443"
// gives way to "192.0.2.1:443", and the other way round. No moment passes in
// which nobody listens, and no connection is lost:
//
//	the same address, spelt in another way   its socket stays
//	a wider address      the narrower socket stays beside the new one, since the
//	                     kernel gives it what is for its address until it is closed
//	a narrower address   the wider socket goes, but not before the connections that
//	                     clients had begun with it are complete (closeLeft)
func rebind(own []*listener, address string) ([]*listener, error) {
	want, err := net.ResolveTCPAddr(network(address), address)
	if err != nil {
		return nil, explainListen(address, err)
	}
	for _, l := range own {
		if sameIP(l.Addr().(*net.TCPAddr).IP, want.IP) {
			return []*listener{l}, nil
		}
	}
	shared, err := shareWith(own, address)
	if err != nil {
		return nil, explainListen(address, err)
	}
	ls := []*listener{{Listener: shared, address: address}}
	at := shared.Addr().(*net.TCPAddr).IP
	for _, l := range own {
		if covers(at, l.Addr().(*net.TCPAddr).IP) {
			ls = append(ls, l)
		}
	}
	return ls, nil
}

// sameIP reports whether a bound address is the wanted one, which is nil for all.
func sameIP(bound, want net.IP) bool {
	return bound.Equal(want) || want == nil && bound.Equal(net.IPv6unspecified)
}

// covers reports whether a socket on wide gets what is for narrow as well.
func covers(wide, narrow net.IP) bool {
	return wide.Equal(net.IPv6unspecified) || wide.Equal(net.IPv4zero) && narrow.To4() != nil
}

// settle is how long a socket is kept that another has taken the place of: a connection that a client has
// begun belongs to it until it is complete, which takes a round trip.
const settle = 300 * time.Millisecond

// closeLeft closes listeners that others have taken the place of, or nobody has.
func closeLeft(left []*listener, now map[*listener]bool) {
	ports := map[int]bool{}
	for l := range now {
		if t, ok := l.Addr().(*net.TCPAddr); ok {
			ports[t.Port] = true
		}
	}
	if slices.ContainsFunc(left, func(l *listener) bool {
		t, ok := l.Addr().(*net.TCPAddr)
		return ok && ports[t.Port]
	}) {
		time.Sleep(settle)
	}
	for _, l := range left {
		l.Close()
	}
}

// shareWith binds an address that sockets of ours overlap with. The option is
// taken back at once, so that an edge started by mistake still finds the port in use.
func shareWith(own []*listener, address string) (net.Listener, error) {
	set := func(c syscall.RawConn, on int) (err error) {
		if cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, on)
		}); cerr != nil {
			return cerr
		}
		return err
	}
	setOn := func(l net.Listener, on int) error {
		t, ok := l.(*net.TCPListener)
		if !ok {
			return nil
		}
		c, err := t.SyscallConn()
		if err != nil {
			return err
		}
		return set(c, on)
	}
	setAll := func(on int) error {
		var errs []error
		for _, l := range own {
			errs = append(errs, setOn(l.Listener, on))
		}
		return errors.Join(errs...)
	}
	if err := setAll(1); err != nil {
		return nil, err
	}
	defer setAll(0)
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: func(_, _ string, c syscall.RawConn) error { return set(c, 1) }}
	l, err := lc.Listen(context.Background(), network(address), address)
	if err != nil {
		return nil, err
	}
	if err := setOn(l, 0); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

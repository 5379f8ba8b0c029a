package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindQUIC opens the UDP sockets that set wants, beside the TCP listeners of next,
// and keeps those that there are. After an error nothing has changed.
func (s *Server) bindQUIC(set *Settings, next map[string][]*listener) (map[string]*quicListener, error) {
	out := map[string]*quicListener{}
	if !set.HTTP3 {
		return out, nil
	}
	for _, w := range wantedListeners(set) {
		if w.role != roleHTTPS {
			continue
		}
		for _, l := range next[w.key] {
			t, ok := l.Addr().(*net.TCPAddr)
			if !ok || out[t.String()] != nil {
				continue // a unix socket has no UDP beside it
			}
			if kept := s.quic.listeners[t.String()]; kept != nil {
				out[t.String()] = kept
				continue
			}
			q, err := s.openQUIC(t)
			if err != nil {
				s.closeQUIC(out)
				return nil, err
			}
			out[t.String()] = q
		}
	}
	return out, nil
}

// closeQUIC closes the listeners that are not in use.
func (s *Server) closeQUIC(ls map[string]*quicListener) {
	for address, l := range ls {
		if s.quic.listeners[address] != l {
			l.close()
		}
	}
}

func (s *Server) openQUIC(t *net.TCPAddr) (*quicListener, error) {
	name := t.String()
	u, _ := s.inheritPacket(name).(*net.UDPConn)
	if u == nil {
		var err error
		if u, err = s.listenPacket(t); err != nil {
			return nil, explainListenUDP(name, err)
		}
	}
	pc := newSharedConn(u, s.quic.own)
	s.followOlder(pc, name)
	q, err := s.listenQUIC(pc)
	if err != nil {
		pc.Close()
		return nil, explainListenUDP(name, err)
	}
	return q, nil
}

// listenPacket binds the UDP port beside a TCP listener. Where a socket of ours
// has the port at another address (":443" that gives way to "192.0.2.1:443"), both
// may have it until the old one is closed; the kernel prefers the exact address.
func (s *Server) listenPacket(t *net.TCPAddr) (*net.UDPConn, error) {
	network := "udp"
	if t.IP.To4() != nil {
		network = "udp4"
	}
	var lc net.ListenConfig
	listen := func() (*net.UDPConn, error) {
		pc, err := lc.ListenPacket(context.Background(), network, t.String())
		if err != nil {
			return nil, err
		}
		return pc.(*net.UDPConn), nil
	}
	u, err := listen()
	if !errors.Is(err, syscall.EADDRINUSE) {
		return u, err
	}
	var own []*net.UDPConn
	for _, l := range s.quic.listeners {
		if l.pc.LocalAddr().(*net.UDPAddr).Port == t.Port {
			own = append(own, l.pc.UDPConn)
		}
	}
	if len(own) == 0 {
		return nil, err
	}
	for _, u := range own {
		reuseAddr(u, 1)
		defer reuseAddr(u, 0)
	}
	lc.Control = func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	}
	if u, err = listen(); err == nil {
		reuseAddr(u, 0)
	}
	return u, err
}

func reuseAddr(u syscall.Conn, on int) {
	if c, err := u.SyscallConn(); err == nil {
		c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, on) })
	}
}

// explainListenUDP says what a person can do about a UDP port.
func explainListenUDP(address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(address)
		return fmt.Errorf("listen on %s (UDP, for HTTP/3): the port is in use; find by whom with `ss -lunp sport = :%s` as root, "+
			"stop it, or do without HTTP/3 (listen.http3: false): %w", address, port, syscall.EADDRINUSE)
	}
	return fmt.Errorf("listen on %s (UDP, for HTTP/3): %w", address, err)
}

// swapQUIC starts what is new in next and leaves what is no longer there. Connections
// on a socket that goes get time for what they are at.
func (s *Server) swapQUIC(next map[string]*quicListener) {
	old := s.quic.listeners
	s.quic.listeners = next
	for address, l := range next {
		if old[address] != l {
			s.wg.Add(1)
			go l.accept()
			close(l.pc.start) // not before there are settings to serve by
		}
	}
	for address, l := range old {
		if next[address] != l {
			s.wg.Go(func() { s.leaveQUIC(l) })
		}
	}
}

// leaveQUIC closes a listener once its connections have ended, or the limit is over.
func (s *Server) leaveQUIC(l *quicListener) {
	ctx, cancel := context.WithTimeout(s.ctx, s.state.Load().engine.limits.Drain)
	defer cancel()
	l.drain(ctx)
	l.close()
}

// drainQUIC does so for all, when the server stops.
func (s *Server) drainQUIC(ctx context.Context) {
	var wg sync.WaitGroup
	for _, l := range s.quic.listeners {
		wg.Go(func() { l.drain(ctx) })
	}
	wg.Wait()
}

// stopQUIC closes every listener, at the end.
func (s *Server) stopQUIC() {
	for _, l := range s.quic.listeners {
		l.close()
	}
	s.quic.listeners = nil
}

package proxy

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Inherited are sockets that the process was started with: by a service manager, or
// by the process whose place it takes. They go by the address that configurations
// have for them: "fd:NAME", or as it is written there. A packet socket is used for
// HTTP/3 where it is bound to the same address as a listener of HTTPS, whatever its name.
type Inherited struct {
	Listeners map[string][]net.Listener
	Packets   map[string][]net.PacketConn
}

// ServiceSockets returns what systemd passed (LISTEN_FDS), stream and datagram
// sockets, and takes the variables out of the environment.
func ServiceSockets() (Inherited, error) {
	in := Inherited{map[string][]net.Listener{}, map[string][]net.PacketConn{}}
	for _, f := range activation.Files(true) {
		name := "fd:" + f.Name()
		err := in.Add(name, f)
		f.Close()
		if err != nil {
			return in, err
		}
	}
	return in, nil
}

// Add adds a copy of a socket, of whichever kind it is.
func (in *Inherited) Add(name string, f *os.File) error {
	l, err := net.FileListener(f)
	if err == nil && isDatagram(l) { // FileListener takes any unix socket for one to listen on
		l.Close()
		err = errors.New("a datagram socket")
	}
	if err == nil {
		in.Listeners[name] = append(in.Listeners[name], l)
		return nil
	}
	pc, perr := net.FilePacketConn(f)
	if perr != nil {
		return fmt.Errorf("socket %s: neither one to listen on (%v) nor one for packets (%w)", name, err, perr)
	}
	in.Packets[name] = append(in.Packets[name], pc)
	return nil
}

func isDatagram(l net.Listener) bool {
	u, ok := l.(*net.UnixListener)
	if !ok {
		return false
	}
	kind := unix.SOCK_STREAM
	if c, err := u.SyscallConn(); err == nil {
		c.Control(func(fd uintptr) { kind, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE) })
	}
	return kind != unix.SOCK_STREAM
}

// Socket is one that a successor can go on with.
type Socket struct {
	Name   string // as in Inherited
	Socket syscall.Conn
}

// Sockets lists every socket of the server, those included that it inherited and
// does not use; those of HTTP/3 are PacketSockets.
func (s *Server) Sockets() []Socket {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	var out []Socket
	seen := map[*listener]bool{}
	add := func(l *listener) {
		if c, ok := l.Listener.(syscall.Conn); ok && !seen[l] {
			seen[l] = true
			out = append(out, Socket{l.address, c})
		}
	}
	if st := s.state.Load(); st != nil {
		for _, w := range wantedListeners(st.set) {
			for _, l := range s.listeners[w.key] {
				add(l)
			}
		}
	}
	for _, l := range s.unused {
		add(l)
	}
	for name, pcs := range s.packets {
		for _, pc := range pcs {
			if c, ok := pc.(syscall.Conn); ok {
				out = append(out, Socket{name, c})
			}
		}
	}
	return out
}

// takeOver asks once for what the process inherited.
func (s *Server) takeOver() error {
	if s.packets != nil {
		return nil
	}
	in, err := s.opts.Inherited()
	if err != nil {
		return fmt.Errorf("inherited sockets: %w", err)
	}
	if s.packets = in.Packets; s.packets == nil {
		s.packets = map[string][]net.PacketConn{}
	}
	for name, ls := range in.Listeners {
		for _, l := range ls {
			s.unused = append(s.unused, &listener{Listener: l, address: name, inherited: true})
		}
	}
	return nil
}

// inherit takes what was inherited for an address: one socket, or all of "fd:NAME".
func (s *Server) inherit(address string) ([]*listener, error) {
	var found, rest []*listener
	named := strings.HasPrefix(address, "fd:")
	for _, l := range s.unused {
		if l.address == address && (named || len(found) == 0) {
			found = append(found, l)
		} else {
			rest = append(rest, l)
		}
	}
	if named && len(found) == 0 {
		var have []string
		for _, l := range s.unused {
			if n, ok := strings.CutPrefix(l.address, "fd:"); ok {
				have = append(have, n)
			}
		}
		name := strings.TrimPrefix(address, "fd:")
		return nil, fmt.Errorf("listen on fd:%s: the service manager passed no socket of that name (passed: %s); "+
			"set FileDescriptorName=%s in the .socket unit, or restart edge if the socket was given up by an earlier reload",
			name, orNone(have), name)
	}
	s.unused = rest
	return found, nil
}

// inheritPacket takes a packet socket at an address that was inherited, or nil.
func (s *Server) inheritPacket(address string) net.PacketConn {
	for name, pcs := range s.packets {
		for i, pc := range pcs {
			if pc.LocalAddr().String() == address {
				s.packets[name] = slices.Delete(slices.Clone(pcs), i, i+1)
				return pc
			}
		}
	}
	return nil
}

// spareSockets are the sockets that were inherited under an address, and that the
// first settings do not name: others may have to be bound beside them.
func (s *Server) spareSockets() (out []*listener) {
	for _, l := range s.unused {
		if !strings.HasPrefix(l.address, "fd:") {
			out = append(out, l)
		}
	}
	return out
}

// dropUnused closes what was inherited under an address and is not in use. Sockets
// of the service manager are kept for a later reload.
func (s *Server) dropUnused(now map[*listener]bool) {
	kept := s.unused[:0]
	for _, l := range s.unused {
		switch {
		case strings.HasPrefix(l.address, "fd:"):
			kept = append(kept, l)
		case !now[l]:
			l.Close()
		}
	}
	s.unused = kept
	for name, pcs := range s.packets {
		if strings.HasPrefix(name, "fd:") {
			continue
		}
		for _, pc := range pcs {
			pc.Close()
		}
		delete(s.packets, name)
	}
}

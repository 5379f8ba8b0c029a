package proxy

import (
	"fmt"
	"net"
)

// peerName is the name of the way to the process before this one, by the address
// of the UDP socket that both have.
func peerName(address string) string { return "quic:" + address }

// PacketSockets lists the UDP sockets of HTTP/3 for a successor, and for each a way
// to this process (an *os.File, which the caller closes once the successor has its
// copy), all of which have to be among what the successor inherits. From
// then on each process hands over datagrams that are for the other, whoever reads
// them; once the successor has come up, Retire and Shutdown leave the sockets to it,
// and end connections with what it passes on. Call it again for another successor,
// where one has failed.
func (s *Server) PacketSockets() ([]Socket, error) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	var out []Socket
	for address, l := range s.quic.listeners {
		end, err := l.pc.prepare()
		if err != nil {
			return nil, fmt.Errorf("hand over %s (UDP): %w", address, err)
		}
		out = append(out, Socket{"udp:" + address, l.pc.UDPConn}, Socket{peerName(address), end})
	}
	return out, nil
}

// followOlder ties a socket to the process that had it before, if there was one.
func (s *Server) followOlder(pc *sharedConn, address string) {
	name := peerName(address)
	for _, way := range s.packets[name] {
		if u, ok := way.(*net.UnixConn); ok {
			pc.follow(u)
			delete(s.packets, name)
			return
		}
	}
}

// leaveQUICNow sends the clients of all listeners away, without waiting.
func (s *Server) leaveQUICNow() {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	for _, l := range s.quic.listeners {
		l.leave()
	}
}

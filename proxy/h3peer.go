package proxy

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"
)

// peer is the process before, or after, this one.
type peer struct {
	*net.UnixConn
	mu          sync.Mutex
	generations map[generation]bool // that are behind it
}

func (p *peer) has(g generation) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.generations[g]
}

const (
	peerHello  = 'h' // then generations
	peerPacket = 'p' // then address, length of the out-of-band data, that, and the datagram
)

// send hands a datagram over. Where there is no room, it is lost, as datagrams are.
func (p *peer) send(d packet) {
	if d.from == nil || len(d.oob) > 0xff {
		return
	}
	p.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	p.Write(d.append(make([]byte, 0, 64+len(d.oob)+len(d.data))))
}

func (d packet) append(b []byte) []byte {
	ap := d.from.AddrPort()
	ip := ap.Addr().As16()
	b = append(b, peerPacket)
	b = append(b, ip[:]...)
	b = binary.BigEndian.AppendUint16(b, ap.Port())
	b = append(b, byte(len(d.from.Zone)))
	b = append(b, d.from.Zone...)
	b = append(b, byte(len(d.oob)))
	b = append(b, d.oob...)
	return append(b, d.data...)
}

// parsePacket is append's opposite.
func parsePacket(b []byte) (d packet, ok bool) {
	if len(b) < 1+16+2+1 || b[0] != peerPacket {
		return d, false
	}
	ip, port, b := netip.AddrFrom16([16]byte(b[1:17])).Unmap(), binary.BigEndian.Uint16(b[17:]), b[19:]
	zone, b, ok := cutCounted(b)
	if !ok {
		return d, false
	}
	if d.oob, d.data, ok = cutCounted(b); !ok {
		return d, false
	}
	d.from = &net.UDPAddr{IP: ip.AsSlice(), Port: int(port), Zone: string(zone)}
	return d, true
}

func cutCounted(b []byte) (part, rest []byte, ok bool) {
	if len(b) < 1 || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	return b[1 : 1+int(b[0])], b[1+int(b[0]):], true
}

// hello tells the peer whose datagrams come to this process.
func (s *sharedConn) hello(p *peer) {
	b := append([]byte{peerHello}, s.own[:]...)
	if older := s.older.Load(); older != nil && older != p {
		older.mu.Lock()
		for g := range older.generations {
			b = append(b, g[:]...)
		}
		older.mu.Unlock()
	}
	p.SetWriteDeadline(time.Now().Add(time.Second))
	p.Write(b)
}

// follow makes conn the way to the process before this one, which has said hello.
func (s *sharedConn) follow(conn *net.UnixConn) {
	p := &peer{UnixConn: conn, generations: map[generation]bool{}}
	var buf [64]byte
	conn.SetReadDeadline(time.Now().Add(time.Second))
	if n, err := conn.Read(buf[:]); err == nil {
		p.learn(buf[:n])
	}
	conn.SetReadDeadline(time.Time{})
	s.older.Store(p)
	s.hello(p)
	s.wg.Go(func() { s.listen(p, nil) })
}

func (p *peer) learn(b []byte) {
	if len(b) == 0 || b[0] != peerHello {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	const size = len(generation{})
	for b = b[1:]; len(b) >= size && len(p.generations) < 16; b = b[size:] {
		p.generations[generation(b)] = true
	}
}

// listen takes what a peer hands over; what is for the one before this process goes on to it.
func (s *sharedConn) listen(p, onward *peer) {
	buf := make([]byte, 64<<10)
	for {
		n, err := p.Read(buf)
		if err != nil {
			s.lost(p)
			return
		}
		d, ok := parsePacket(buf[:n])
		if !ok {
			if p.learn(buf[:n]); p == s.newer.Load() && s.leaving.Load() {
				s.give()
			}
			continue
		}
		if g, ok := generationOf(d.data); ok && onward.has(g) {
			onward.send(d)
			continue
		}
		d.data, d.oob = append([]byte(nil), d.data...), append([]byte(nil), d.oob...)
		select {
		case s.in <- d:
			s.wake()
		default: // lost, as datagrams are
		}
	}
}

// lost forgets a process that has gone. Where that was the newer one, this one has
// the socket to itself again.
func (s *sharedConn) lost(p *peer) {
	s.older.CompareAndSwap(p, nil)
	if s.newer.CompareAndSwap(p, nil) && s.given.Swap(false) {
		select {
		case s.back <- struct{}{}:
		default:
		}
	}
}

// give leaves the reading to the newer process, as soon as that has come up.
func (s *sharedConn) give() {
	s.leaving.Store(true)
	if p := s.newer.Load(); p != nil && p.known() {
		s.given.Store(true)
		s.wake()
	}
}

// known reports whether the peer has said hello.
func (p *peer) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.generations) > 0
}

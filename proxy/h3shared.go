package proxy

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// A new binary takes over the UDP sockets of the old one, which still has
// connections to end. Both have the same socket, and the kernel gives a datagram to
// whoever reads first. So connection IDs carry the generation of their process, and a
// process that reads a datagram of the other hands it over, through a pair of sockets
// that the old one made:
//
//	client --UDP--> new process --pair--> old process (GOAWAY sent, reads no UDP any more)
//	client <--UDP-- new process, old process

// generation tells processes apart. It is the same for all clients of a process, so
// that it links no two connection IDs to one client.
type generation [4]byte

const connIDLen = len(generation{}) + 8

// connIDs makes connection IDs: the generation, then random bytes.
type connIDs struct{ own generation }

// GenerateConnectionID implements quic.ConnectionIDGenerator.
func (g connIDs) GenerateConnectionID() (quic.ConnectionID, error) {
	var b [connIDLen]byte
	copy(b[:], g.own[:])
	rand.Read(b[len(g.own):])
	return quic.ConnectionIDFromBytes(b[:]), nil
}

// ConnectionIDLen implements quic.ConnectionIDGenerator.
func (connIDs) ConnectionIDLen() int { return connIDLen }

func newGeneration() (g generation) {
	rand.Read(g[:])
	return g
}

// generationOf reads it from a datagram, which may as well be for nobody, or be the
// first of a client, with an ID that the client has made up.
func generationOf(p []byte) (g generation, ok bool) {
	at := 1 // RFC 9000 section 17.3: short header
	if len(p) > 0 && p[0]&0x80 != 0 {
		if at = 6; len(p) < at || int(p[5]) != connIDLen { // section 17.2: long header
			return g, false
		}
	}
	if len(p) < at+connIDLen {
		return g, false
	}
	copy(g[:], p[at:])
	return g, true
}

// deriveKey makes keys for several uses of one.
func deriveKey(key [32]byte, use string) (out [32]byte) {
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte("edge quic " + use))
	m.Sum(out[:0])
	return out
}

// packet is a datagram with what the kernel says of it.
type packet struct {
	data, oob []byte
	from      *net.UDPAddr
}

// sharedConn is a UDP socket that processes may share. It is what quic-go reads from.
type sharedConn struct {
	*net.UDPConn
	batch *ipv4.PacketConn
	own   generation

	older, newer atomic.Pointer[peer]
	leaving      atomic.Bool   // the newer process is to have the socket, once it is there
	given        atomic.Bool   // it has: nobody else reads
	in           chan packet   // that others have read for this process
	back         chan struct{} // the newer process has gone, and the socket is this one's again
	start        chan struct{} // closed when what is read can be served
	started      bool          // under the one reader
	stopped      chan struct{} // closed when quic-go stops reading
	once         sync.Once
	wg           sync.WaitGroup // readers of the peers
}

func newSharedConn(u *net.UDPConn, own generation) *sharedConn {
	return &sharedConn{UDPConn: u, batch: ipv4.NewPacketConn(u), own: own, in: make(chan packet, 256), back: make(chan struct{}, 1), start: make(chan struct{}), stopped: make(chan struct{})}
}

// Close implements net.PacketConn.
func (s *sharedConn) Close() error {
	s.stop()
	for _, p := range []*peer{s.older.Load(), s.newer.Load()} {
		if p != nil {
			p.Close()
		}
	}
	err := s.UDPConn.Close()
	s.wg.Wait()
	return err
}

func (s *sharedConn) stop() { s.once.Do(func() { close(s.stopped) }) }

// SetReadDeadline is how quic-go stops reading, for good.
func (s *sharedConn) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		s.stop()
	}
	return s.UDPConn.SetReadDeadline(t)
}

// ReadBatch is what quic-go reads with.
func (s *sharedConn) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	if !s.started {
		select {
		case <-s.start:
			s.started = true
		case <-s.stopped:
			return 0, os.ErrDeadlineExceeded
		}
	}
	for {
		if n := s.injected(ms); n > 0 {
			return n, nil
		}
		if s.given.Load() {
			select {
			case p := <-s.in:
				fill(&ms[0], p)
				return 1, nil
			case <-s.back:
				continue
			case <-s.stopped:
				return 0, os.ErrDeadlineExceeded
			}
		}
		n, err := s.batch.ReadBatch(ms, flags)
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return n, err
			}
			select {
			case <-s.stopped:
				return 0, err
			default: // woken: there is something in s.in, or the socket is given away
				s.UDPConn.SetReadDeadline(time.Time{})
				continue
			}
		}
		if n = s.sort(ms[:n]); n > 0 {
			return n, nil
		}
	}
}

// injected takes what others have read, without waiting.
func (s *sharedConn) injected(ms []ipv4.Message) (n int) {
	for n < len(ms) {
		select {
		case p := <-s.in:
			fill(&ms[n], p)
			n++
		default:
			return n
		}
	}
	return n
}

func fill(m *ipv4.Message, p packet) {
	m.N = copy(m.Buffers[0], p.data)
	m.NN = copy(m.OOB, p.oob)
	m.Addr = p.from
}

// wake makes ReadBatch look around.
func (s *sharedConn) wake() { s.UDPConn.SetReadDeadline(time.Unix(1, 0)) }

// sort hands over what is not for this process, and keeps the rest in front.
func (s *sharedConn) sort(ms []ipv4.Message) (n int) {
	older, newer := s.older.Load(), s.newer.Load()
	if older == nil && newer == nil {
		return len(ms)
	}
	for i := range ms {
		from, _ := ms[i].Addr.(*net.UDPAddr)
		p := packet{ms[i].Buffers[0][:ms[i].N], ms[i].OOB[:ms[i].NN], from}
		to := route(p.data, older, newer)
		if to == nil && s.given.Load() && s.begins(p.data) {
			to = newer
		}
		if to != nil {
			to.send(p)
			continue
		}
		if n != i { // quic-go has an eye on the buffers: what is in them moves
			fill(&ms[n], p)
		}
		n++
	}
	return n
}

// begins reports whether a datagram may be the first of a new connection.
func (s *sharedConn) begins(p []byte) bool {
	g, ok := generationOf(p)
	return len(p) > 0 && p[0]&0x80 != 0 && (!ok || g != s.own)
}

// route returns who else a datagram is for.
func route(p []byte, older, newer *peer) *peer {
	g, ok := generationOf(p)
	switch {
	case !ok:
	case older.has(g):
		return older
	case newer.has(g):
		return newer
	}
	return nil
}

// prepare makes the way to a process that is to come, and returns its end. A way
// that was made before, to one that never came, is given up.
func (s *sharedConn) prepare() (*os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "quic")
	ours := os.NewFile(uintptr(fds[0]), "quic")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, err
	}
	p := &peer{UnixConn: conn.(*net.UnixConn), generations: map[generation]bool{}}
	s.hello(p)
	if old := s.newer.Swap(p); old != nil {
		old.Close()
	}
	s.wg.Go(func() { s.listen(p, s.older.Load()) })
	return theirs, nil
}

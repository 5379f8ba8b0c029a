package proxy

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"edge"
)

// quicSide is the part of a conn that is QUIC's.
type quicSide struct {
	local, remote net.Addr
	timer         *time.Timer // of the handshake
	sni           string      // as the client sent it
	settled       atomic.Bool // the handshake has ended, one way or the other
	certErr       atomic.Pointer[error]

	mu     sync.Mutex
	q      *quic.Conn // once the handshake is over
	closed bool
}

// settle reports whether the caller is the first to see the handshake end.
func (q *quicSide) settle() bool {
	if q.settled.Swap(true) {
		return false
	}
	q.timer.Stop()
	return true
}

// watch makes a configuration one for QUIC, which keeps why there is no certificate.
func (q *quicSide) watch(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	cfg.MinVersion = tls.VersionTLS13
	cfg.NextProtos = []string{"h3"}
	if get := cfg.GetCertificate; get != nil {
		cfg.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := get(h)
			if cert == nil {
				why := err
				if why == nil {
					why = edge.ErrNoCertificate
				}
				q.certErr.Store(&why)
			}
			return cert, err
		}
	}
	return cfg
}

// attach hands over the connection, unless it has been closed meanwhile.
func (q *quicSide) attach(c *quic.Conn) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		c.CloseWithError(h3NoError, "")
		return false
	}
	q.q = c
	return true
}

// Close implements net.Conn.
func (q *quicSide) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.q != nil {
		q.q.CloseWithError(h3NoError, "")
	}
	return nil
}

// LocalAddr implements net.Conn.
func (q *quicSide) LocalAddr() net.Addr { return q.local }

// RemoteAddr implements net.Conn.
func (q *quicSide) RemoteAddr() net.Addr { return q.remote }

// Read implements net.Conn: bytes are on streams.
func (q *quicSide) Read([]byte) (int, error) { return 0, net.ErrClosed }

// Write implements net.Conn.
func (q *quicSide) Write([]byte) (int, error) { return 0, net.ErrClosed }

// SetDeadline implements net.Conn.
func (q *quicSide) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (q *quicSide) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (q *quicSide) SetWriteDeadline(time.Time) error { return nil }

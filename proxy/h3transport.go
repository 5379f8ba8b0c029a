package proxy

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"edge"
)

// quicState is what HTTP/3 adds to a Server.
type quicState struct {
	inputs    sync.Pool    // *h3input
	shaking   atomic.Int64 // handshakes in progress
	own       generation
	resetKey  [32]byte
	tokenKey  [32]byte
	listeners map[string]*quicListener // under applyMu: by the address of the TCP listener beside it
}

func (s *quicState) init(key [32]byte) {
	if key == ([32]byte{}) {
		rand.Read(key[:])
	}
	s.own = newGeneration()
	s.resetKey, s.tokenKey = deriveKey(key, "stateless reset"), deriveKey(key, "token")
	s.inputs.New = newH3Input
}

// quicListener is a UDP socket with what speaks QUIC on it. A reload leaves it
// alone: what depends on settings is looked up for every connection.
type quicListener struct {
	srv *Server
	pc  *sharedConn
	tr  *quic.Transport
	ln  *quic.Listener

	mu      sync.Mutex
	conns   map[*h3conn]struct{}
	leaving bool          // no new connections are taken
	empty   chan struct{} // closed when conns is; nil unless somebody waits
}

const (
	quicIdle      = 45 * time.Second // without a packet: the client is gone
	quicKeepAlive = 20 * time.Second

	// retryFrom is how many handshakes in progress make every further client
	// prove its address first, which costs it a round trip (RFC 9000 section 8.1.2).
	retryFrom = 64
)

func (s *Server) listenQUIC(pc *sharedConn) (*quicListener, error) {
	l := &quicListener{srv: s, pc: pc, conns: map[*h3conn]struct{}{}}
	reset, token := quic.StatelessResetKey(s.quic.resetKey), quic.TokenGeneratorKey(s.quic.tokenKey)
	l.tr = &quic.Transport{
		Conn: pc, VerifySourceAddress: l.doubts, ConnContext: l.admit, ConnectionIDGenerator: connIDs{s.quic.own},
		StatelessResetKey: &reset, TokenGeneratorKey: &token,
	}
	var err error
	l.ln, err = l.tr.Listen(&tls.Config{GetConfigForClient: s.quicConfigFor}, &quic.Config{GetConfigForClient: l.config})
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (l *quicListener) close() {
	l.ln.Close()
	l.tr.Close()
	l.pc.Close()
}

// doubts reports whether a client must prove its address before it costs anything:
// where many shake hands, or where it would count against an address that may be somebody else's.
func (l *quicListener) doubts(a net.Addr) bool {
	s := l.srv
	if s.quic.shaking.Load() >= retryFrom {
		return true
	}
	most := s.state.Load().engine.limits.ConnectionsPerAddress
	if most <= 0 {
		return false
	}
	s.connMu.Lock()
	defer s.connMu.Unlock()
	return 2*s.perAddress[clientBlock(addrPort(a).Addr())] >= most
}

// config bounds a new connection by the live limits. There is no 0-RTT: what
// comes in it can be sent again by anybody who saw it (RFC 8470).
func (l *quicListener) config(*quic.ClientInfo) (*quic.Config, error) {
	limits := &l.srv.state.Load().engine.limits
	return &quic.Config{
		HandshakeIdleTimeout:           limits.Handshake / 2, // the handshake may take twice as long
		MaxIdleTimeout:                 quicIdle,
		KeepAlivePeriod:                quicKeepAlive,
		MaxIncomingStreams:             int64(limits.Streams),
		MaxIncomingUniStreams:          8,
		RequireStreamCreditRelease:     true,
		InitialStreamReceiveWindow:     64 << 10,
		MaxStreamReceiveWindow:         256 << 10,
		InitialConnectionReceiveWindow: 256 << 10,
		MaxConnectionReceiveWindow:     1 << 20,
	}, nil
}

var errQUICRefused = errors.New("connection refused")

// admit counts a new connection in, or turns it away.
func (l *quicListener) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	s := l.srv
	side := &quicSide{local: l.pc.LocalAddr(), remote: info.RemoteAddr}
	c := &conn{Conn: side, quic: side, srv: s, listener: "https", tls: true, proto: "h3", remote: addrPort(info.RemoteAddr), opened: time.Now()}
	st, reason := s.remember(c)
	if l.isLeaving() && l.pc.newer.Load() == nil {
		reason = "shutdown"
	}
	if reason != "" {
		s.turnAway(c, reason)
		return nil, errQUICRefused
	}
	s.tls.rotate(s.opts.Now())
	c.hs = &handshake{state: st}
	c.open()
	s.quic.shaking.Add(1)
	hello, cancel := context.WithCancelCause(context.WithValue(ctx, connKey{}, c))
	side.timer = time.AfterFunc(st.engine.limits.Handshake, func() {
		cancel(context.DeadlineExceeded)
		l.gone(c, context.DeadlineExceeded)
	})
	context.AfterFunc(ctx, func() { l.gone(c, context.Cause(ctx)) })
	return hello, nil
}

// gone ends a connection whose handshake did not come to its end.
func (l *quicListener) gone(c *conn, cause error) {
	if c.quic.settle() {
		l.srv.quic.shaking.Add(-1)
		l.srv.reportQUIC(c, &tls.ConnectionState{ServerName: c.quic.sni}, cause)
	}
	c.Close()
}

// accept serves connections whose handshake is over.
func (l *quicListener) accept() {
	s := l.srv
	defer s.wg.Done()
	for {
		q, err := l.ln.Accept(context.Background())
		if err != nil {
			return
		}
		c, ok := q.Context().Value(connKey{}).(*conn)
		if !ok || !c.quic.settle() {
			q.CloseWithError(h3NoError, "")
			continue
		}
		s.quic.shaking.Add(-1)
		s.wg.Go(func() { l.serve(c, q) })
	}
}

func (l *quicListener) serve(c *conn, q *quic.Conn) {
	s := l.srv
	cs := q.ConnectionState().TLS
	s.reportQUIC(c, &cs, nil)
	c.sni, c.alpn, c.version, c.cipher, c.resumed = c.hs.name, cs.NegotiatedProtocol, cs.Version, cs.CipherSuite, cs.DidResume
	c.shown = newShown(&cs, c.hs.state.clientAuth(c.sni))
	c.hs = nil
	if !c.quic.attach(q) {
		return
	}
	(&h3conn{conn: c, q: q, srv: s, from: l, limits: &c.engine.limits}).serve()
}

// reportQUIC makes the event of a finished handshake.
func (s *Server) reportQUIC(c *conn, cs *tls.ConnectionState, err error) {
	ev := edge.HandshakeEvent{
		Start: c.opened, Duration: time.Since(c.opened), Listener: c.listener, Remote: c.remote,
		SNI: cs.ServerName, Version: cs.Version, Cipher: cs.CipherSuite, ALPN: cs.NegotiatedProtocol,
		Resumed: cs.DidResume, Result: "ok", Err: err,
	}
	certErr := c.quic.certErr.Load()
	_, local := errors.AsType[*quic.TransportError](err)
	_, app := errors.AsType[*quic.ApplicationError](err)
	_, idle := errors.AsType[*quic.IdleTimeoutError](err)
	_, slow := errors.AsType[*quic.HandshakeTimeoutError](err)
	switch {
	case err == nil:
	case certErr != nil && (errors.Is(*certErr, edge.ErrNoCertificate) || errors.Is(*certErr, edge.ErrName)):
		ev.Result, ev.Err = "no_certificate", *certErr
	case idle, slow, errors.Is(err, context.DeadlineExceeded):
		ev.Result = "timeout"
	case certErr != nil:
		ev.Result, ev.Err = "error", *certErr
	case app || !local:
		ev.Result = "client_gone"
	default:
		ev.Result = "error"
	}
	s.obs.Handshake(&ev)
}

// quicConfigFor is configFor for QUIC. Challenges are answered over TCP alone:
// a handshake over QUIC that looks like one gets nothing.
func (s *Server) quicConfigFor(h *tls.ClientHelloInfo) (*tls.Config, error) {
	c := helloConn(h)
	c.quic.sni = strings.Clone(h.ServerName)
	if edge.IsACMEInvalid(h.ServerName) || !slices.Contains(h.SupportedProtos, "h3") {
		return c.quic.watch(refuseName(c.hs, edge.ErrNoCertificate)), nil
	}
	cfg, err := s.configFor(h)
	if err != nil {
		return nil, err
	}
	return c.quic.watch(cfg), nil
}

// enter takes note of a connection. It reports whether requests are to be taken on it.
func (l *quicListener) enter(h *h3conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[h] = struct{}{}
	return !l.leaving
}

func (l *quicListener) exit(h *h3conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.conns, h); len(l.conns) == 0 && l.empty != nil {
		close(l.empty)
		l.empty = nil
	}
}

func (l *quicListener) isLeaving() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaving
}

// leave sends every client away. Requests in progress go on.
func (l *quicListener) leave() {
	l.mu.Lock()
	l.leaving = true
	l.pc.give()
	open := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	for _, h := range open {
		h.leave()
	}
}

// drain does so, and waits until the last request is over or ctx ends.
func (l *quicListener) drain(ctx context.Context) {
	l.leave()
	l.mu.Lock()
	if len(l.conns) == 0 {
		l.mu.Unlock()
		return
	}
	if l.empty == nil {
		l.empty = make(chan struct{})
	}
	empty := l.empty
	l.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
	}
}

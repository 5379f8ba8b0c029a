package proxy

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// engine is one net/http server, for HTTP/1.1 and HTTP/2, with the limits it
// was made for. net/http reads its limits while it serves, so that new limits
// mean a new engine: old connections stay with theirs until they end.
type engine struct {
	limits Limits
	http   *http.Server
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
}

// engineFor returns the running engine that has limits, or starts one.
func (s *Server) engineFor(limits Limits) *engine {
	for _, e := range s.engines {
		if e.limits == limits {
			return e
		}
	}
	e := &engine{limits: limits, conns: make(chan net.Conn), done: make(chan struct{})}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // as it seems from behind h2guard
	e.http = &http.Server{
		Handler:           s,
		ConnContext:       withConn,
		Protocols:         &protocols,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: limits.HeaderRead,
		IdleTimeout:       limits.Idle,
		// On HTTP/1 the guard counts first, and answers 431 with the right text.
		MaxHeaderBytes: limits.HeaderBytes + 4096,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          limits.Streams,
			MaxReadFrameSize:              h2MaxFrame,
			MaxReceiveBufferPerConnection: 1 << 20,
			MaxReceiveBufferPerStream:     256 << 10,
			SendPingTimeout:               30 * time.Second,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              limits.WriteStall,
		},
	}
	s.engines = append(s.engines, e)
	s.wg.Go(func() { e.http.Serve((*engineListener)(e)) })
	return e
}

// serve hands a connection over, or closes it when the engine is closed.
func (e *engine) serve(nc net.Conn) {
	select {
	case e.conns <- nc:
	case <-e.done:
		nc.Close()
	}
}

func (e *engine) close() {
	e.once.Do(func() { close(e.done) })
	e.http.Close()
}

// pruneEngines forgets engines that nobody uses any more. An engine with
// connections stays: closing it would close them.
func (s *Server) pruneEngines() {
	live := s.state.Load().engine
	s.connMu.Lock()
	used := map[*engine]bool{live: true}
	for c := range s.conns {
		used[c.engine] = true
	}
	s.connMu.Unlock()
	kept := s.engines[:0]
	for _, e := range s.engines {
		if used[e] {
			kept = append(kept, e)
		} else {
			e.close()
		}
	}
	s.engines = kept
}

// engineListener makes net/http accept what edge accepted, counted and, for
// TLS, shook hands with.
type engineListener engine

func (l *engineListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *engineListener) Close() error {
	(*engine)(l).once.Do(func() { close(l.done) })
	return nil
}

func (l *engineListener) Addr() net.Addr { return &net.TCPAddr{} }

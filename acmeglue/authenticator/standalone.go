package authenticator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"

	"edge"
	"edge/acmeglue"
)

// Listen is where a Standalone listens.
type Listen struct {
	Address string // empty: all, IPv6 and IPv4
	Port    int
}

// StandaloneOptions are certbot's flags for its standalone plugin.
type StandaloneOptions struct {
	HTTP    Listen // --http-01-address, --http-01-port; port 0: 80
	TLSALPN Listen // --tls-alpn-01-port; port 0: 443
	TLSSNI  Listen // --tls-sni-01-address, --tls-sni-01-port; port 0: 443
	// SNI lets it do TLS-SNI-01, which is for private CAs, where it was asked for
	// by name.
	SNI bool
	// Wait is how long to wait for a port while another run of an ACME client has
	// it, which will let go of it soon. Zero: not at all.
	Wait time.Duration
	// Retry is asked with certbot's text when a port is in use. Nil: no.
	Retry func(ctx context.Context, text string) bool
	Log   *slog.Logger
}

// Standalone answers HTTP-01, TLS-ALPN-01 and TLS-SNI-01 on listeners of its own,
// which are there from the first answer to the last (certbot:
// _internal/plugins/standalone.py). Safe for concurrent use: orders share the
// listeners.
type Standalone struct {
	o     StandaloneOptions
	certs *acmeglue.Registry // of TLS answers
	names *tokens            // of HTTP answers

	mu      sync.Mutex
	servers map[serverKey]*server
	held    map[edge.Answer]int
}

// serverKey tells listeners apart: both TLS methods can share a port.
type serverKey struct {
	Listen
	tls bool
}

// NewStandalone binds nothing yet.
func NewStandalone(o StandaloneOptions) (*Standalone, error) {
	for _, l := range []struct {
		at   *Listen
		port int
		flag string
	}{{&o.HTTP, 80, "--http-01-port"}, {&o.TLSALPN, 443, "--tls-alpn-01-port"}, {&o.TLSSNI, 443, "--tls-sni-01-port"}} {
		if l.at.Port == 0 {
			l.at.Port = l.port
		}
		if l.at.Port < 0 || l.at.Port > 65535 {
			return nil, fmt.Errorf("%s: %d is not a port", l.flag, l.at.Port)
		}
	}
	if o.HTTP.Port == o.TLSALPN.Port || o.SNI && o.HTTP.Port == o.TLSSNI.Port {
		return nil, fmt.Errorf("port %d cannot be used for both HTTP and TLS; change --http-01-port or the port of the other challenge", o.HTTP.Port)
	}
	o.Log = logger(o.Log)
	return &Standalone{o: o, certs: acmeglue.NewRegistry(), names: newTokens(), servers: map[serverKey]*server{}, held: map[edge.Answer]int{}}, nil
}

// Name implements acmeglue.Authenticator.
func (s *Standalone) Name() string { return "standalone" }

// Types implements acmeglue.Authenticator.
func (s *Standalone) Types() []edge.ChallengeType {
	types := []edge.ChallengeType{edge.HTTP01, edge.TLSALPN01}
	if s.o.SNI {
		types = append(types, edge.TLSSNI01)
	}
	return types
}

// at is where answers of a type are looked for.
func (s *Standalone) at(t edge.ChallengeType) serverKey {
	switch t {
	case edge.HTTP01:
		return serverKey{s.o.HTTP, false}
	case edge.TLSSNI01:
		return serverKey{s.o.TLSSNI, true}
	}
	return serverKey{s.o.TLSALPN, true}
}

// Present implements acmeglue.Authenticator. Errors about ports wrap *BindError.
func (s *Standalone) Present(ctx context.Context, batch []edge.Answer) error {
	for _, a := range batch {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.present(ctx, a); err != nil {
			var bind *BindError
			if !errors.As(err, &bind) {
				return acmeglue.AnswerFailed(err, a)
			}
			// It is the same for all that are looked for on that port.
			return acmeglue.AnswerFailed(err, slices.DeleteFunc(slices.Clone(batch), func(b edge.Answer) bool { return s.at(b.Type) != s.at(a.Type) })...)
		}
	}
	return nil
}

func (s *Standalone) present(ctx context.Context, a edge.Answer) error {
	if !slices.Contains(s.Types(), a.Type) {
		return unable(s, a)
	}
	if err := s.acquire(ctx, s.at(a.Type)); err != nil {
		return err
	}
	var err error
	if a.Type == edge.HTTP01 {
		s.names.put(a)
	} else {
		err = s.certs.Put(a)
	}
	if err != nil {
		s.release(ctx, s.at(a.Type))
		return err
	}
	s.mu.Lock()
	s.held[a]++
	s.mu.Unlock()
	return nil
}

// Ready implements acmeglue.Authenticator: listeners answer at once.
func (s *Standalone) Ready(context.Context, []edge.Answer) error { return nil }

// Cleanup implements acmeglue.Authenticator. With the last answer a listener goes
// away, once the connections that it has are served.
func (s *Standalone) Cleanup(ctx context.Context, batch []edge.Answer) error {
	for _, a := range batch {
		s.mu.Lock()
		n := s.held[a]
		if n > 1 {
			s.held[a] = n - 1
		} else {
			delete(s.held, a)
		}
		s.mu.Unlock()
		if n == 0 {
			continue // Present came not so far
		}
		if a.Type == edge.HTTP01 {
			s.names.remove(a)
		} else {
			s.certs.Remove(a)
		}
		s.release(ctx, s.at(a.Type))
	}
	return nil
}

// acquire has a listener, a new one where there is none. It waits for another
// client that is about to let go of the port.
func (s *Standalone) acquire(ctx context.Context, key serverKey) error {
	deadline := time.Now().Add(s.o.Wait)
	told, again := false, false
	for {
		err := s.try(key)
		var bind *BindError
		if err == nil || !errors.As(err, &bind) || !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		switch {
		case time.Now().Before(deadline) && isRun(ctx, key):
			if !told {
				s.o.Log.Info("waiting for a port that another run of an ACME client has", "port", key.Port, "holder", bind.Holder)
				told = true
			}
			pause := time.NewTimer(retryBind)
			select {
			case <-ctx.Done():
				pause.Stop()
				return context.Cause(ctx)
			case <-pause.C:
			}
		case !again:
			again = true // it may have let go of the port while we looked who it is
		case s.o.Retry != nil && s.o.Retry(ctx, bind.Error()):
		default:
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// retryBind is the pause between tries to bind a port that another client has.
const retryBind = 200 * time.Millisecond

func (s *Standalone) try(key serverKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	srv := s.servers[key]
	if srv == nil {
		listeners, err := bind(key.Listen)
		if err != nil {
			return err
		}
		for _, l := range listeners {
			s.o.Log.Debug("listening for a validating CA", "address", l.Addr().String())
		}
		if key.tls {
			srv = serveTLS(listeners, s.certs)
		} else {
			srv = serveHTTP(listeners, s.names, s.o.Log)
		}
		s.servers[key] = srv
	}
	srv.uses++
	return nil
}

func (s *Standalone) release(ctx context.Context, key serverKey) {
	s.mu.Lock()
	srv := s.servers[key]
	srv.uses--
	last := srv.uses == 0
	if last {
		// The port is free before the next order asks for it.
		srv.unbind()
		delete(s.servers, key)
	}
	s.mu.Unlock()
	if last {
		srv.end(ctx)
	}
}

// unable is for a challenge that an authenticator cannot do.
func unable(a acmeglue.Authenticator, x edge.Answer) error {
	return fmt.Errorf("%s cannot do %s", a.Name(), x.Type)
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

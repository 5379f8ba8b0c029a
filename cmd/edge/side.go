package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"edge/proxy"
)

// sideServer serves metrics and health on a listener of its own, which a reload
// may move. Its methods are called under the door's lock.
type sideServer struct {
	handler http.Handler
	log     *slog.Logger

	address string
	server  *http.Server
	next    net.Listener // bound by prepare
	wanted  string
}

// prepare binds the address, where it is a new one. An empty address means none.
func (s *sideServer) prepare(address string) error {
	s.next, s.wanted = nil, address
	if address == s.address || address == "" {
		return nil
	}
	l, err := proxy.Listen(address)
	if err != nil {
		return fmt.Errorf("metrics.listen: %w", err)
	}
	s.next = l
	return nil
}

// abort takes prepare back.
func (s *sideServer) abort() {
	if s.next != nil {
		s.next.Close()
		s.next = nil
	}
}

// commit puts what prepare bound to work and ends what was there before.
func (s *sideServer) commit() {
	if s.wanted == s.address {
		return
	}
	s.close()
	s.address = s.wanted
	if s.next == nil {
		return
	}
	s.server = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	server, l := s.server, s.next
	s.next = nil
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("metrics listener ended", "error", err)
		}
	}()
}

// addr is where the metrics are served, "" for nowhere.
func (s *sideServer) close() {
	if s.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		s.server.Close()
	}
	s.server = nil
}

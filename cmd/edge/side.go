package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// sideServer serves metrics and health on a listener of its own, which a reload
// may move. Its methods are called under the door's lock.
type sideServer struct {
	handler http.Handler
	log     *slog.Logger
	listen  func(address string) (net.Listener, error)

	address string
	server  *http.Server
	current net.Listener
	next    net.Listener // bound by prepare
	wanted  string
}

// prepare binds the address, where it is a new one. An empty address means none.
func (s *sideServer) prepare(address string) error {
	s.next, s.wanted = nil, address
	if address == s.address || address == "" {
		return nil
	}
	l, err := s.listen(address)
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
	s.next, s.current = nil, l
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("metrics listener ended", "error", err)
		}
	}()
}

// socket is what a process that takes this one's place goes on with; nil: none.
func (s *sideServer) socket() syscall.Conn {
	c, _ := s.current.(syscall.Conn)
	return c
}

// close ends the listener and its server.
func (s *sideServer) close() {
	if s.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		s.server.Close()
	}
	s.server, s.current = nil, nil
}

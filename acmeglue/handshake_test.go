package acmeglue

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// dialTLS does a real handshake with a server that uses m. It returns the
// address that was reached, nil where the handshake failed.
func dialTLS(t testing.TB, m *Manager, name string) *net.TCPAddr {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return m.Certificate(h.ServerName, h)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // a test's listener
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close() // a test's connection
		_ = c.(*tls.Conn).Handshake()
	}()
	defer func() { <-done }()
	c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, ServerName: name})
	if err != nil {
		return nil
	}
	defer c.Close() // a test's connection
	return c.RemoteAddr().(*net.TCPAddr)
}

// A client that hangs up does not keep its handshake's goroutine waiting.
func TestHandshakeContext(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	ca.hold = make(chan struct{})
	defer close(ca.hold)
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.test"}, Plan: Plan{CAs: []CA{ca}}}}})
	client, server := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	var got error
	s := tls.Server(server, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, err := m.Certificate(h.ServerName, h)
		got = err
		return c, err
	}})
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.HandshakeContext(ctx) })
	wg.Go(func() { _ = tls.Client(client, &tls.Config{ServerName: "new.test"}).HandshakeContext(ctx) })
	eventually(t, "an order", func() bool { return ca.orders.Load() == 1 })
	cancel()
	wg.Wait()
	if !errors.Is(got, context.Canceled) {
		t.Errorf("error %v, want the context's", got)
	}
}

// A certificate for an address answers clients that connect to it without a name.
func TestConfiguredAddress(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, one(ca, ids(t, "127.0.0.1", "::1")...))
	eventually(t, "certificates", func() bool { return len(valid(m)) == 2 })
	if dialTLS(t, m, "") == nil {
		t.Error("no certificate for the configured address")
	}
	if dialTLS(t, m, "unknown.test") != nil {
		t.Error("the address's certificate answered for a name")
	}
}

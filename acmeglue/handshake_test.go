package acmeglue

import (
	"crypto/tls"
	"net"
	"testing"
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

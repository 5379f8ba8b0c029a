package proxy

import (
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"time"

	"edge"
)

// tlsConfigs are the crypto/tls configurations that all handshakes of a Server
// share, whatever is reloaded: only then do tickets outlive a reload.
type tlsConfigs struct {
	v12 *tls.Config // TLS 1.2 and 1.3
	v13 *tls.Config // TLS 1.3 only

	mu      sync.Mutex
	tickets ticketRing
}

func newTLSConfigs() *tlsConfigs {
	return &tlsConfigs{v12: siteConfig(tls.VersionTLS12), v13: siteConfig(tls.VersionTLS13)}
}

// siteConfig serves HTTP. The curves are crypto/tls's defaults, which begin
// with X25519MLKEM768; TestKeyExchange holds them to it.
func siteConfig(min uint16) *tls.Config {
	cfg := &tls.Config{
		MinVersion:     min,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: siteCertificate,
	}
	bindTickets(cfg)
	return cfg
}

// rotate renews the ticket keys when they are due.
func (t *tlsConfigs) rotate(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tickets.rotate(now) {
		t.v12.SetSessionTicketKeys(t.tickets.keys)
		t.v13.SetSessionTicketKeys(t.tickets.keys)
	}
}

// helloConn is our connection, which crypto/tls hands back to the callbacks. On QUIC
// it knows of none, and the context has it.
func helloConn(h *tls.ClientHelloInfo) *conn {
	if c, ok := h.Conn.(*conn); ok {
		return c
	}
	return h.Context().Value(connKey{}).(*conn)
}

// configFor chooses what answers a ClientHello: the challenge registry, a
// refusal, or the site's configuration.
func (s *Server) configFor(h *tls.ClientHelloInfo) (*tls.Config, error) {
	c := helloConn(h)
	hs := c.hs
	if onlyALPN(h, edge.ALPNProto) {
		hs.challenge = edge.TLSALPN01
		cert, ok := s.challengeCert(edge.TLSALPN01, h.ServerName)
		return s.challengeConfig(c, cert, ok, edge.ALPNProto), nil
	}
	// A name under acme.invalid must never reach a CertSource: an on-demand
	// policy of "any name" would order certificates for it.
	if edge.IsACMEInvalid(h.ServerName) {
		hs.challenge = edge.TLSSNI01
		cert, ok := s.challengeCert(edge.TLSSNI01, strings.ToLower(strings.TrimSuffix(h.ServerName, ".")))
		return s.challengeConfig(c, cert, ok), nil
	}
	if s.crowded(c) {
		hs.err = errCrowded
		return nil, errCrowded
	}
	name, ok := "", true
	if h.ServerName != "" {
		name, ok = edge.CleanName(h.ServerName)
	}
	if !ok {
		return refuseName(hs, edge.ErrName), nil
	}
	hs.name = name
	if cfg := hs.state.clientAuth(name); cfg != nil {
		return cfg, nil
	}
	if hs.state.minVersion(name) >= tls.VersionTLS13 {
		return s.tls.v13, nil
	}
	return s.tls.v12, nil
}

// siteCertificate asks the CertSource. Returning neither certificate nor error
// makes crypto/tls send unrecognized_name; any error, internal_error.
func siteCertificate(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c := helloConn(h)
	hs := c.hs
	if hs.state.set.Certificates == nil {
		hs.err = edge.ErrNoCertificate
		return nil, nil
	}
	cert, err := hs.state.set.Certificates.Certificate(hs.name, h)
	if err == nil && cert == nil {
		err = edge.ErrNoCertificate
	}
	if err != nil {
		hs.err = err
		if errors.Is(err, edge.ErrNoCertificate) {
			return nil, nil
		}
		return nil, err
	}
	return cert, nil
}

func (s *Server) challengeCert(t edge.ChallengeType, sni string) (*tls.Certificate, bool) {
	if s.opts.Challenges == nil || sni == "" {
		return nil, false
	}
	if t == edge.TLSSNI01 {
		return s.opts.Challenges.TLSSNI01(sni)
	}
	name, ok := edge.CleanName(sni)
	if !ok || edge.IsACMEInvalid(name) {
		return nil, false
	}
	return s.opts.Challenges.TLSALPN01(name)
}

// challengeConfig is made for one handshake: no tickets, no client
// certificates, nothing shared with sites.
func (s *Server) challengeConfig(c *conn, cert *tls.Certificate, ok bool, protos ...string) *tls.Config {
	result := "answered"
	if !ok || cert == nil {
		result = "unknown"
	}
	s.obs.Challenge(&edge.ChallengeEvent{Type: c.hs.challenge, Result: result})
	if result == "unknown" {
		return refuseName(c.hs, edge.ErrNoCertificate)
	}
	s.keepSpare(c)
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		NextProtos:             protos,
		Certificates:           []tls.Certificate{*cert},
		SessionTicketsDisabled: true,
	}
}

// refuseName makes the handshake fail with unrecognized_name.
func refuseName(hs *handshake, err error) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			hs.err = err
			return nil, nil
		},
	}
}

func onlyALPN(h *tls.ClientHelloInfo, proto string) bool {
	return len(h.SupportedProtos) == 1 && h.SupportedProtos[0] == proto
}

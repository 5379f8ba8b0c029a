package proxy

import (
	"crypto/tls"

	"edge"
)

// CertSource chooses certificates during handshakes. It is called on the
// handshake path, concurrently. Certificate must honour hello.Context().
type CertSource interface {
	// Certificate returns the certificate for the (gated, lower-case) server
	// name, which is empty where the client sent none. An error that wraps
	// edge.ErrNoCertificate becomes an unrecognized_name alert, any other an
	// internal_error alert.
	Certificate(name string, hello *tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Responder answers the challenges of validating CAs. All methods are lock-free
// or nearly so, and may be called for anything a stranger sends.
type Responder interface {
	HTTP01(host, token string) (keyAuth string, ok bool)
	TLSALPN01(sni string) (*tls.Certificate, bool)
	TLSSNI01(sni string) (*tls.Certificate, bool)
}

// Observer receives one event for each connection, handshake, request and challenge.
// Its methods are called on the data path: they must be quick and not block.
type Observer interface {
	Conn(*edge.ConnEvent)
	Handshake(*edge.HandshakeEvent)
	Request(*edge.RequestEvent)
	Challenge(*edge.ChallengeEvent)
}

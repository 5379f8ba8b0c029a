// Package proxy is the data path of the front door:
//
//	listener -> ClientHello -> challenge? -> certificate -> TLS -> engine -> policy -> upstream
//
// Bytes pass a guard (guard for HTTP/1, h2guard for HTTP/2) before the engine,
// which is net/http's, parses them: what two parsers could read in two ways is
// refused there. HTTP/3 has an engine of its own, on quic-go's QUIC (h3conn).
//
// It knows nothing of ACME, storage, configuration files or metrics: it asks a
// CertSource, a Responder and an Observer.
package proxy

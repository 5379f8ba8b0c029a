// Package proxy is the data path of the front door:
//
//	listener -> ClientHello -> challenge? -> certificate -> TLS -> engine -> policy -> upstream
//
// It knows nothing of ACME, storage, configuration files or metrics: it asks a
// CertSource, a Responder and an Observer.
package proxy

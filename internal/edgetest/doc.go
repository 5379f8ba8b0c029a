// Package edgetest has what the tests and the demo share: certificate
// authorities in this process (Pebble, and a wrapper that makes it a
// TLS-SNI-01-only one), name servers, backends. It is never linked into cmd/edge.
package edgetest

// Package edge holds the nouns that every other package of this module speaks:
// identifiers, challenges, bundles, the events that observers receive, and the
// errors that callers branch on. It does no I/O and imports nothing outside the
// standard library.
//
// The flow of a request (package proxy):
//
//	listener -> ClientHello -> challenge? -> certificate -> TLS -> engine -> policy -> upstream
//
// The flow of a certificate (package acmeglue):
//
//	who wants which name -> may they? -> order -> challenge answer -> issuer -> store -> served
//
// Packages proxy, acmeglue and metrics do not import each other: cmd/edge wires
// them through small interfaces that the consumer declares, whose arguments are
// basic types or the structs of this package.
package edge

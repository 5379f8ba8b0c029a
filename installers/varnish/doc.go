// Package varnish answers HTTP-01 challenges in Varnish itself, by its CLI protocol:
// nothing else has to listen, and its cache and counters stay.
//
//	Present -> one VCL with the answers -> vcl.inline -> vcl.label edge_acme
//	active VCL (the user's): return (vcl(edge_acme)) for /.well-known/acme-challenge/
//	Ready -> GET from each node itself
//	Cleanup -> vcl.label edge_acme edge_acme_empty -> vcl.discard
//
// The active VCL is never exchanged, unless Swap says so: then it is replaced by a copy
// of itself with the answers in front, for as long as the challenge lasts.
//
// Tokens and key authorizations are base64url with at most a dot in between; anything else
// gets into no VCL. VCLs have names that were never used before, since a name is taken
// until the last request that uses it has ended. What a run that was killed has left is
// found by the beginning of its name.
package varnish

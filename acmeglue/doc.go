// Package acmeglue gets certificates: orders, accounts, issuers, the registry of
// challenge answers, the permission of on-demand names, storage and renewal.
//
//	who wants which name -> may they? -> order -> challenge answer -> issuer -> store -> served
//
// It is the one home of certmagic, acmez and libdns. Of certmagic it uses the
// Storage interface, FileStorage, the key layout (so that Caddy can read what
// edge wrote and the other way round) and the DNS-01 solver.
package acmeglue

// Package authenticator has the means by which the certificate client proves
// control of names: certbot's standalone, webroot and manual, its DNS plugins for
// Cloudflare and RFC 2136, and edge's own, the front door of this machine.
//
//	order -> Preflight  would it work? costs nothing at the CA
//	      -> Present    listeners | files | hooks, a person | DNS records | the door's admin socket
//	      -> Ready      DNS only: until the records are seen
//	      -> Cleanup    always; takes away what was presented, and nothing else
//
// Each is an acmeglue.Authenticator. What they need of other packages (hooks, the
// admin socket) they declare as small interfaces; cmd/edge wires them. Nothing here
// knows lineages, renewal files or flags, except by name in messages.
package authenticator

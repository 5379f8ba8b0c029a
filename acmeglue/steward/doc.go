// Package steward keeps certbot's tree as its owner wants it: it is what the verbs
// certonly, run, renew, revoke, delete, certificates and their like do.
//
//	names -> lineage -> action? -> preflight -> pre hooks -> order -> save -> deploy hooks -> door -> post hooks
//
// A Steward works for one command line: on one tree, with one display and one
// session of hooks. What it needs of other packages (hooks, the front door's
// admin socket, installers) it declares as small interfaces; cmd/edge wires them.
//
// Nothing here knows listeners, handshakes or the front door's own storage.
package steward

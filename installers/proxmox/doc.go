// Package proxmox installs the certificate of the web interface and API of a Proxmox VE
// node or of a Proxmox Backup Server, by that API or, on a node itself, by pvenode.
//
//	Put   certificates/info -> ours to replace? -> keep the new pair -> POST custom (restart)
//	Undo  certificates/info -> still ours? -> POST what was delivered before, or DELETE
//
// The API says yes before its daemon has loaded the certificate, and gives no key back.
// So it is looked at by handshakes, and what edge delivered last is kept beside (package
// kept) for an undo. The API is itself behind the certificate that is delivered: where it
// is trusted by a fingerprint, what edge delivered is trusted as well.
package proxmox

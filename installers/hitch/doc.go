// Package hitch brings certificates to hitch, the TLS proxy in front of Varnish.
//
//	hitch.conf -> parse -> where its certificates are, where it listens
//	            material -> one PEM file (leaf, chain, key) in its pem-dir, or a pem-file entry
//	            hitch --test -> HUP -> a handshake for each name at each frontend
//
// Two things that it does not say shape this package. It reads a file again only where its
// time of modification is later than that of the one it has, also when an undo has put
// the old one back. And of two certificates for one name it takes the one that it loaded
// last, which is another one after a reload than after a start: such a configuration is
// refused.
package hitch

// Package exim brings certificates to Exim: for clients that name a host (SNI), and for
// those that name none.
//
//	exim -bP -> what is in force: files, addresses, ports
//	material -> one PEM file (key, leaf, chain), which is tls_certificate and tls_privatekey
//	         -> a table of names and PEM files, which both options look the name up in
//	configuration: the two options, or Debian's macros for them and update-exim4.conf
//	exim -bV, -bP, -be -> SIGHUP, where the configuration changed -> handshakes
//
// Exim expands both options for each connection, so that a renewal is one rename, and
// needs no signal. The name is from the network: it is a key of a lookup, and never
// becomes a part of a path. What the two options say to names that are not in the table
// is written into them, as it was before edge.
package exim

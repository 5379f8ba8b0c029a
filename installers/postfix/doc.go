// Package postfix brings certificates to Postfix: for clients that name a host (SNI), and
// for those that name none.
//
//	postconf -> what is in force, services, addresses
//	material -> one PEM file (key, leaf, chain)
//	            default chain: smtpd_tls_chain_files in main.cf
//	            other names:   a table of names and PEM files, compiled by postmap -F
//	postfix check -> postfix reload -> a handshake for each name at each service with TLS
//
// Three things that Postfix does not say shape this package. A default chain that it cannot
// load turns TLS off for every name, also for those that are fine. A table that was not
// compiled goes on to have the old certificate. And what is compiled has the keys in it,
// with the mode that the source has. So both are looked at before, the table is compiled
// aside, and all of it changes by renames: PEM file, source, table, and at last main.cf,
// which never names what is not there.
package postfix

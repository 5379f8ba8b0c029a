// Package dovecot gives Dovecot a certificate for each name.
//
//	one PEM file (key, leaf, chain) a lineage
//	  -> a file of edge's own in conf.d: local_name blocks, and the default where that is wanted
//	  -> doveconf, which says what counts for each name
//	  -> doveadm reload, which says nothing of a bad pair
//	  -> handshakes at all listeners of IMAP, POP3 and submission
//
// The configuration is not parsed here: doveconf is asked, which reads it as Dovecot does.
package dovecot

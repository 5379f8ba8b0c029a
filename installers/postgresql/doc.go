// Package postgresql gives a running PostgreSQL its certificate.
//
//	one PEM file (key, leaf, chain), named by ssl_cert_file and ssl_key_file in postgresql.conf
//	  -> SIGHUP to the postmaster, which says nothing but in its log
//	  -> a handshake after SSLRequest
//
// One file for both changes in one step. A pair that cannot be loaded leaves the old one in
// use, as long as the server runs: it would not start with it.
package postgresql

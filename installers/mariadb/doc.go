// Package mariadb gives MariaDB, and MySQL 8, their certificate.
//
//	one PEM file (key, leaf, chain), named by ssl_cert and ssl_key in an option file of edge's own
//	  -> FLUSH SSL (MySQL: ALTER INSTANCE RELOAD TLS), said by the server's own client
//	  -> a handshake after SSLRequest
//
// MariaDB reads at its start alone where its certificate is: the first time it has to be
// restarted, and edge does that only where it was told how.
package mariadb

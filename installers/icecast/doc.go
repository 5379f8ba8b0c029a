// Package icecast brings certificates to Icecast, the streaming server.
//
//	icecast.xml -> parse (positions of elements) -> ssl-certificate, a socket with ssl
//	material -> bundle file (leaf, chain, key) of Icecast's user
//	check -> restart, when it may be -> TLS shows the leaf, and plain HTTP is not answered
//
// Icecast says nothing when it cannot use a certificate: it starts, and speaks plain HTTP
// where TLS was meant to be. Icecast 2.4 reads its certificate at its start only, and 2.5
// forgets the old one before it looks at a new one, so that it is always restarted, which
// ends every stream: that may be put off to a time of the night, or left to people. While
// it starts, nobody connects to it, since it may crash then.
//
// Nothing of the configuration but the elements in question changes: comments, order,
// encoding and line ends stay, byte for byte.
package icecast

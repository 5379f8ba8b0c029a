// Package haproxy has HAProxy serve certificates and answer HTTP-01.
//
//	haproxy.cfg -> where certificates are loaded from, addresses, sockets
//	Plan:       one PEM file; for a new one in a crt-list, its line
//	Test:       haproxy -c
//	Activate:   stats or master socket: set and commit, or new and add; else a reload
//
// The disk comes first, the memory of the running HAProxy second, so that a reload
// changes nothing. An answer of HAProxy's socket that is not exactly the expected one is
// an error: of what is too large it says nothing at all, and with a transaction of
// somebody else it takes our certificate for another one.
//
// HTTP-01 is answered from a map that is filled by the socket, by a rule that needs
// nothing but the account's thumbprint, or by a listener of ours behind HAProxy.
//
// haproxy.cfg is read, never written.
package haproxy

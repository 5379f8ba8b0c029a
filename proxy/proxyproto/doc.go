// Package proxyproto reads and writes the headers of the PROXY protocol, by which a
// load balancer says whose connection it passes on:
//
//	bytes that have come -> Parse -> addresses, length of the header
//	addresses            -> Append -> bytes to begin a connection with
//
// Version 1 is a line of text, version 2 is binary (haproxy.org, proxy-protocol.txt).
// It does no I/O and knows nothing of who may send a header: package proxy does.
package proxyproto

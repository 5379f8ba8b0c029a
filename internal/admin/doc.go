// Package admin is the protocol of the admin socket: HTTP with JSON over a unix
// socket, peer credentials checked for each call. It has the server, which asks
// a Backend, and the client that the verbs of cmd/edge use.
package admin

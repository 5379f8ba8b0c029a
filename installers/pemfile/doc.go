// Package pemfile is for servers that take a certificate with its chain and its key from
// one PEM file, and do not look at it when they are told to: the file is made, looked at
// and planned here. One file changes in one step, so that no server finds a key beside a
// certificate of another time.
package pemfile

// Package target says what a kind of target is, a server or a service that
// certificates are brought to: its name, what it can be told, and how it is made.
// Each kind has a package of its own below installers, which exports Kind; the table
// of them is package targets.
//
//	deliver key, flags, renewal files -> Parse -> Values -> Kind.Target, Kind.Authenticator
//
// What a kind does to the world goes through its Env: files, programs, sockets,
// requests, the clock. Tests count there, and fail or kill at each step in turn.
package target

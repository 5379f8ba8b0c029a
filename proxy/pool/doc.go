// Package pool spreads requests over several upstream servers:
//
//	request -> which servers may have it (health, ejection, drain, limits)
//	        -> which of them (least loaded of two, round robin, hash, cookie) -> upstream.Server
//
// It knows health, balancing, queues and retries; it knows nothing of listeners
// or of policy's rules.
package pool

// Package kept remembers which certificates and keys a delivery put last, where a service
// takes a new pair in place of the old one and gives no key back: without it, nothing
// could be undone.
//
//	Begin -> what is there is replaced -> seen: Done
//	                                   '-> not seen: what Find has for the old leaf is put back
//
// Two pairs are kept, the last and the one that was begun: after a run that died, the
// service may have either. They are in files that only their owner can read, and a key is not
// kept for longer than until the delivery after the next.
package kept

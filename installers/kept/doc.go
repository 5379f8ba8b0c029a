// Package kept remembers which certificate and key a delivery put last, where a service
// takes a new pair in place of the old one and gives no key back: without it, nothing
// could be undone.
//
//	Load -> what is there is replaced -> seen: Save the new pair
//	                                  '-> not seen: what Load gave is put back
//
// The pair is in a file that only its owner can read. It is that of the lineage which is
// in use anyway: an older key is not kept for longer than until the next delivery.
package kept

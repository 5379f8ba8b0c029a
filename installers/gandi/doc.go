// Package gandi proves control of names by the TXT records of Gandi's LiveDNS, and puts
// certificates into the store of Gandi's old hosting interface.
//
//	Present  zone of the name -> RRset + our value -> PUT -> read again, until it is there
//	Ready    read again (another run may have written over it) -> ask the name servers
//	Cleanup  RRset - our value -> PUT, or DELETE where it was the last -> read again
//
// A PUT replaces all values of a name, and there is nothing to make it conditional on, so
// that two runs at a time (a name and its wildcard, on two machines) can lose each
// other's values: hence the reading again. Values of others are written as they were read.
//
// The hosting interface (XML-RPC) is from before 2018; Gandi may have switched it off.
// It is used where that was asked for with a setting of its own.
package gandi

// Package diff shows what differs between two texts, as `diff -u` does. Texts of
// any size: where more differs than can be looked through in short time, what is
// between the first and the last difference goes and comes as a whole.
package diff

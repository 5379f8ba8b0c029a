// Package files finds the file of a folder that a path names, and never one
// outside of it:
//
//	path -> names without dots in front, no links that lead out -> index, fallback
//	     -> a compressed form that lies beside it -> File
//
// It opens; the engine sends.
package files

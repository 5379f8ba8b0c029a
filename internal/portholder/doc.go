// Package portholder finds out who listens on a TCP port, for messages about a
// port that is in use. It reads /proc and asks nobody.
package portholder

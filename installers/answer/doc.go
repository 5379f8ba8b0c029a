// Package answer has a server answer ACME challenges by its configuration, for as long
// as a CA looks.
//
//	Present  the server's package plans -> Runner.Temporary: stage, test, activate, see the answers
//	Cleanup  every byte back, activate
//
// What the plan has to change is the business of the server's own package; that a CA's
// words may get into a configuration is checked here, once.
package answer

// Package targettest tries every kind of target with the same cases: Run for what
// installs, Prove for what answers challenges. Each package of a target has one test
// of each,
//
//	func TestTarget(t *testing.T) { targettest.Run(t, newRig) }
//	func TestProof(t *testing.T)  { targettest.Prove(t, newProof) }
//
// and make targets prints what came of them as a table. A case that a target cannot have
// has a reason, which the table shows.
package targettest

package installers

// Step is one of the transaction.
type Step string

// The steps, in their order.
const (
	Precheck Step = "precheck"
	Stage    Step = "stage"
	Test     Step = "test"
	Activate Step = "activate"
	Verify   Step = "verify"
	Commit   Step = "commit"
)

// UndoState is what became of the changes when a step had failed.
type UndoState int

// The states.
const (
	Untouched UndoState = iota // nothing had been changed
	Undone                     // everything is as it was, and the server shows what it did
	NotUndone                  // something is not as it was: see ByHand
)

// StepError says which step failed on which server, and how things stand now.
type StepError struct {
	Step   Step
	Server string
	Err    error // with what the server said
	// Cause is what is behind it, for people, where that is known.
	Cause string
	State UndoState
	// UndoErr is why something is not as it was, and ByHand what to do about it, a
	// line each.
	UndoErr error
	ByHand  []string
}

func (e *StepError) Error() string { return string(e.Step) }

func (e *StepError) Unwrap() []error { return []error{e.Err, e.UndoErr} }

// ChangedError names files that somebody changed after a checkpoint was made.
type ChangedError struct {
	Paths []string
	Diff  string // unified: from what was written to what is there
}

func (e *ChangedError) Error() string { return "changed" }

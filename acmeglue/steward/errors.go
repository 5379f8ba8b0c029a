package steward

import (
	"errors"
	"fmt"

	"edge"
)

// text is one of certbot's messages.
type text string

func (t text) Error() string { return string(t) }

// LastWord is an error that says all there is: nothing in the log would help.
type LastWord struct{ error }

// Unwrap returns the error.
func (e *LastWord) Unwrap() error { return e.error }

func lastWord(err error) error {
	if err == nil {
		return nil
	}
	return &LastWord{err}
}

// HookError says that everything else succeeded.
type HookError struct{ Err error }

func (e *HookError) Error() string { return fmt.Sprintf("a hook failed: %v", e.Err) }

// Unwrap returns the failures.
func (e *HookError) Unwrap() error { return e.Err }

// RenewError says that a run over several lineages did not succeed with all.
type RenewError struct {
	Failures, Broken int // lineages that were not renewed; that cannot be read
	Later            bool
}

func (e *RenewError) Error() string {
	return fmt.Sprintf("%d renew failure(s), %d parse failure(s)", e.Failures, e.Broken)
}

// Later reports whether nothing stands in the way of success but a CA that asks
// to be left alone for a while.
func Later(err error) bool {
	var renew *RenewError
	if errors.As(err, &renew) {
		return renew.Later
	}
	var issue *edge.IssueError
	return errors.As(err, &issue) && issue.Reason == edge.ReasonRateLimited
}

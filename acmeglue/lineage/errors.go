package lineage

import "fmt"

// NotFoundError says that there is no lineage of that name.
type NotFoundError struct{ Name, ConfPath string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("No certificate found with name %s (expected %s).", e.Name, e.ConfPath)
}

// BrokenError says that a lineage cannot be used. Its text is certbot's.
type BrokenError struct {
	Name, ConfPath string
	Problem        string
	Err            error // the cause where there is more to say; may be nil
}

func (e *BrokenError) Error() string { return e.Problem }

// Unwrap returns the cause.
func (e *BrokenError) Unwrap() error { return e.Err }

// Detail is the text with the cause.
func (e *BrokenError) Detail() string {
	if e.Err == nil {
		return e.Problem
	}
	return e.Problem + ": " + e.Err.Error()
}

// PendingError says that a change was written down and could not be finished. It is
// not lost: Repair finishes it, in the next run at the latest.
type PendingError struct {
	Name string
	What string // "create", "renew" or "delete"
	Err  error
}

func (e *PendingError) Error() string {
	return fmt.Sprintf("%s lineage %s: %v; what is missing is saved, and done by the next run when the cause is gone", e.What, e.Name, e.Err)
}

// Unwrap returns the cause.
func (e *PendingError) Unwrap() error { return e.Err }

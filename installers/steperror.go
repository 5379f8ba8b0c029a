package installers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

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
	// line each. Notes are on what was put back, such as edits of somebody else that
	// were put aside.
	UndoErr       error
	ByHand, Notes []string
}

func (e *StepError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: %v", e.Server, e.Step, e.Err)
	if e.Cause != "" {
		fmt.Fprintf(&b, " (%s)", e.Cause)
	}
	switch e.State {
	case Untouched:
		b.WriteString("; nothing was changed")
	case Undone:
		b.WriteString("; everything was put back as it was before")
	default:
		fmt.Fprintf(&b, "; and not everything could be put back: %v", e.UndoErr)
	}
	for _, line := range slices.Concat(e.Notes, e.ByHand) {
		b.WriteString("\n  " + line)
	}
	return b.String()
}

// Unwrap gives what failed, and what failed when it was undone.
func (e *StepError) Unwrap() []error {
	if e.UndoErr == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.UndoErr}
}

// fail takes everything back and says how things stand.
func (u *run) fail(ctx context.Context, step Step, err error) error {
	e := &StepError{Step: step, Server: u.server.Name(), Err: err, Cause: causeOf(err)}
	if !u.noted {
		return e
	}
	e.State = Undone
	u.warnings = nil
	e.UndoErr = u.undo(ctx)
	e.Notes = u.warnings
	if e.UndoErr == nil {
		if step == Test && u.brokenBefore(ctx) {
			e.Cause = "the configuration does not pass the test without the changes either: it was broken before"
		}
		return e
	}
	e.State = NotUndone
	if there, _ := u.pending(u.at); there {
		e.ByHand = append(e.ByHand, fmt.Sprintf("the files as they were are in %s; the next run of edge, or of certbot, puts them back", u.dir(u.at)))
	}
	for _, argv := range commands(u.server) {
		e.ByHand = append(e.ByHand, "then run: "+strings.Join(argv, " "))
	}
	return e
}

func (u *run) brokenBefore(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	return u.within(ctx, u.server.Test) != nil
}

// undo puts everything back, and has the server take it where it may have seen
// something else. It goes on when ctx has ended.
func (u *run) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if there, err := u.pending(u.at); err != nil || !there {
		return err // all was put back, but for an error after that
	}
	back, err := u.revert(ctx, u.dir(u.at), &u.done)
	if back != nil {
		u.warnings = append(u.warnings, back.notes...)
	}
	if err != nil {
		return err
	}
	// The checkpoint stays until the server has been asked, for the case that we die. It
	// goes even if the server refuses: who repairs the files by hand is not to lose that.
	err = errors.Join(back.commandErr, u.activateBefore(ctx))
	if derr := u.discard(u.dir(u.at)); derr != nil {
		if there, perr := u.pending(u.at); there || perr != nil { // else it is gone all the same
			err = errors.Join(err, fmt.Errorf("delete the checkpoint: %w", derr))
		}
	}
	return err
}

func (u *run) activateBefore(ctx context.Context) error {
	before := u.before()
	if !u.asked && look(ctx, before, nil) == nil {
		return nil // it never saw anything else
	}
	err := u.activateTested(ctx, u.server)
	verr := u.verify(ctx, before, nil, true)
	if verr != nil && u.showsNew(ctx, before) {
		verr = nil
	}
	switch {
	case verr != nil:
		return errors.Join(err, fmt.Errorf("the server does not show what it did before: %w", verr))
	case err != nil && len(before) > 0:
		u.warnings = append(u.warnings, fmt.Sprintf("the server goes on showing what it did before, but refused to load it again: %v", err))
		return nil
	}
	return err
}

// showsNew reports whether the only thing that is not as before is the certificate that
// was to be installed. The configuration as it was may name the same files.
func (u *run) showsNew(ctx context.Context, before []*place) bool {
	for i, at := range before {
		relaxed := *at
		relaxed.exact, relaxed.also = false, [32]byte{}
		for _, place := range u.places {
			if place.Endpoint == at.Endpoint && !place.watch {
				relaxed.also = place.want
			}
		}
		before[i] = &relaxed
	}
	if look(ctx, before, nil) != nil {
		return false
	}
	u.warnings = append(u.warnings, "the new certificate is shown all the same: the configuration as it was names its files too, or the server ignored the last reload")
	return true
}

// before are all places that showed a certificate, with that one as what is wanted.
func (u *run) before() []*place {
	var out []*place
	for _, at := range u.places {
		if at.before.err == nil {
			out = append(out, &place{Endpoint: at.Endpoint, want: leafDigest(at.before.leaf), like: at.before.leaf, before: at.before, watch: true, exact: !at.watch})
		}
	}
	return out
}

// causeOf finds what is behind an error, where a place said so.
func causeOf(err error) string {
	var at *placeError
	if errors.As(err, &at) {
		return at.cause()
	}
	return ""
}

// ChangedError names files that somebody changed after a checkpoint was made.
type ChangedError struct {
	Paths []string
	Diff  string // unified: from what is there to what it would become
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s changed since the checkpoint was made; to lose these changes, use --force:\n%s", strings.Join(e.Paths, ", "), e.Diff)
}

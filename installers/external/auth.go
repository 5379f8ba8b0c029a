package external

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"edge"
	"edge/installers/answer"
)

// Authenticator runs the script. Safe for concurrent use; one batch at a time is with
// the script.
type Authenticator struct {
	o  Options
	mu sync.Mutex
	// ours are the challenges that this process has with the script.
	ours []edge.Answer
}

// Name implements target.Authenticator.
func (a *Authenticator) Name() string { return "external" }

// Types implements target.Authenticator.
func (a *Authenticator) Types() []edge.ChallengeType { return slices.Clone(a.o.Types) }

// Present implements target.Authenticator. All files are there before the script is
// called the first time. What a run that was killed left is cleaned up first.
func (a *Authenticator) Present(ctx context.Context, batch []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range batch {
		if err := a.check(one); err != nil {
			return err
		}
	}
	if err := trusted(a.o.Handler); err != nil {
		return err
	}
	a.recover(ctx)
	var envs [][]string
	for _, one := range batch {
		env, err := a.prepare(one)
		if err != nil {
			return fmt.Errorf("external: files for the script: %w", err)
		}
		envs = append(envs, env)
	}
	if err := a.call(ctx, "pre-perform", nil, true); err != nil {
		return err
	}
	for _, env := range envs {
		if err := a.call(ctx, "perform", env, false); err != nil {
			return err
		}
	}
	return a.call(ctx, "post-perform", nil, true)
}

func (a *Authenticator) check(one edge.Answer) error {
	if !slices.Contains(a.o.Types, one.Type) {
		return fmt.Errorf("external: the script is not said to answer %s", one.Type)
	}
	if id, err := edge.ParseIdentifier(one.Identifier.Value); err != nil || id != one.Identifier || id.IsWildcard() && one.Type != edge.DNS01 {
		return fmt.Errorf("external: %q is no name that the script can be told", one.Identifier.Value)
	}
	if err := answer.Words(one); err != nil {
		return fmt.Errorf("external: %w", err)
	}
	return nil
}

// Ready implements target.Authenticator: the script is done when the answers can be seen.
func (a *Authenticator) Ready(context.Context, []edge.Answer) error { return nil }

// Cleanup implements target.Authenticator: for those of the batch that the script may
// know of.
func (a *Authenticator) Cleanup(ctx context.Context, batch []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var known []edge.Answer
	for _, one := range batch {
		if slices.Contains(a.ours, one) {
			known = append(known, one)
		}
	}
	if len(known) == 0 {
		return nil
	}
	errs := []error{a.cleanup(ctx, known)}
	for _, one := range known {
		errs = append(errs, a.forget(one))
		a.ours = slices.DeleteFunc(a.ours, func(o edge.Answer) bool { return o == one })
	}
	return errors.Join(errs...)
}

// cleanup goes on after a failure: the other answers have to go as well.
func (a *Authenticator) cleanup(ctx context.Context, batch []edge.Answer) error {
	if err := trusted(a.o.Handler); err != nil {
		return err
	}
	errs := []error{a.call(ctx, "pre-cleanup", nil, true)}
	for _, one := range batch {
		errs = append(errs, a.call(ctx, "cleanup", cleanupEnv(one), true))
	}
	return errors.Join(append(errs, a.call(ctx, "post-cleanup", nil, true))...)
}

// recover has the script clean up what an earlier run left. That it cannot is no reason
// to prove nothing any more: it is asked once.
func (a *Authenticator) recover(ctx context.Context) {
	left := a.left()
	if len(left) == 0 {
		return
	}
	var names []string
	for _, one := range left {
		names = append(names, one.Identifier.Value)
	}
	a.o.Log.Warn("a run was interrupted, the script is told to clean up for "+strings.Join(names, ", "), "component", "external")
	errs := []error{a.cleanup(ctx, left)}
	for _, one := range left {
		errs = append(errs, a.forget(one))
	}
	if err := errors.Join(errs...); err != nil {
		a.o.Log.Warn("what an interrupted run left is perhaps still there", "component", "external", "error", err)
	}
}

package installers

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"edge/internal/durable"
)

// Runner carries plans out. Who calls it holds the locks of the work folder and of the
// server's folder (internal/flock) from before the plan is made, and has called Recover
// since. Not safe for concurrent use.
type Runner struct {
	// Work is certbot's work folder: /var/lib/letsencrypt.
	Work    string
	Durable durable.Writer
	// Verify is how long a server may take to show what it has to; zero: 10 seconds.
	Verify time.Duration
	Log    *slog.Logger     // nil: none
	Now    func() time.Time // nil: time.Now

	// settle is for how long all has to be well where what is looked at may be the same in
	// the old configuration, since a reload takes its time; zero: 0.3 seconds.
	settle time.Duration
	step   time.Duration // zero: stepTimeout
}

// undoTimeout is for taking everything back, whatever ended the run.
const undoTimeout = 5 * time.Minute

// stepTimeout is for a server's test or activation, and for each command.
const stepTimeout = time.Minute

// Outcome is what came of a plan that was carried out.
type Outcome struct {
	Checkpoint string   // the name in backups, empty where there was nothing to write
	Activated  bool     // false where all was shown already
	Verified   int      // endpoints and checks that showed what they had to
	Warnings   []string // for people, beside those of the plan
}

// run is one plan on its way through the steps.
type run struct {
	*Runner
	server Server
	plan   *Plan
	at     string // the checkpoint's folder while it is in progress
	record *record
	places []*place
	// telling: see there.
	telling  bool
	noted    bool // the checkpoint is there: from now on there is something to undo
	done     progress
	asked    bool // the server may have seen what was staged
	back     bool // it takes checkpoints back
	warnings []string
}

// Apply carries a plan out, or leaves everything as it was: the error is a *StepError
// then. The certificate is that of the request; with Deploy it is looked at first (key,
// chain, names, dates, who can read the key). A plan that is empty makes no checkpoint;
// where the server does not show the certificate yet, it is activated all the same,
// since what its configuration names may have been renewed.
func (t *Runner) Apply(ctx context.Context, s Server, p *Plan, r Request) (*Outcome, error) {
	u := &run{Runner: t, server: s, plan: p, at: dirInProgress}
	leaf, err := u.precheck(r)
	if err != nil {
		return nil, u.fail(ctx, Precheck, err)
	}
	u.look(ctx, leaf)
	// Where it shows what it has to, the server is left alone. Where there is nothing to
	// look at, it may run with what was there before a renewal.
	if p.Empty() && !u.telling && (!r.Deploy || len(p.Serves) > 0) {
		return u.outcome("", false), nil
	}
	if step, err := u.carryOut(ctx); err != nil {
		if cause := certificateChanged(r, leaf); cause != nil {
			err = errors.Join(err, cause)
		}
		return nil, u.fail(ctx, step, err)
	}
	if p.Empty() {
		return u.outcome("", true), nil
	}
	name, err := t.finish(p.Forget)
	if err != nil {
		if there, perr := t.pending(dirInProgress); there || perr != nil {
			return nil, u.fail(ctx, Commit, err)
		}
		u.warnings = append(u.warnings, fmt.Sprintf("all is done, but a power cut might take it back: %v", err))
	}
	if p.Forget {
		if err := t.follow(p); err != nil {
			u.warnings = append(u.warnings, fmt.Sprintf("all is done, but a rollback of earlier changes will want --force: %v", err))
		}
	}
	t.log().Info("the configuration of a server was changed", "component", "installers", "target", s.Name(), "checkpoint", name)
	return u.outcome(name, true), nil
}

func (u *run) outcome(checkpoint string, activated bool) *Outcome {
	return &Outcome{Checkpoint: checkpoint, Activated: activated, Verified: len(u.places) + len(u.plan.Checks), Warnings: u.warnings}
}

// precheck finds all that can be found before anything is changed.
func (u *run) precheck(r Request) (leaf *x509.Certificate, err error) {
	switch {
	case r.Leaf != nil:
		leaf = r.Leaf
	case r.Deploy:
		leaf, err = precheck(r.Certificate, r.Names, u.now())
	case r.Certificate.chainPath() != "":
		var chain []*x509.Certificate
		if chain, err = r.Certificate.load(); err == nil {
			leaf = chain[0]
		}
	}
	if err != nil {
		return nil, err
	}
	return leaf, u.checkStart()
}

// checkStart refuses to begin on top of something unfinished, or a plan that cannot be
// carried out now.
func (u *run) checkStart() error {
	if err := checkPlan(u.plan); err != nil || u.plan.Empty() && !u.back {
		return err
	}
	for _, name := range []string{dirInProgress, dirRolledBack, u.at} {
		if there, err := u.pending(name); err != nil || there {
			return errors.Join(err, fmt.Errorf("an earlier run was not finished, see %s: it has to be recovered first", u.dir(name)))
		}
	}
	protected, err := u.protected()
	if err != nil {
		return err
	}
	for _, path := range protected {
		for _, c := range u.plan.Changes {
			if c.Path == path {
				return &overwriteError{path}
			}
		}
	}
	folders := map[string]bool{}
	for _, c := range u.plan.Changes {
		if err := checkNow(c, folders); err != nil {
			return err
		}
	}
	return nil
}

// overwriteError is in certbot's words.
type overwriteError struct{ path string }

func (e *overwriteError) Error() string {
	return "Attempting to overwrite challenge file - " + e.path
}

// look finds out what the server shows before it is changed.
func (u *run) look(ctx context.Context, leaf *x509.Certificate) {
	u.places = places(ctx, u.plan, leaf)
	u.telling = telling(ctx, u.places, u.plan.Checks)
	u.record = &record{Version: 1, Titles: u.plan.Titles, Ran: u.plan.Commands}
	u.record.belongs(u.server)
	for _, at := range u.places {
		if at.before.err == nil {
			u.record.Places = append(u.record.Places, placeBefore{at.Endpoint, at.watch})
		}
	}
	for _, e := range slices.Concat(u.plan.Serves, u.plan.Watch) {
		if !slices.Contains(u.record.Looked, e.Addr) {
			u.record.Looked = append(u.record.Looked, e.Addr)
		}
	}
}

// carryOut goes from Stage to Verify.
func (u *run) carryOut(ctx context.Context) (Step, error) {
	if !u.plan.Empty() || u.back {
		if err := u.prepare(u.record, u.plan.Changes, u.at); err != nil {
			// The last step of it may have failed after all the others.
			u.noted, _ = u.pending(u.at)
			return Stage, fmt.Errorf("write the journal: %w", explain(err))
		}
		u.noted = true
		if err := u.stage(ctx); err != nil {
			return Stage, err
		}
	}
	if err := u.within(ctx, u.server.Test); err != nil {
		return Test, err
	}
	u.asked = true
	if err := u.within(ctx, u.server.Activate); err != nil {
		return Activate, err
	}
	wanted := slices.DeleteFunc(slices.Clone(u.places), func(at *place) bool { return at.free })
	if err := u.verify(ctx, wanted, u.plan.Checks, u.telling); err != nil {
		return Verify, err
	}
	return "", nil
}

// within gives a step of a server its time.
func (t *Runner) within(ctx context.Context, step func(context.Context) error) error {
	timeout := cmp.Or(t.step, stepTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it has not ended after %v", timeout))
	defer cancel()
	return step(ctx)
}

// certificateChanged reports that the file has another certificate by now.
func certificateChanged(r Request, leaf *x509.Certificate) error {
	if leaf == nil || r.Leaf != nil {
		return nil
	}
	if chain, err := r.Certificate.load(); err != nil || !chain[0].Equal(leaf) {
		return fmt.Errorf("%s has been changed while the server was: run the command again", r.Certificate.chainPath())
	}
	return nil
}

// Temporary carries a plan out that is taken back soon, for a challenge: nothing is
// left of it when undo has returned without error. Undo may be called when ctx has
// ended, has a deadline of its own, and does nothing the second time. When Temporary
// fails, all is as it was. One is active at a time.
func (t *Runner) Temporary(ctx context.Context, s Server, p *Plan) (undo func(context.Context) error, err error) {
	u := &run{Runner: t, server: s, plan: p, at: dirTemporary}
	if err := u.checkStart(); err != nil {
		return nil, u.fail(ctx, Precheck, err)
	}
	u.look(ctx, nil)
	if step, err := u.carryOut(ctx); err != nil {
		return nil, u.fail(ctx, step, err)
	}
	done := p.Empty()
	return func(ctx context.Context) error {
		if done {
			return nil
		}
		u.warnings = nil
		err := u.undo(ctx)
		for _, note := range u.warnings {
			t.log().Warn(note, "component", "installers", "target", s.Name())
		}
		done = err == nil
		return err
	}, nil
}

func (t *Runner) log() *slog.Logger {
	if t.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return t.Log
}

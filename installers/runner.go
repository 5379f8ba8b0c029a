package installers

import (
	"context"
	"errors"
	"log/slog"
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
	Log    *slog.Logger // nil: none
	Now    func() time.Time
}

// Finder returns the server of a name that is noted in the journal ("nginx"), nil where
// it is not known. The name is empty for what certbot noted, which does not say whose
// it is.
type Finder func(server string) Server

// Outcome is what came of a plan that was carried out.
type Outcome struct {
	Checkpoint string   // the name in backups, empty where there was nothing to write
	Activated  bool     // false where all was shown already
	Verified   int      // endpoints and checks that showed what they had to
	Warnings   []string // for people
}

// Apply carries a plan out, or leaves everything as it was: the error is a *StepError
// then. The certificate is that of the request; with Deploy it is looked at first (key,
// chain, names, dates, who can read the key). A plan that is empty makes no checkpoint;
// where the server does not show the certificate yet, it is activated all the same,
// since what its configuration names may have been renewed.
func (t *Runner) Apply(ctx context.Context, s Server, p *Plan, r Request) (*Outcome, error) {
	return nil, errors.New("apply: not built yet")
}

// Temporary carries a plan out that is taken back soon, for a challenge: nothing is
// left of it when undo has returned without error. Undo may be called when ctx has
// ended, has a deadline of its own, and does nothing the second time. When Temporary
// fails, all is as it was. One is active at a time.
func (t *Runner) Temporary(ctx context.Context, s Server, p *Plan) (undo func(context.Context) error, err error) {
	return nil, errors.New("temporary: not built yet")
}

// Recovered is something unfinished that Recover took back.
type Recovered struct {
	Checkpoint string // "temp_checkpoint", "IN_PROGRESS"
	Server     string // empty where certbot left it behind, or it was not noted
	Titles     []string
	Paths      []string // files that are as they were before
	// Err says why the server was not activated: it may still run with what was taken back.
	Err error
}

// Recover takes back what a run that died left behind, temporary changes first, and
// has the servers concerned take the files that are back. Everyone who is about to
// change something calls it first. An error means that files could not be put back.
func (t *Runner) Recover(ctx context.Context, find Finder) ([]Recovered, error) {
	return nil, errors.New("recover: not built yet")
}

// RolledBack is what Rollback did.
type RolledBack struct {
	Checkpoints []Checkpoint // that are taken back, newest first
	Warnings    []string     // "Unable to rollback 3 checkpoints, only 1 exist"
}

// Rollback takes the newest n checkpoints back, whoever made them, tests and activates,
// and keeps everything as it is where a server refuses what was: the error is a
// *StepError. Where files have been changed since, the error is a *ChangedError unless
// force is true.
func (t *Runner) Rollback(ctx context.Context, n int, find Finder, force bool) (*RolledBack, error) {
	return nil, errors.New("rollback: not built yet")
}

// Checkpoint is one that was finished.
type Checkpoint struct {
	Name   string // "1700000000.123456"
	Time   time.Time
	Server string // empty where certbot made it
	Titles []string
	Paths  []string
}

// Checkpoints returns those that can be taken back, newest first.
func (t *Runner) Checkpoints() ([]Checkpoint, error) {
	return nil, errors.New("checkpoints: not built yet")
}

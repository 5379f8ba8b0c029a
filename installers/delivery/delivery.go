package delivery

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"edge/installers"
	"edge/internal/durable"
)

// Target is where a certificate goes.
type Target interface {
	// Kind is as in the configuration: "files".
	Kind() string
	// Where tells targets of one kind apart: a folder, a command line.
	Where() string
	// Settings are all that shapes what is put, but for secrets. Where they differ from
	// those of the last time, the certificate is put anew.
	Settings() string
	// Look says what of the target is not as it was put, a line each; data is what the
	// last Put returned, nil where there was none. It changes nothing.
	Look(ctx context.Context, m *Material, data json.RawMessage) ([]string, error)
	// Put puts the certificate there. After an error, all is as it was, but for what a
	// *Later says.
	Put(ctx context.Context, m *Material, data json.RawMessage) (Change, error)
	// Plan says what Put would do, a line each, for people.
	Plan(ctx context.Context, m *Material) []string
}

// Change is what Put did and can take back. Undo is nil where nothing can; both are
// called at most once, and one of them.
type Change struct {
	Data   json.RawMessage
	Undo   func(ctx context.Context) error
	Commit func(ctx context.Context) error // nil: nothing to tidy up
	// Verified says that the target looked at the live server itself.
	Verified bool
	Warnings []string // for people
}

// Placed is a Target that knows itself where the live server shows the certificate: the
// engine looks there as well as where Item.Verify says.
type Placed interface {
	Target
	// Places are endpoints with the names that they are to be asked for. They are asked for
	// after Put and after Undo as well as before; data is as in Look, or what Put returned.
	Places(ctx context.Context, m *Material, data json.RawMessage) ([]installers.Endpoint, error)
}

// Asking is a Target whose Look asks the live server itself.
type Asking interface {
	Target
	// Asked reports whether the last Look did: there may have been no place to ask at.
	Asked() bool
}

// Patient is a Target that takes long to show a certificate.
type Patient interface {
	Target
	// Within is how long that may usually be.
	Within() time.Duration
}

// Item is a delivery that the configuration wants.
type Item struct {
	Name   string // of the lineage, or the host of a site
	Target Target
	// Reload is run after the certificate was put, without a shell; empty: nothing.
	Reload []string
	// Verify is where the live server has to show it, without names; empty: nobody looks.
	Verify []installers.Endpoint
	// Within is how long the server may take to show it; zero: as the target says (Patient),
	// else 10 seconds.
	Within time.Duration
}

// State is the one word for how a delivery stands.
type State string

// The states.
const (
	InSync     State = "in_sync"    // put, and shown by the live server
	Unverified State = "unverified" // put; nothing says where to look
	Pending    State = "pending"    // to be put: the first time, or a new certificate; or to be used later
	Drifted    State = "drifted"    // put, but something is not as it was put, or is not shown
	Failed     State = "failed"     // the last attempt failed; the next run tries again
	Waiting    State = "waiting"    // there is no certificate yet
)

// Result is how a delivery stands.
type Result struct {
	Name   string `json:"name"`
	Target string `json:"target"`
	Where  string `json:"where"`
	State  State  `json:"state"`
	// Reasons are why it is not in sync, Actions what Apply does about it.
	Reasons   []string  `json:"reasons,omitempty"`
	Actions   []string  `json:"actions,omitempty"`
	SHA256    string    `json:"sha256,omitempty"` // of the leaf that is wanted
	Changed   bool      `json:"changed,omitempty"`
	Delivered time.Time `json:"delivered,omitzero"`
	Verified  time.Time `json:"verified,omitzero"`
	Attempt   time.Time `json:"attempt,omitzero"`
	Failures  int       `json:"failures,omitempty"` // in a row
	Error     string    `json:"error,omitempty"`
	Later     string    `json:"later,omitempty"` // why it is pending, where nothing is wrong: see type Later
	Next      time.Time `json:"next,omitzero"`   // not before then is it tried again by itself
	Err       error     `json:"-"`               // that of this attempt, as it came
}

// OK reports whether nothing is wrong as far as anybody can see.
func (r *Result) OK() bool {
	return r.State == InSync || r.State == Unverified || r.State == Waiting || r.State == Pending && r.Later != ""
}

// Engine makes deliveries. One process at a time: whoever calls Apply has the lock of
// Dir (internal/flock). Not safe for concurrent use.
type Engine struct {
	Dir     string // of the records; only its owner can read it
	Durable durable.Writer
	Reload  time.Duration // how long a reload may take; zero: a minute
	// Run runs a program to its end: installers.Run.
	Run func(ctx context.Context, argv []string) (output string, err error)
	Now func() time.Time
	Log *slog.Logger // nil: none
	// BackOff leaves alone for a while what failed lately with the same certificate, the
	// longer the more often.
	BackOff bool
}

func (e *Engine) log() *slog.Logger {
	if e.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return e.Log
}

// verified reports whether the engine looks at the live server.
func (it *Item) verified() bool {
	_, placed := it.Target.(Placed)
	return placed || len(it.Verify) > 0
}

// asks reports whether the target looks at the live server.
func (it *Item) asks() bool {
	_, asking := it.Target.(Asking)
	return asking
}

func (it *Item) within() time.Duration {
	usual := 10 * time.Second
	if p, ok := it.Target.(Patient); ok {
		usual = p.Within()
	}
	return or(it.Within, usual)
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

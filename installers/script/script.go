package script

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"edge/installers/delivery"
)

// Style is how a program is told of the certificate.
type Style string

// The styles.
const (
	// Certbot: RENEWED_LINEAGE is the folder, RENEWED_DOMAINS the names with blanks
	// between them (certbot: hooks.py).
	Certbot Style = "certbot"
	// ACMESh: five arguments: name, key, leaf, chain, fullchain (acme.sh: deploy/*.sh).
	ACMESh Style = "acme.sh"
)

// DefaultTimeout is Options.Timeout where that is zero.
const DefaultTimeout = 10 * time.Minute

// Options are what a Target is made of.
type Options struct {
	Command []string // argv
	Style   Style
	Timeout time.Duration
	// Run runs a program to its end: installers.Run.
	Run func(ctx context.Context, argv []string) (output string, err error)
}

// Target is a program. It implements delivery.Target.
type Target struct{ o Options }

var _ delivery.Target = (*Target)(nil)

// New checks the options.
func New(o Options) (*Target, error) {
	if len(o.Command) == 0 || o.Command[0] == "" {
		return nil, errors.New("exec: no program is named")
	}
	if o.Style != Certbot && o.Style != ACMESh {
		return nil, fmt.Errorf("exec %s: style %q is not known", o.Command[0], o.Style)
	}
	if o.Style == Certbot && strings.Contains(o.Command[0], "=") {
		return nil, fmt.Errorf("exec %s: env would take the name of this program for a variable; give it another", o.Command[0])
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return &Target{o}, nil
}

// Kind implements delivery.Target.
func (t *Target) Kind() string { return "exec" }

// Where implements delivery.Target.
func (t *Target) Where() string { return strings.Join(t.o.Command, " ") }

// Settings implements delivery.Target.
func (t *Target) Settings() string { return string(t.o.Style) }

// Look implements delivery.Target: nothing can be seen.
func (t *Target) Look(context.Context, *delivery.Material, json.RawMessage) ([]string, error) {
	return nil, nil
}

// Plan implements delivery.Target.
func (t *Target) Plan(_ context.Context, m *delivery.Material) []string {
	return []string{"run " + strings.Join(t.argv(m), " ")}
}

// argv is the whole command line. Variables are set by env(1), so that what a message
// shows can be tried in a shell as it is, but for quotes.
func (t *Target) argv(m *delivery.Material) []string {
	names := m.Hosts
	if t.o.Style == Certbot {
		return slices.Concat([]string{"env", "RENEWED_LINEAGE=" + m.Live, "RENEWED_DOMAINS=" + strings.Join(names, " ")}, t.o.Command)
	}
	name := m.Name
	if len(names) > 0 {
		name = names[0]
	}
	return append(slices.Clone(t.o.Command), name,
		filepath.Join(m.Live, "privkey.pem"), filepath.Join(m.Live, "cert.pem"), filepath.Join(m.Live, "chain.pem"), filepath.Join(m.Live, "fullchain.pem"))
}

// Put implements delivery.Target. What a program did that failed later is not known:
// it is run again by the next delivery.
func (t *Target) Put(ctx context.Context, m *delivery.Material, _ json.RawMessage) (delivery.Change, error) {
	if m.Live == "" {
		return delivery.Change{}, fmt.Errorf("exec %s: there is no folder with the certificate", t.o.Command[0])
	}
	ctx, cancel := context.WithTimeoutCause(ctx, t.o.Timeout, fmt.Errorf("it took longer than %s", t.o.Timeout))
	defer cancel()
	if _, err := t.o.Run(ctx, t.argv(m)); err != nil {
		return delivery.Change{}, fmt.Errorf("exec: %w", err)
	}
	return delivery.Change{}, nil
}

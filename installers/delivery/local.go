package delivery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"edge/installers"
)

// Planner is a server on this machine that says what has to change so that it shows a
// certificate.
type Planner interface {
	installers.Server
	// Root is the folder of the server's configuration, which is locked while a plan is
	// made and carried out.
	Root() string
	// Settings are as in Target.
	Settings() string
	// Plan says what has to change so that the server shows the certificate for the hosts
	// of the material; where all is there already, it is empty but for Serves. It sets
	// Change.Secret where a key is in a file, and Forget where what was there before must
	// not be kept.
	Plan(ctx context.Context, m *Material) (*installers.Plan, error)
}

// Local is a Target whose plan is carried out by the transaction of package installers.
type Local struct {
	Planner Planner
	Runner  *installers.Runner
	// Lock keeps others out and takes back what they left unfinished.
	Lock func(ctx context.Context, s installers.Server, root string) (release func() error, err error)
	// Verify is where the certificate has to be shown, beside the places of the plan;
	// without names.
	Verify []installers.Endpoint
	Within time.Duration // how long the server may take; zero: 10 seconds

	asked bool // by the last Look
}

var _ Asking = (*Local)(nil)

// Kind implements Target.
func (l *Local) Kind() string { return l.Planner.Name() }

// Where implements Target. Servers that share a folder each say where they are: what is
// remembered of one is not to be taken for what was done to another.
func (l *Local) Where() string {
	if p, ok := l.Planner.(interface{ Where() string }); ok {
		return p.Where()
	}
	return l.Planner.Root()
}

// Settings implements Target.
func (l *Local) Settings() string { return l.Planner.Settings() }

func (l *Local) plan(ctx context.Context, m *Material) (*installers.Plan, error) {
	p, err := l.Planner.Plan(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.Kind(), err)
	}
	p.Serves = append(slices.Clone(p.Serves), Asked(l.Verify, m)...)
	return p, nil
}

// Look implements Target.
func (l *Local) Look(ctx context.Context, m *Material, _ json.RawMessage) ([]string, error) {
	p, err := l.plan(ctx, m)
	if err != nil {
		return nil, err
	}
	var list []string
	l.asked = false
	for _, c := range p.Changes {
		list = append(list, c.Path+" is not as it should be")
	}
	if len(p.Changes) == 0 && !p.Empty() {
		list = append(list, l.Kind()+" is not configured with it")
	}
	for _, e := range p.Serves {
		if e.Leaf != [32]byte{} {
			continue // another certificate, which is not ours to judge
		}
		l.asked = true
		if why := wrong(ctx, e, m.Certs[0]); why != "" {
			list = append(list, why)
		}
	}
	return list, nil
}

// Asked implements Asking.
func (l *Local) Asked() bool { return l.asked }

// Plan implements Target.
func (l *Local) Plan(ctx context.Context, m *Material) []string {
	p, err := l.plan(ctx, m)
	if err != nil {
		return []string{"nothing can be planned: " + err.Error()}
	}
	return planned(p, l.Planner)
}

// Show prints the plan with the differences of files, without keys.
func (l *Local) Show(ctx context.Context, m *Material, w io.Writer) error {
	p, err := l.plan(ctx, m)
	if err != nil {
		return err
	}
	return installers.Show(w, p, l.Planner)
}

// Put implements Target. The transaction takes back what failed itself.
func (l *Local) Put(ctx context.Context, m *Material, _ json.RawMessage) (c Change, err error) {
	release, err := l.Lock(ctx, l.Planner, l.Planner.Root())
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, release()) }()
	p, err := l.plan(ctx, m)
	if err != nil {
		return c, err
	}
	later := l.later(ctx, p, m)
	if later != nil {
		if !later.There {
			return c, later
		}
		p.Serves, p.Watch, p.Checks = nil, nil, nil // they show what they did
	}
	runner := *l.Runner
	runner.Verify = cmp.Or(l.Within, runner.Verify)
	out, err := runner.Apply(ctx, l.Planner, p, installers.Request{Names: m.Hosts, Leaf: m.Certs[0]})
	if err != nil {
		return c, err
	}
	c.Verified = len(p.Serves) > 0
	c.Warnings = append(slices.Clone(p.Warnings), out.Warnings...)
	if later != nil {
		return c, later
	}
	return c, nil
}

// later says why the server must not be asked now, nil where it may be or need not.
func (l *Local) later(ctx context.Context, p *installers.Plan, m *Material) *Later {
	t, ok := l.Planner.(Timed)
	if !ok {
		return nil
	}
	later := t.Later()
	if later == nil || !p.Empty() {
		return later
	}
	for _, e := range p.Serves {
		if e.Leaf == [32]byte{} && wrong(ctx, e, m.Certs[0]) != "" {
			return later
		}
	}
	return nil
}

// planned are a plan's steps, a line each.
func planned(p *installers.Plan, s installers.Server) []string {
	var list []string
	for _, w := range p.Warnings {
		list = append(list, "warning: "+w)
	}
	for _, note := range p.Notes {
		// Of what certbot says afterwards, beforehand.
		if rest, did := strings.CutPrefix(note, "Successfully deployed "); did {
			note = "deploy the " + rest
		}
		list = append(list, note)
	}
	for _, c := range p.Commands {
		list = append(list, "run "+strings.Join(c.Do, " "))
	}
	for _, c := range p.Changes {
		list = append(list, "change "+c.Path)
	}
	test, activate := s.Commands()
	for _, argv := range [][]string{test, activate} {
		if len(argv) > 0 {
			list = append(list, "run "+strings.Join(argv, " "))
		}
	}
	for _, e := range p.Serves {
		list = append(list, fmt.Sprintf("look whether %s shows it", e))
	}
	return list
}

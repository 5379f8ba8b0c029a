package plesk

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

// Authenticator answers challenges. Safe for concurrent use; one batch at a time is with
// Plesk.
type Authenticator struct {
	o     Options
	panel *panel

	mu sync.Mutex
	// ours are what this process has put there, or may have.
	ours []entry
}

// entry is an answer and where it is.
type entry struct {
	answer edge.Answer
	site   *site
	host   string // of a record, relative to the site's zone
	// htaccess says that the file beside the answer is ours as well.
	htaccess bool
}

// Name implements target.Authenticator.
func (a *Authenticator) Name() string { return "plesk" }

// Types implements target.Authenticator.
func (a *Authenticator) Types() []edge.ChallengeType { return slices.Clone(a.o.Challenges) }

// Present implements target.Authenticator.
func (a *Authenticator) Present(ctx context.Context, batch []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range batch {
		if err := a.check(one); err != nil {
			return err
		}
	}
	a.recover(ctx)
	for _, one := range batch {
		e, err := a.find(ctx, one)
		if err != nil {
			return err
		}
		if one.Type == edge.DNS01 {
			if err = a.begin(e); err == nil {
				_, err = a.record(ctx, e, true)
			}
		} else {
			err = a.write(ctx, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin notes an entry, before anything of it is there.
func (a *Authenticator) begin(e *entry) error {
	a.ours = append(a.ours, *e)
	return a.note()
}

func (a *Authenticator) check(one edge.Answer) error {
	if !slices.Contains(a.o.Challenges, one.Type) {
		return fmt.Errorf("plesk: %s is not done here", one.Type)
	}
	id, err := edge.ParseIdentifier(one.Identifier.Value)
	if err != nil || id != one.Identifier || id.Type != edge.DNS || id.IsWildcard() && one.Type != edge.DNS01 {
		return fmt.Errorf("plesk: %q is no name that can be proved by %s", one.Identifier.Value, one.Type)
	}
	if err := answer.Words(one); err != nil {
		return fmt.Errorf("plesk: %w", err)
	}
	return nil
}

// find is the site of a name. Zones hold names below them; files of www.X are those of X.
func (a *Authenticator) find(ctx context.Context, one edge.Answer) (*entry, error) {
	name := strings.TrimPrefix(one.Identifier.Value, "*.")
	labels := strings.Split(name, ".")
	for i := range labels {
		if i > 0 && (len(labels)-i < 2 || one.Type == edge.HTTP01 && labels[i-1] != "www") {
			break
		}
		s, err := a.panel.site(ctx, strings.Join(labels[i:], "."))
		if err != nil {
			return nil, err
		}
		if s != nil {
			return &entry{answer: one, site: s, host: strings.Join(append([]string{"_acme-challenge"}, labels[:i]...), ".")}, nil
		}
	}
	return nil, fmt.Errorf("plesk: %s has no site for %s", a.o.Server, name)
}

// Ready implements target.Authenticator.
func (a *Authenticator) Ready(ctx context.Context, batch []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var files []edge.Answer
	for _, e := range a.known(batch) {
		if e.answer.Type == edge.HTTP01 {
			files = append(files, e.answer)
			continue
		}
		if err := a.awaitRecord(ctx, &e); err != nil {
			return err
		}
	}
	return a.awaitFiles(ctx, files)
}

func (a *Authenticator) known(batch []edge.Answer) []entry {
	var list []entry
	for _, e := range a.ours {
		if slices.Contains(batch, e.answer) {
			list = append(list, e)
		}
	}
	return list
}

// Cleanup implements target.Authenticator. What could not be taken away is tried again
// when it is called again.
func (a *Authenticator) Cleanup(ctx context.Context, batch []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for _, e := range a.known(batch) {
		if err := a.takeAway(ctx, &e); err != nil {
			errs = append(errs, err)
			continue
		}
		a.ours = slices.DeleteFunc(a.ours, func(o entry) bool { return o.answer == e.answer })
		errs = append(errs, a.note())
	}
	return errors.Join(errs...)
}

func (a *Authenticator) takeAway(ctx context.Context, e *entry) error {
	if e.answer.Type == edge.DNS01 {
		return a.drop(ctx, e)
	}
	return a.erase(ctx, e)
}

package gandi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"edge"
	"edge/installers/answer"
	"edge/installers/api"
)

// Authenticator proves control of names by DNS-01. Safe for concurrent use.
type Authenticator struct {
	o   Options
	api *api.Client

	mu sync.Mutex
	// ours are the records that this process has put, or may have, by their answers.
	ours []entry
}

// entry is a value of an RRset.
type entry struct {
	answer     edge.Answer
	zone, name string // "example.org", "_acme-challenge.www"
}

func (e *entry) value() string { return edge.DNS01Value(e.answer.KeyAuth) }

// fqdn is the name of the record, with its dot.
func (e *entry) fqdn() string { return recordName(e.answer) + "." }

func recordName(a edge.Answer) string {
	return "_acme-challenge." + strings.TrimPrefix(a.Identifier.Value, "*.")
}

// Name implements target.Authenticator.
func (a *Authenticator) Name() string { return "gandi" }

// Types implements target.Authenticator.
func (a *Authenticator) Types() []edge.ChallengeType { return []edge.ChallengeType{edge.DNS01} }

// Present implements target.Authenticator.
func (a *Authenticator) Present(ctx context.Context, batch []edge.Answer) error {
	for _, one := range batch {
		if err := check(one); err != nil {
			return err
		}
	}
	zones := map[string]string{}
	for _, one := range batch {
		zone, name, err := a.find(ctx, recordName(one), zones)
		if err != nil {
			return err
		}
		e := entry{one, zone, name}
		a.mu.Lock()
		a.ours = append(a.ours, e)
		a.mu.Unlock()
		if err := a.ensure(ctx, &e); err != nil {
			return err
		}
	}
	return nil
}

func check(one edge.Answer) error {
	if one.Type != edge.DNS01 {
		return fmt.Errorf("gandi: %s is not done here", one.Type)
	}
	if id, err := edge.ParseIdentifier(one.Identifier.Value); err != nil || id != one.Identifier || id.Type != edge.DNS {
		return fmt.Errorf("gandi: %q is no name", one.Identifier.Value)
	}
	if err := answer.Words(one); err != nil {
		return fmt.Errorf("gandi: %w", err)
	}
	return nil
}

// known are the entries of a batch.
func (a *Authenticator) known(batch []edge.Answer) []entry {
	a.mu.Lock()
	defer a.mu.Unlock()
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
	var errs []error
	for _, e := range a.known(batch) {
		if err := a.drop(ctx, &e); err != nil {
			errs = append(errs, err)
			continue
		}
		a.mu.Lock()
		a.ours = slices.DeleteFunc(a.ours, func(o entry) bool { return o == e })
		a.mu.Unlock()
	}
	return errors.Join(errs...)
}

package acmeglue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"edge"
)

// order returns an order for what is wanted: one that an earlier process left
// unfinished, where the CA still has it, else a new one.
func (i *Issuer) order(ctx context.Context, wanted acme.Order) (acme.Order, acme.Account, error) {
	for again := false; ; again = true {
		account, err := i.accountFor(ctx)
		if err != nil {
			return acme.Order{}, account, err
		}
		if order, ok := i.recallOrder(ctx, account, wanted); ok {
			return order, account, nil
		}
		order, err := i.newOrder(ctx, account, wanted)
		var problem acme.Problem
		if errors.As(err, &problem) && problem.Type == acme.ProblemTypeAccountDoesNotExist && !again {
			i.dropAccount(ctx, account)
			continue
		}
		if err != nil {
			return order, account, fmt.Errorf("new order: %w", err)
		}
		i.rememberOrder(ctx, wanted, order.Location, account)
		return order, account, nil
	}
}

func (i *Issuer) newOrder(ctx context.Context, account acme.Account, wanted acme.Order) (acme.Order, error) {
	order, err := i.client.NewOrder(ctx, account, wanted)
	var problem acme.Problem
	if errors.As(err, &problem) && wanted.Replaces != "" &&
		problem.Type != acme.ProblemTypeRateLimited && problem.Type != acme.ProblemTypeAccountDoesNotExist {
		// The certificate was replaced by another order, belongs to another
		// account, or the CA does not know it any more: renewing it is right all
		// the same, and whatever else is wrong the next answer says.
		wanted.Replaces = ""
		return i.client.NewOrder(ctx, account, wanted)
	}
	return order, err
}

// savedOrder is an order under way, in storage.
type savedOrder struct {
	Location    string            `json:"location"`
	Account     string            `json:"account"`
	Profile     string            `json:"profile,omitempty"`
	Identifiers []acme.Identifier `json:"identifiers"`
}

func (i *Issuer) orderKey(ids []acme.Identifier) string {
	sum := sha256.New()
	for _, id := range ids {
		fmt.Fprintf(sum, "%s %s\n", id.Type, id.Value)
	}
	return path.Join("edge", "orders", i.key, hex.EncodeToString(sum.Sum(nil)[:16])+".json")
}

func (i *Issuer) rememberOrder(ctx context.Context, wanted acme.Order, location string, a acme.Account) {
	// The profile as asked for: the CA answers with the one that it chose.
	b, err := json.Marshal(savedOrder{location, a.Location, wanted.Profile, wanted.Identifiers})
	if err == nil {
		err = i.o.Storage.Store(ctx, i.orderKey(wanted.Identifiers), b)
	}
	if err != nil {
		i.log.Warn("the order cannot be remembered; a restart now would cost another one", "error", err)
	}
}

func (i *Issuer) forgetOrder(ctx context.Context, o acme.Order) {
	if err := i.o.Storage.Delete(context.WithoutCancel(ctx), i.orderKey(o.Identifiers)); err != nil {
		i.log.Warn("forget a finished order", "error", err)
	}
}

// recallOrder finds an unfinished order. One that has been finalized already is
// of no use: its certificate belongs to a key that is gone.
func (i *Issuer) recallOrder(ctx context.Context, a acme.Account, wanted acme.Order) (acme.Order, bool) {
	b, err := i.o.Storage.Load(ctx, i.orderKey(wanted.Identifiers))
	if err != nil {
		return acme.Order{}, false
	}
	var s savedOrder
	if json.Unmarshal(b, &s) != nil || s.Account != a.Location || s.Profile != wanted.Profile || !slices.Equal(s.Identifiers, wanted.Identifiers) {
		return acme.Order{}, false
	}
	o, err := i.client.GetOrder(ctx, a, acme.Order{Location: s.Location})
	usable := err == nil && (o.Status == acme.StatusPending || o.Status == acme.StatusReady) &&
		(o.Expires.IsZero() || o.Expires.After(i.o.Now().Add(time.Minute)))
	if !usable {
		i.forgetOrder(ctx, wanted)
		return acme.Order{}, false
	}
	o.Location = s.Location
	i.log.Info("going on with an unfinished order", "order", s.Location)
	return o, true
}

// validationError is an authorization that the CA refused.
type validationError struct {
	identifier string
	challenge  edge.ChallengeType
	problem    error
}

func (e *validationError) Error() string {
	return fmt.Sprintf("validation of %s by %s: %v", e.identifier, e.challenge, e.problem)
}

func (e *validationError) Unwrap() error { return e.problem }

// retryable reports whether another challenge could do better.
func (e *validationError) retryable() bool {
	var p acme.Problem
	if !errors.As(e.problem, &p) {
		return true
	}
	return p.Type != acme.ProblemTypeCAA && p.Type != acme.ProblemTypeRateLimited && p.Type != acme.ProblemTypeRejectedIdentifier
}

// task is one authorization under way.
type task struct {
	authz     acme.Authorization
	id        edge.Identifier
	challenge acme.Challenge
	kind      edge.ChallengeType
}

// authorize answers one challenge for each authorization of the order and waits
// until the CA has accepted all. Answers are taken away in all cases.
func (i *Issuer) authorize(ctx context.Context, a acme.Account, o *acme.Order, types []edge.ChallengeType) (used edge.ChallengeType, err error) {
	var tasks []*task
	defer func() {
		for _, t := range tasks {
			i.cleanup(ctx, t)
		}
		var failed *validationError
		if errors.As(err, &failed) && ctx.Err() == nil {
			i.deactivate(ctx, a, tasks)
		}
	}()
	for _, url := range o.Authorizations {
		authz, err := i.client.GetAuthorization(ctx, a, url)
		if err != nil {
			return used, fmt.Errorf("authorization %s: %w", url, err)
		}
		if authz.Status == acme.StatusValid {
			continue
		}
		t, err := chooseChallenge(authz, types)
		if err != nil {
			return used, err
		}
		if err := i.present(ctx, t); err != nil {
			return used, &validationError{t.id.Value, t.kind, err}
		}
		tasks = append(tasks, t)
		used = t.kind
	}
	for _, t := range tasks {
		if err := i.wait(ctx, t); err != nil {
			return used, &validationError{t.id.Value, t.kind, err}
		}
	}
	for _, t := range tasks {
		if _, err := i.client.InitiateChallenge(ctx, a, t.challenge); err != nil {
			return used, fmt.Errorf("challenge %s: %w", t.challenge.URL, err)
		}
	}
	for _, t := range tasks {
		if err := i.await(ctx, a, t); err != nil {
			return used, err
		}
	}
	return used, nil
}

// chooseChallenge takes the first type that both sides have. Wildcards can only
// be validated by DNS-01, addresses never.
func chooseChallenge(authz acme.Authorization, types []edge.ChallengeType) (*task, error) {
	id := edge.Identifier{Type: edge.IdentifierType(authz.Identifier.Type), Value: authz.Identifier.Value}
	var offered []string
	for _, c := range authz.Challenges {
		offered = append(offered, c.Type)
	}
	for _, kind := range types {
		if authz.Wildcard && kind != edge.DNS01 || id.Type == edge.IP && kind == edge.DNS01 {
			continue
		}
		for _, c := range authz.Challenges {
			if c.Type == string(kind) {
				return &task{authz: authz, id: id, challenge: c, kind: kind}, nil
			}
		}
	}
	return nil, fmt.Errorf("%w for %s: the CA offers %v, allowed are %v", errNoChallenge, authz.IdentifierValue(), offered, types)
}

var errNoChallenge = errors.New("no common challenge type")

func (t *task) answer() edge.Answer {
	return edge.Answer{Type: t.kind, Identifier: t.id, Token: t.challenge.Token, KeyAuth: t.challenge.KeyAuthorization}
}

func (i *Issuer) present(ctx context.Context, t *task) error {
	if t.kind == edge.DNS01 {
		if i.dns == nil {
			return errors.New("dns-01 needs acme.dns in the configuration")
		}
		return i.dns.Present(ctx, t.challenge)
	}
	return i.o.Registry.Put(t.answer())
}

func (i *Issuer) wait(ctx context.Context, t *task) error {
	if t.kind == edge.DNS01 {
		return i.dns.Wait(ctx, t.challenge)
	}
	return nil
}

func (i *Issuer) cleanup(ctx context.Context, t *task) {
	if t.kind != edge.DNS01 {
		i.o.Registry.Remove(t.answer())
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := i.dns.CleanUp(ctx, t.challenge); err != nil {
		i.log.Error("a DNS-01 record could not be removed; remove it by hand", "name", t.challenge.DNS01TXTRecordName(), "error", err)
	}
}

// deactivate gives up authorizations of a failed order: pending ones count
// against the account's limit.
func (i *Issuer) deactivate(ctx context.Context, a acme.Account, tasks []*task) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for _, t := range tasks {
		if t.authz.Status == acme.StatusPending {
			_, _ = i.client.DeactivateAuthorization(ctx, a, t.authz.Location)
		}
	}
}

// await polls an authorization until the CA has made up its mind.
func (i *Issuer) await(ctx context.Context, a acme.Account, t *task) error {
	authz, err := i.client.PollAuthorization(ctx, a, t.authz)
	t.authz.Status = authz.Status
	if err == nil {
		return nil
	}
	var p acme.Problem
	if !errors.As(err, &p) && authz.Status != acme.StatusInvalid {
		return fmt.Errorf("authorization of %s: %w", t.id.Value, err)
	}
	return &validationError{t.id.Value, t.kind, err}
}

package acmeglue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"edge"
)

// task is one authorization under way.
type task struct {
	authz     acme.Authorization
	id        edge.Identifier // without the "*." of a wildcard
	challenge acme.Challenge
	kind      edge.ChallengeType
}

// ordered is the identifier as it was ordered.
func (t *task) ordered() edge.Identifier {
	return edge.Identifier{Type: t.id.Type, Value: t.authz.IdentifierValue()}
}

func (t *task) answer() edge.Answer {
	return edge.Answer{Type: t.kind, Identifier: t.id, Token: t.challenge.Token, KeyAuth: t.challenge.KeyAuthorization}
}

// authorize answers one challenge for each authorization of the order and waits
// until the CA has decided on all of them.
func (a *attempt) authorize(ctx context.Context, account acme.Account, order *acme.Order) (used edge.ChallengeType, err error) {
	tasks, err := a.tasks(ctx, account, order)
	if err != nil || len(tasks) == 0 {
		return "", err
	}
	used = tasks[len(tasks)-1].kind
	err = a.prove(ctx, account, tasks)
	var failed *AuthorizationError
	if errors.As(err, &failed) && ctx.Err() == nil {
		a.i.deactivate(ctx, account, tasks)
	}
	return used, err
}

// errDead says that an authorization of an order can not become valid any more.
var errDead = errors.New("its authorization is of no use")

// tasks lists what is not authorized yet, in the CA's order.
func (a *attempt) tasks(ctx context.Context, account acme.Account, order *acme.Order) ([]*task, error) {
	var tasks []*task
	var dead AuthorizationError
	for _, url := range order.Authorizations {
		authz, err := a.i.client.GetAuthorization(ctx, account, url)
		if err != nil {
			return nil, fmt.Errorf("authorization %s: %w", url, err)
		}
		switch authz.Status {
		case acme.StatusValid:
			continue
		case acme.StatusPending:
		default:
			t := &task{authz: authz, id: identifierOf(authz)}
			f := failedTask(t, fmt.Errorf("%w: %s", errDead, authz.Status))
			dead.Failed = append(dead.Failed, f)
			continue
		}
		t, err := chooseChallenge(authz, a.types)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, t)
	}
	if len(dead.Failed) > 0 {
		return nil, &dead
	}
	return tasks, nil
}

// prove has the authenticator answer, and the CA look. Answers are taken away in
// all cases: after a failure, at the end of ctx, and when an authenticator panics.
func (a *attempt) prove(ctx context.Context, account acme.Account, tasks []*task) error {
	batch := make([]edge.Answer, len(tasks))
	for n, t := range tasks {
		batch[n] = t.answer()
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		if err := a.auth.Cleanup(ctx, slices.Clone(batch)); err != nil {
			a.i.log.Error("answers to challenges were left behind", "authenticator", a.auth.Name(), "name", a.name(), "error", err)
		}
	}()
	if err := a.auth.Present(ctx, slices.Clone(batch)); err != nil {
		return failedBatch(tasks, err)
	}
	if err := a.auth.Ready(ctx, slices.Clone(batch)); err != nil {
		return failedBatch(tasks, err)
	}
	if a.i.o.BeforeAnswer != nil {
		if err := a.i.o.BeforeAnswer(ctx, slices.Clone(batch)); err != nil {
			return err
		}
	}
	for _, t := range tasks {
		if t.challenge.Status != acme.StatusPending {
			continue // an earlier process has answered, and the CA is at it
		}
		if _, err := a.i.client.InitiateChallenge(ctx, account, t.challenge); err != nil {
			return fmt.Errorf("challenge %s: %w", t.challenge.URL, err)
		}
	}
	// All are waited for: people want to know of all that failed.
	var failed AuthorizationError
	for _, t := range tasks {
		bad, err := a.i.await(ctx, account, t)
		if err != nil {
			return err
		}
		if bad != nil {
			failed.Failed = append(failed.Failed, failedTask(t, bad))
		}
	}
	if len(failed.Failed) > 0 {
		return &failed
	}
	return nil
}

// cleanupTime bounds how long answers are being taken away.
const cleanupTime = time.Minute

// await polls an authorization until the CA has made up its mind. bad is what
// the CA found wrong.
func (i *Issuer) await(ctx context.Context, account acme.Account, t *task) (bad, err error) {
	authz, err := i.client.PollAuthorization(ctx, account, t.authz)
	t.authz.Status = authz.Status
	switch authz.Status {
	case acme.StatusValid, acme.StatusInvalid, acme.StatusDeactivated, acme.StatusExpired, acme.StatusRevoked:
		return err, nil
	}
	if err != nil {
		return nil, fmt.Errorf("authorization of %s: %w", t.ordered(), err)
	}
	return nil, nil
}

// deactivate gives up authorizations of a failed order: pending ones count
// against the account's limit.
func (i *Issuer) deactivate(ctx context.Context, account acme.Account, tasks []*task) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for _, t := range tasks {
		if t.authz.Status == acme.StatusPending {
			_, _ = i.client.DeactivateAuthorization(ctx, account, t.authz.Location)
		}
	}
}

// deactivateValid gives up those authorizations of an order that are valid, and
// says how many they were.
func (i *Issuer) deactivateValid(ctx context.Context, account acme.Account, order acme.Order) (n int, err error) {
	for _, url := range order.Authorizations {
		authz, err := i.client.GetAuthorization(ctx, account, url)
		if err != nil {
			return n, fmt.Errorf("authorization %s: %w", url, err)
		}
		if authz.Status != acme.StatusValid {
			continue
		}
		if _, err := i.client.DeactivateAuthorization(ctx, account, url); err != nil {
			i.log.Warn("an authorization could not be renewed; this dry run may show less than it should",
				"name", authz.IdentifierValue(), "error", err)
			continue
		}
		n++
	}
	return n, nil
}

func identifierOf(authz acme.Authorization) edge.Identifier {
	return edge.Identifier{Type: edge.IdentifierType(authz.Identifier.Type), Value: authz.Identifier.Value}
}

// chooseChallenge takes the first type that both sides have. Wildcards can only
// be validated by DNS-01, addresses never.
func chooseChallenge(authz acme.Authorization, types []edge.ChallengeType) (*task, error) {
	id := identifierOf(authz)
	var offered []edge.ChallengeType
	for _, c := range authz.Challenges {
		offered = append(offered, edge.ChallengeType(c.Type))
	}
	for _, kind := range types {
		if authz.Wildcard && kind != edge.DNS01 || id.Type == edge.IP && kind == edge.DNS01 {
			continue
		}
		if n := slices.Index(offered, kind); n >= 0 {
			return &task{authz: authz, id: id, challenge: authz.Challenges[n], kind: kind}, nil
		}
	}
	return nil, &NoChallengeError{Identifier: edge.Identifier{Type: id.Type, Value: authz.IdentifierValue()}, Offered: offered, Allowed: types}
}

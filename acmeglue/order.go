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

// attempt is one call of Issue.
type attempt struct {
	i      *Issuer
	o      Order
	auth   Authenticator
	types  []edge.ChallengeType // still to be tried, in order of preference
	wanted acme.Order
	demand string
	open   *unfinished // the order under way
	old    bool        // it was left by another process
	fresh  bool        // valid authorizations were given up already
}

func (i *Issuer) attempt(o Order) (*attempt, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	a := &attempt{i: i, o: o, auth: i.auth, types: o.Challenges}
	if o.Authenticator != nil {
		a.auth = o.Authenticator
	}
	able := a.auth.Types()
	switch {
	case len(a.types) > 0:
	case o.Authenticator == nil && len(i.o.Challenges) > 0:
		a.types = i.o.Challenges
	default:
		a.types = able
	}
	a.types = slices.DeleteFunc(slices.Clone(a.types), func(t edge.ChallengeType) bool { return !slices.Contains(able, t) })
	var err error
	a.demand, err = o.demand()
	for _, id := range o.Identifiers {
		a.wanted.Identifiers = append(a.wanted.Identifiers, acme.Identifier{Type: string(id.Type), Value: id.Value})
	}
	return a, err
}

// name is what the log calls the order.
func (a *attempt) name() string { return a.o.Identifiers[0].Value }

// run is the whole way to a certificate. Challenge types are tried in order of
// preference: where validation by one of them fails, the next order uses the others.
func (a *attempt) run(ctx context.Context) (*Issued, error) {
	dir, err := a.i.client.GetDirectory(ctx)
	if err != nil {
		return nil, err
	}
	if a.wanted.Profile, err = chooseProfile(dir, firstOf(a.o.Profile, a.i.o.Profile), a.o.PreferredProfile); err != nil {
		return nil, err
	}
	if dir.RenewalInfo != "" && len(a.o.Replaces) > 0 {
		if leaf, err := parseLeaf(a.o.Replaces); err == nil {
			a.wanted.Replaces, _ = acme.ARIUniqueIdentifier(leaf)
		}
	}
	var before error
	for {
		order, account, err := a.order(ctx)
		if err != nil {
			return nil, err
		}
		var used edge.ChallengeType
		if order.Status == acme.StatusPending || order.Status == acme.StatusReady {
			used, err = a.authorize(ctx, account, &order)
		}
		if err == nil {
			issued, err := a.finish(ctx, account, order)
			if errors.Is(err, errSameAgain) {
				continue
			}
			if err != nil {
				return nil, err
			}
			issued.Challenge = used
			return issued, nil
		}
		var failed *AuthorizationError
		var none *NoChallengeError
		switch {
		case errors.As(err, &none) && before != nil:
			return nil, before // says more
		case !errors.As(err, &failed) || ctx.Err() != nil:
			// The order is still good for the next attempt, or the next process.
			return nil, err
		}
		a.forget(ctx)
		if a.old && errors.Is(err, errDead) {
			continue
		}
		tried := failed.retryable()
		a.types = slices.DeleteFunc(a.types, func(t edge.ChallengeType) bool { return slices.Contains(tried, t) })
		if len(tried) == 0 || len(a.types) == 0 || a.o.FirstOnly {
			return nil, err
		}
		before = err
		a.i.log.Warn("validation failed, trying another challenge", "name", a.name(), "challenge", fmt.Sprint(tried), "error", err)
	}
}

// order returns an order for what is wanted: one that was left unfinished, where
// the CA still has it, else a new one.
func (a *attempt) order(ctx context.Context) (acme.Order, acme.Account, error) {
	for again := false; ; again = true {
		account, err := a.i.accountFor(ctx)
		if err != nil {
			return acme.Order{}, account, err
		}
		order, ok := a.recall(ctx, account)
		a.old = ok
		if !ok {
			if order, err = a.place(ctx, account); err == nil {
				a.open = &unfinished{Location: order.Location, Account: account.Location, Profile: a.wanted.Profile, Identifiers: a.wanted.Identifiers}
				a.remember(ctx)
			}
		}
		var problem acme.Problem
		if errors.As(err, &problem) && problem.Type == acme.ProblemTypeAccountDoesNotExist && !again && !a.i.o.NoRegister {
			a.i.dropAccount(ctx, account)
			continue
		}
		if err != nil {
			return order, account, fmt.Errorf("new order: %w", refused(err))
		}
		if a.o.DeactivateValid && !a.fresh {
			n, err := a.i.deactivateValid(ctx, account, order)
			if err != nil {
				return order, account, err
			}
			if a.fresh = true; n > 0 {
				a.forget(ctx)
				continue
			}
		}
		return order, account, nil
	}
}

// place has the CA make a new order.
func (a *attempt) place(ctx context.Context, account acme.Account) (acme.Order, error) {
	a.i.pruned.Do(func() {
		if a.i.o.Storage != nil {
			a.i.prune(ctx)
		}
	})
	order, err := a.i.client.NewOrder(ctx, account, a.wanted)
	var problem acme.Problem
	if errors.As(err, &problem) && a.wanted.Replaces != "" &&
		problem.Type != acme.ProblemTypeRateLimited && problem.Type != acme.ProblemTypeAccountDoesNotExist {
		// The certificate was replaced by another order, belongs to another
		// account, or the CA does not know it any more: renewing it is right all
		// the same, and whatever else is wrong the next answer says.
		plain := a.wanted
		plain.Replaces = ""
		return a.i.client.NewOrder(ctx, account, plain)
	}
	return order, err
}

// errSameAgain says that an order of an earlier process has led to the very
// certificate that is to be replaced.
var errSameAgain = errors.New("the certificate is the one to be replaced")

// finish finalizes an order whose authorizations are valid, and downloads the
// certificate.
func (a *attempt) finish(ctx context.Context, account acme.Account, order acme.Order) (*Issued, error) {
	if d := a.i.o.IssuanceTimeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, errIssuance)
		defer cancel()
	}
	csr, key, err := a.request(ctx)
	if err != nil {
		return nil, err
	}
	if order, err = a.i.finalize(ctx, account, order, csr); err != nil {
		if order.Status == acme.StatusInvalid {
			a.forget(ctx) // it will never come to anything
		}
		return nil, timedOut(ctx, fmt.Errorf("finalize order %s: %w", order.Location, refused(err)))
	}
	chains, err := a.i.client.GetCertificateChain(ctx, account, order.Certificate)
	if err != nil {
		return nil, timedOut(ctx, fmt.Errorf("download certificate %s: %w", order.Certificate, err))
	}
	issued, err := a.issued(chains, key)
	if err != nil {
		a.forget(ctx)
		return nil, fmt.Errorf("order %s: %w", order.Location, err)
	}
	if old, err := parseLeaf(a.o.Replaces); err == nil && old.Equal(issued.Leaf) {
		a.forget(ctx)
		return nil, errSameAgain
	}
	issued.Account, issued.Order, issued.Profile = account.Location, order.Location, a.wanted.Profile
	if a.o.Hold {
		issued.done = a.forget
	} else {
		a.forget(ctx)
	}
	return issued, nil
}

var errIssuance = errors.New("the CA took too long to issue the certificate; the next attempt goes on with the order")

// timedOut says which limit it was that ended ctx.
func timedOut(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errIssuance) {
		return fmt.Errorf("%w: %w", errIssuance, err)
	}
	return err
}

// finalize has the CA issue. An answer that got lost on its way is no failure:
// the order knows how far it has come.
func (i *Issuer) finalize(ctx context.Context, account acme.Account, order acme.Order, csr []byte) (acme.Order, error) {
	location := order.Location
	var first error
	if order.Status == acme.StatusPending || order.Status == acme.StatusReady {
		done, err := i.client.FinalizeOrder(ctx, account, order, csr)
		if done.Location = location; err == nil || done.Status == acme.StatusInvalid || ctx.Err() != nil {
			return done, err
		}
		first = err
	}
	ended := time.Now().Add(5 * time.Minute)
	for {
		got, err := i.client.GetOrder(ctx, account, acme.Order{Location: location})
		got.Location = location
		switch {
		case err != nil:
			return got, errors.Join(first, err)
		case got.Status == acme.StatusValid:
			return got, nil
		case got.Status != acme.StatusProcessing && first != nil:
			return got, first
		case got.Status != acme.StatusProcessing:
			return got, fmt.Errorf("its status is %s: %w", got.Status, problemError(got.Error))
		case time.Now().After(ended):
			return got, errors.New("it took too long")
		}
	}
}

func problemError(p *acme.Problem) error {
	if p == nil {
		return errors.New("the CA does not say why")
	}
	return *p
}

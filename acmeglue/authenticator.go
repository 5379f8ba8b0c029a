package acmeglue

import (
	"context"
	"errors"
	"slices"

	"edge"
)

// Authenticator proves control of identifiers by one means. A batch is all that
// one order needs, in the order in which the CA lists its authorizations. Safe
// for concurrent use.
type Authenticator interface {
	// Name is as in certbot's renewal files: "webroot".
	Name() string
	// Types are those that it can do here, in its order of preference.
	Types() []edge.ChallengeType
	// Present puts the answers where a CA looks for them. An error that concerns
	// some of them only is an *AuthorizationError, which names these.
	Present(ctx context.Context, batch []edge.Answer) error
	// Ready waits until a CA can see the answers.
	Ready(ctx context.Context, batch []edge.Answer) error
	// Cleanup takes the answers away. It is called with the batch of Present
	// whatever happens: also after an error of Present, which may have come
	// before some of the batch was put anywhere, and after the end of the
	// context that Present had.
	Cleanup(ctx context.Context, batch []edge.Answer) error
}

// registryAuthenticator answers from the registry of a front door in this process.
type registryAuthenticator struct{ registry *Registry }

// NewRegistryAuthenticator answers from a Registry.
func NewRegistryAuthenticator(r *Registry) Authenticator { return registryAuthenticator{r} }

func (a registryAuthenticator) Name() string { return "edge" }

func (a registryAuthenticator) Types() []edge.ChallengeType {
	return []edge.ChallengeType{edge.TLSALPN01, edge.HTTP01, edge.TLSSNI01}
}

func (a registryAuthenticator) Present(_ context.Context, batch []edge.Answer) error {
	for n, answer := range batch {
		if err := a.registry.Put(answer); err != nil {
			// What was not put must not be removed: another order may have put the same.
			a.remove(batch[:n])
			return AnswerFailed(err, answer)
		}
	}
	return nil
}

func (a registryAuthenticator) Ready(context.Context, []edge.Answer) error { return nil }

func (a registryAuthenticator) Cleanup(_ context.Context, batch []edge.Answer) error {
	a.remove(batch)
	return nil
}

func (a registryAuthenticator) remove(batch []edge.Answer) {
	for _, answer := range batch {
		a.registry.Remove(answer)
	}
}

// Combine is several authenticators in one: the first that can do a challenge of a
// type does it.
func Combine(name string, parts ...Authenticator) Authenticator {
	return &composite{name: name, parts: parts}
}

// composite picks one of several authenticators by the type of a challenge.
type composite struct {
	name  string
	parts []Authenticator
}

func (c *composite) Name() string { return c.name }

func (c *composite) Types() []edge.ChallengeType {
	var types []edge.ChallengeType
	for _, p := range c.parts {
		types = append(types, p.Types()...)
	}
	return types
}

// each calls f with every part that has a share in the batch.
func (c *composite) each(batch []edge.Answer, f func(Authenticator, []edge.Answer) error) error {
	for _, p := range c.parts {
		types := p.Types()
		share := slices.DeleteFunc(slices.Clone(batch), func(a edge.Answer) bool { return !slices.Contains(types, a.Type) })
		if len(share) == 0 {
			continue
		}
		if err := f(p, share); err != nil {
			return err
		}
	}
	return nil
}

func (c *composite) Present(ctx context.Context, batch []edge.Answer) error {
	return c.each(batch, func(a Authenticator, share []edge.Answer) error { return a.Present(ctx, share) })
}

func (c *composite) Ready(ctx context.Context, batch []edge.Answer) error {
	return c.each(batch, func(a Authenticator, share []edge.Answer) error { return a.Ready(ctx, share) })
}

func (c *composite) Cleanup(ctx context.Context, batch []edge.Answer) error {
	var errs []error
	_ = c.each(batch, func(a Authenticator, share []edge.Answer) error {
		errs = append(errs, a.Cleanup(ctx, share))
		return nil // the others all the same
	})
	return errors.Join(errs...)
}

// noDNS says what is missing where the configuration names DNS-01 alone.
type noDNS struct{}

var errNoDNS = errors.New("dns-01 needs acme.dns in the configuration")

func (noDNS) Name() string                                 { return "dns" }
func (noDNS) Types() []edge.ChallengeType                  { return []edge.ChallengeType{edge.DNS01} }
func (noDNS) Present(context.Context, []edge.Answer) error { return errNoDNS }
func (noDNS) Ready(context.Context, []edge.Answer) error   { return nil }
func (noDNS) Cleanup(context.Context, []edge.Answer) error { return nil }

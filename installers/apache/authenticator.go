package apache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"edge"
	"edge/installers"
)

// AuthenticatorOptions say how control of names is proved.
type AuthenticatorOptions struct {
	// Runner carries the changes out and takes them back. Its locks are for whoever
	// calls Present.
	Runner              *installers.Runner
	HTTPPort, HTTPSPort uint16 // where the CA's requests arrive; 0: 80, 443
	// ConfigDir and WorkDir are certbot's: /etc/letsencrypt, /var/lib/letsencrypt.
	ConfigDir, WorkDir string
	// TLSSNI allows TLS-SNI-01, for private CAs.
	TLSSNI bool
}

// Authenticator has Apache answer HTTP-01, and TLS-SNI-01 where it is allowed, for as
// long as a CA looks. Safe for concurrent use; one batch at a time has its answers.
type Authenticator struct {
	apache *Apache
	o      AuthenticatorOptions

	mu   sync.Mutex
	undo func(context.Context) error // nil: nothing is presented
}

// Authenticator returns one that uses this Apache.
func (a *Apache) Authenticator(o AuthenticatorOptions) *Authenticator {
	return &Authenticator{apache: a, o: o}
}

// Name returns "apache".
func (a *Authenticator) Name() string { return "apache" }

// Types returns HTTP-01, and TLS-SNI-01 where it is allowed.
func (a *Authenticator) Types() []edge.ChallengeType {
	if a.o.TLSSNI {
		return []edge.ChallengeType{edge.HTTP01, edge.TLSSNI01}
	}
	return []edge.ChallengeType{edge.HTTP01}
}

// Present changes the configuration, reloads Apache, and returns when the running one
// gives every answer. When it fails, all is as it was.
func (a *Authenticator) Present(ctx context.Context, batch []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.undo != nil {
		return errors.New("apache: the answers of another order are still there")
	}
	plan, err := a.apache.planAnswers(ctx, batch, a.o)
	if err != nil {
		return err
	}
	a.undo, err = a.o.Runner.Temporary(ctx, a.apache, plan)
	return err
}

// Ready has nothing to wait for: Present has seen the answers.
func (a *Authenticator) Ready(context.Context, []edge.Answer) error { return nil }

// Cleanup puts every byte back and reloads Apache.
func (a *Authenticator) Cleanup(ctx context.Context, _ []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.undo == nil {
		return nil
	}
	err := a.undo(ctx)
	if err == nil {
		a.undo = nil
	}
	return err
}

// checkAnswer refuses what must not get into a configuration or a path: it comes from
// the network.
func checkAnswer(answer edge.Answer, o AuthenticatorOptions) error {
	odd := func(more string) func(r rune) bool {
		return func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(more, r)
		}
	}
	name := answer.Identifier.Value
	switch {
	case answer.Type != edge.HTTP01 && (answer.Type != edge.TLSSNI01 || !o.TLSSNI):
		return fmt.Errorf("apache cannot answer %s for %s", answer.Type, name)
	case answer.Identifier.Type != edge.DNS || answer.Identifier.IsWildcard():
		return fmt.Errorf("apache can prove control of single names only, not of %s", name)
	case name == "" || strings.ContainsFunc(name, odd("-._")):
		return fmt.Errorf("%q is not a name that Apache can be asked for", name)
	case answer.Token == "" || len(answer.Token) > 200 || strings.ContainsFunc(answer.Token, odd("-_")):
		return fmt.Errorf("the CA's token for %s is not base64url", name)
	case answer.KeyAuth == "" || len(answer.KeyAuth) > 1024 || strings.ContainsFunc(answer.KeyAuth, odd("-_.")):
		return fmt.Errorf("the key authorization for %s is not made of base64url", name)
	}
	return nil
}

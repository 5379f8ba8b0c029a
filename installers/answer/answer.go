package answer

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"edge"
	"edge/installers"
)

// Options say how control of names is proved.
type Options struct {
	// Runner carries the changes out and takes them back. Its locks are for whoever
	// calls Present.
	Runner              *installers.Runner
	HTTPPort, HTTPSPort uint16 // where the CA's requests arrive; 0: 80, 443
	// ConfigDir and WorkDir are certbot's: /etc/letsencrypt, /var/lib/letsencrypt.
	ConfigDir, WorkDir string
	// TLSSNI allows TLS-SNI-01, for private CAs.
	TLSSNI bool
}

// Planner says what has to change for a server to answer, and what has to be seen then.
// It puts every answer through Check first.
type Planner func(ctx context.Context, batch []edge.Answer, o Options) (*installers.Plan, error)

// Authenticator has a server answer HTTP-01, and TLS-SNI-01 where it is allowed. Safe
// for concurrent use; one batch at a time has its answers.
type Authenticator struct {
	server installers.Server
	plan   Planner
	o      Options

	mu   sync.Mutex
	undo func(context.Context) error // nil: nothing is presented
	over bool                        // Cleanup could not undo that
}

// New returns an Authenticator for a server.
func New(s installers.Server, plan Planner, o Options) *Authenticator {
	return &Authenticator{server: s, plan: plan, o: o}
}

// Name returns that of the server.
func (a *Authenticator) Name() string { return a.server.Name() }

// Types returns HTTP-01, and TLS-SNI-01 where it is allowed.
func (a *Authenticator) Types() []edge.ChallengeType {
	if a.o.TLSSNI {
		return []edge.ChallengeType{edge.HTTP01, edge.TLSSNI01}
	}
	return []edge.ChallengeType{edge.HTTP01}
}

// Present changes the configuration, has the server take it, and returns when the
// running one gives every answer. When it fails, all is as it was. What an earlier
// Cleanup could not do comes first: one reload that failed is not to end all that follows.
func (a *Authenticator) Present(ctx context.Context, batch []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		if err := a.takeBack(ctx); err != nil {
			return fmt.Errorf("%s: the answers of another order are still there: %w", a.Name(), err)
		}
	}
	if a.undo != nil {
		return fmt.Errorf("%s: the answers of another order are still there", a.Name())
	}
	plan, err := a.plan(ctx, batch, a.o)
	if err != nil {
		return err
	}
	a.undo, err = a.o.Runner.Temporary(ctx, a.server, plan)
	return err
}

// Ready has nothing to wait for: Present has seen the answers.
func (a *Authenticator) Ready(context.Context, []edge.Answer) error { return nil }

// Cleanup puts every byte back and has the server take it.
func (a *Authenticator) Cleanup(ctx context.Context, _ []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.undo == nil {
		return nil
	}
	return a.takeBack(ctx)
}

// takeBack is called with the mutex held.
func (a *Authenticator) takeBack(ctx context.Context) error {
	err := a.undo(ctx)
	if a.over = err != nil; !a.over {
		a.undo = nil
	}
	return err
}

// maxToken is what fits into the name of a file, with room.
const maxToken = 200

// Check refuses what a server cannot answer, and what must not get into a configuration
// or a path: it comes from the network.
func Check(server string, answer edge.Answer, o Options) error {
	name := answer.Identifier.Value
	switch {
	case answer.Type != edge.HTTP01 && (answer.Type != edge.TLSSNI01 || !o.TLSSNI):
		return fmt.Errorf("%s cannot answer %s for %s", server, answer.Type, name)
	case answer.Identifier.Type != edge.DNS || answer.Identifier.IsWildcard():
		return fmt.Errorf("%s can prove control of single names only, not of %s", server, name)
	case name == "" || strings.ContainsFunc(name, odd("-._")):
		return fmt.Errorf("%q is not a name that %s can be asked for", name, server)
	}
	return Words(answer)
}

// Words refuses a token or a key authorization that no CA sends: they are base64url (RFC
// 8555 sections 8.1 and 8.3), and so do no harm in a path, a command or a configuration.
func Words(answer edge.Answer) error {
	name := answer.Identifier.Value
	switch {
	case answer.Token == "" || len(answer.Token) > maxToken || strings.ContainsFunc(answer.Token, odd("-_")):
		return fmt.Errorf("the CA's token for %s is not base64url", name)
	case answer.KeyAuth == "" || len(answer.KeyAuth) > 1024 || strings.ContainsFunc(answer.KeyAuth, odd("-_.")):
		return fmt.Errorf("the key authorization for %s is not made of base64url", name)
	}
	return nil
}

// odd finds what is neither a letter or digit of ASCII nor one of more.
func odd(more string) func(r rune) bool {
	return func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(more, r)
	}
}

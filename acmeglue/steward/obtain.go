package steward

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"

	"edge/acmeglue"
	"edge/acmeglue/authenticator"
	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// job is one lineage on its way: one that is there, or one to be.
type job struct {
	o    *certbotcli.Options // with what the lineage's renewal file says
	l    *lineage.Lineage    // nil: a new one
	name string              // wanted for a new one; "": from the first name
	to   display.Display     // in a run over many, texts of each stay together

	names []string
}

func (j *job) notify(format string, args ...any) { j.to.Notify(fmt.Sprintf(format, args...), false) }

// hooks are the commands of the lineage.
func (j *job) hooks() HookCommands {
	return HookCommands{Pre: j.o.PreHook, Deploy: j.o.DeployHook, Post: j.o.PostHook, OnFailure: j.o.OnFailureHook}
}

// obtain gets a certificate, puts it into the tree, tells everybody, and returns
// the lineage; nil after a dry run. Post hooks are the caller's.
func (s *Steward) obtain(ctx context.Context, j *job) (l *lineage.Lineage, err error) {
	defer func() {
		if err != nil {
			_ = s.o.Hooks.OnFailure(context.WithoutCancel(ctx), j.hooks(), j.lineageName(), j.names, err)
		}
	}()
	issuer, err := s.issuer(ctx, j.o)
	if err != nil {
		return nil, err
	}
	// Failing hooks are in Hooks.Err; like certbot, the order goes on.
	_ = s.o.Hooks.Pre(ctx, j.hooks())
	j.announce()
	if j.l != nil {
		if err := s.checkRenewal(j); err != nil {
			return nil, err
		}
	}
	issued, key, err := s.order(ctx, j, issuer)
	if err != nil {
		return nil, s.explain(j, err)
	}
	if j.o.DryRun {
		s.deployHooks(ctx, j, j.l)
		return nil, nil
	}
	// From here on the certificate is there: it is saved even if the run is interrupted.
	ctx = context.WithoutCancel(ctx)
	if l, err = s.save(j, issued, key); err != nil {
		return nil, err
	}
	issued.Done(ctx)
	return l, s.spread(ctx, j, l)
}

// spread tells everybody of a new certificate: deploy hooks, the server that has it in
// its configuration, the front door. None keeps the others from it. Until hooks and
// server have been told, that is owed: the next run that writes does it. The verb run
// installs by itself.
func (s *Steward) spread(ctx context.Context, j *job, l *lineage.Lineage) error {
	ran := s.deployHooks(ctx, j, l)
	var err error
	if j.o.Verb != "run" {
		err = s.reload(ctx, j, l)
	}
	if ran && err == nil {
		if err := s.o.Tree.HooksRan(l.Name()); err != nil {
			s.o.Log.Warn(err.Error())
		}
	}
	return errors.Join(err, s.toDoor(ctx, l))
}

func (j *job) lineageName() string {
	switch {
	case j.l != nil:
		return j.l.Name()
	case j.name != "":
		return j.name
	case len(j.names) > 0:
		return strings.TrimPrefix(j.names[0], "*.")
	}
	return ""
}

func (j *job) announce() {
	says := "Requesting a certificate"
	switch {
	case j.l != nil && j.o.DryRun:
		says = "Simulating renewal of an existing certificate"
	case j.l != nil:
		says = "Renewing an existing certificate"
	case j.o.DryRun:
		says = "Simulating a certificate request"
	}
	j.notify("%s for %s", says, summary(j.names))
}

// deployHooks run for a lineage whose certificate is new; in a dry run, for one
// that is there, they say what they would do. It reports whether they have run.
func (s *Steward) deployHooks(ctx context.Context, j *job, l *lineage.Lineage) bool {
	if l == nil {
		return false
	}
	// As with certbot, hooks that fail do not make the renewal a failure: see Hooks.Err.
	_ = s.o.Hooks.Deploy(ctx, j.hooks(), l.LiveDir(), j.names)
	return !j.o.DryRun && ctx.Err() == nil
}

// checkRenewal refuses renewals that would do harm.
func (s *Steward) checkRenewal(j *job) error {
	params, err := j.l.Params()
	if err != nil {
		return err
	}
	before := params.Server()
	if before == "" {
		before = certbotcli.DefaultServer
	}
	if isStaging(j.o.Server) && !isStaging(before) && !j.o.BreakMyCerts && !j.o.DryRun {
		have, _ := j.l.Names()
		return text(fmt.Sprintf("You've asked to renew/replace a seemingly valid certificate with a test certificate (domains: %s). "+
			"We will not do that unless you use the --break-my-certs flag!", strings.Join(have, ", ")))
	}
	return checkReuse(j.o, j.l, strings.EqualFold(params.Renewal.String("reuse_key"), "true"))
}

// isStaging is certbot's test for servers whose certificates nobody trusts.
func isStaging(server string) bool {
	return server == certbotcli.StagingServer || strings.Contains(server, "staging")
}

// order gets the certificate. With --allow-subset-of-names, names that fail are
// left out, as long as one remains.
func (s *Steward) order(ctx context.Context, j *job, issuer *acmeglue.Issuer) (*acmeglue.Issued, crypto.Signer, error) {
	for {
		issued, key, err := s.orderOnce(ctx, j, issuer)
		var failed *acmeglue.AuthorizationError
		if err == nil || !j.o.AllowSubsetOfNames || !errors.As(err, &failed) || ctx.Err() != nil {
			return issued, key, err
		}
		var bad []string
		for _, f := range failed.Failed {
			bad = append(bad, f.Identifier.Value)
		}
		good := slices.DeleteFunc(slices.Clone(j.names), func(n string) bool { return slices.Contains(bad, n) })
		if len(good) == 0 || len(good) == len(j.names) {
			return nil, nil, err
		}
		j.notify("Unable to obtain a certificate with every requested domain. Retrying without: %s", strings.Join(bad, ", "))
		j.names = good
	}
}

func (s *Steward) orderOnce(ctx context.Context, j *job, issuer *acmeglue.Issuer) (*acmeglue.Issued, crypto.Signer, error) {
	o := acmeglue.Order{
		Profile: j.o.RequiredProf, PreferredProfile: j.o.PreferredProf, PreferredChain: j.o.PreferredChain,
		MustStaple: j.o.MustStaple, DeactivateValid: j.o.DryRun, Hold: !j.o.DryRun,
		// Scripts that were written for one kind of challenge get no other one.
		FirstOnly: s.o.AsCertbot || j.o.Authenticator == manualName,
	}
	var err error
	if o.Identifiers, err = identifiers(j.names); err != nil {
		return nil, nil, err
	}
	if o.Authenticator, err = s.authenticator(ctx, j.o, j.names); err != nil {
		return nil, nil, err
	}
	if o.Challenges, err = types(j.o, o.Authenticator); err != nil {
		return nil, nil, err
	}
	if j.l != nil {
		if o.Key, err = reusedKey(j.o, j.l); err != nil {
			return nil, nil, err
		}
		o.Replaces, _ = j.l.Read(lineage.FullChain)
	}
	if o.Key == nil {
		if o.KeyType, o.Key, err = keyFor(j.o); err != nil {
			return nil, nil, err
		}
	}
	if j.o.Authenticator == manualName || s.offered(j.o.Authenticator).Proves {
		s.exclusive.Lock()
		defer s.exclusive.Unlock()
	}
	if err := s.preflight(ctx, j.o, o); err != nil {
		return nil, nil, err
	}
	issued, err := issuer.Issue(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	key := issued.Key
	if key == nil {
		key = o.Key
	}
	return issued, key, nil
}

// preflight looks, without asking the CA, whether it would find the answers.
func (s *Steward) preflight(ctx context.Context, o *certbotcli.Options, order acmeglue.Order) error {
	if o.NoPreflight || s.o.AsCertbot {
		return nil
	}
	findings := authenticator.Preflight(ctx, order.Authenticator, order.Challenges, order.Identifiers, s.o.Preflight)
	for _, f := range findings {
		if f.Verdict != authenticator.Fine {
			s.o.Log.Info("preflight", "name", f.Identifier.Value, "challenge", f.Challenge, "verdict", f.Verdict, "problem", f.Problem, "fix", f.Fix)
		}
	}
	if err := findings.Err(); err != nil {
		return &preflightError{err}
	}
	return nil
}

// preflightError is a failure that the CA never heard of.
type preflightError struct{ err error }

func (e *preflightError) Error() string {
	return fmt.Sprintf("the CA was not asked, since it would refuse (--no-preflight asks it all the same): %v", e.err)
}
func (e *preflightError) Unwrap() error { return e.err }

// save makes a lineage of what was issued, or a new version of the one there is.
func (s *Steward) save(j *job, issued *acmeglue.Issued, key crypto.Signer) (*lineage.Lineage, error) {
	pem, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	params, err := s.paramsFor(j)
	if err != nil {
		return nil, err
	}
	if j.l == nil {
		return s.o.Tree.Create(lineage.CreateOptions{
			Name: j.lineageName(), Chain: issued.Chain, Key: pem, Params: params, KeyMode: j.o.KeyMode, KeyGroup: j.o.KeyGroup, OweHooks: true,
		})
	}
	reused := j.o.ReuseKey && !j.o.NewKey
	options := lineage.RenewOptions{Chain: issued.Chain, Params: params, OweHooks: true}
	if !reused {
		options.Key = pem
	}
	_, err = j.l.Renew(options)
	return j.l, err
}

package steward

import (
	"context"
	"fmt"

	"edge/acmeglue"
	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// reconfigure changes how a lineage is renewed, once a dry run has shown that it
// would be (certbot 2.3: main.py, reconfigure).
func (s *Steward) reconfigure(ctx context.Context, o *certbotcli.Options) error {
	if len(o.Domains)+len(o.IPs) > 0 {
		return text("You have specified domains, but this function cannot be used to modify the domains in a certificate. If you would like to do so, " +
			"follow the instructions at https://certbot.org/change-cert-domain. Otherwise, remove the domains from the command to continue reconfiguring. " +
			"You can specify which certificate you want on the command line with flag --cert-name instead.")
	}
	if o.CertName == "" {
		all, err := s.o.Tree.Names()
		if err != nil {
			return err
		}
		if o.CertName, err = display.ChooseCert(ctx, s.o.Display, "reconfigure", "", all); err != nil {
			return err
		}
	}
	if !s.o.Tree.Exists(o.CertName) {
		return text(fmt.Sprintf("No certificate found with name %s (expected %s).", o.CertName, s.o.Tree.ConfPath(o.CertName)))
	}
	j, err := s.reconstitute(o, o.CertName)
	if err != nil {
		return err
	}
	if err := s.choosePlugins(ctx, j.o, "certonly"); err != nil {
		return err
	}
	before, err := j.l.Params()
	if err != nil {
		return err
	}
	after, err := s.paramsFor(j)
	if err != nil {
		return err
	}
	if sameSection(before.Renewal, after.Renewal) && sameSection(before.Edge, after.Edge) {
		s.notify("\nNo changes were made to the renewal configuration.")
		return nil
	}
	if err := s.tryRenewal(ctx, j); err != nil {
		return err
	}
	if err := j.l.SetParams(*after); err != nil {
		return err
	}
	s.notify("\nSuccessfully updated configuration.\nChanges will apply when the certificate renews.")
	return nil
}

// sameSection compares two sections whatever the order of their keys, which stay
// where they are when a file is changed.
func sameSection(a, b lineage.Section) bool {
	if len(a) != len(b) {
		return false
	}
	for _, p := range a {
		if p.Sub != nil {
			if !sameSection(p.Sub, b.Sub(p.Key)) {
				return false
			}
		} else if v, ok := b.Get(p.Key); !ok || !v.Equal(p.Value) {
			return false
		}
	}
	return true
}

// tryRenewal is a dry run with the new options, at the CA's staging server where it
// has one. It keeps nothing.
func (s *Steward) tryRenewal(ctx context.Context, j *job) error {
	trial := *j
	trial.o = j.o.Clone()
	trial.o.DryRun = true
	if trial.o.Server == certbotcli.DefaultServer {
		trial.o.Server, trial.o.Account, trial.o.Staging = certbotcli.StagingServer, "", true
		trial.o.RegisterUnsafelyWithoutEmail = true
	}
	trial.to = s.o.Display
	_, err := s.obtain(ctx, &trial)
	_ = s.o.Hooks.Post(context.WithoutCancel(ctx), nil, nil) // see Hooks.Err
	if err != nil {
		if p, ok := acmeglue.ProblemOf(err); ok {
			return &unableError{fmt.Sprintf("the dry run failed (%s), and nothing was changed: %v", p.Type, err), err}
		}
		return fmt.Errorf("the dry run failed, and nothing was changed: %w", err)
	}
	return nil
}

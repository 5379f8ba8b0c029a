package steward

import (
	"context"
	"errors"
	"fmt"

	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
)

// certonly obtains a certificate and installs it nowhere.
func (s *Steward) certonly(ctx context.Context, o *certbotcli.Options) error {
	if err := s.choosePlugins(ctx, o, "certonly"); err != nil {
		return err
	}
	// As with certbot, there is an account before anybody is asked for names.
	if _, err := s.issuer(ctx, o); err != nil {
		return err
	}
	if o.CSR != nil {
		return s.byCSR(ctx, o)
	}
	w, err := s.wanted(ctx, o)
	if err != nil {
		return err
	}
	what, l, err := s.decide(ctx, o, w)
	if err != nil {
		return err
	}
	if what == keep {
		s.o.Log.Info("Keeping the existing certificate")
		s.o.Display.Notify("Certificate not yet due for renewal; no action taken.", true)
		return s.toDoor(ctx, l)
	}
	j := &job{o: o, l: l, name: w.name, names: w.names, to: s.o.Display}
	l, err = s.obtainOne(ctx, j)
	var reloading *reloadError
	if err != nil && !errors.As(err, &reloading) {
		return err
	}
	if err := s.reportNew(o, l); err != nil {
		return err
	}
	if reloading != nil {
		s.o.Display.Heading("NEXT STEPS:")
		s.notify("- The certificate was saved, but was not successfully loaded by the installer (%s) due to the installer failing to reload. "+
			"After fixing the error shown below, try reloading %[1]s manually.", o.Installer)
		s.moreSteps(o)
		s.notify("")
		return err
	}
	s.nextSteps(o, !o.DryRun)
	s.donation(o)
	return nil
}

// obtainOne is obtain with the post hooks that always follow.
func (s *Steward) obtainOne(ctx context.Context, j *job) (*lineage.Lineage, error) {
	l, err := s.obtain(ctx, j)
	renewed, failed := j.names, []string(nil)
	if err != nil {
		renewed, failed = nil, j.names
	}
	_ = s.o.Hooks.Post(context.WithoutCancel(ctx), renewed, failed) // see Hooks.Err
	s.note(j, l, err)
	return l, err
}

// reportNew says where a new certificate is.
func (s *Steward) reportNew(o *certbotcli.Options, l *lineage.Lineage) error {
	if o.DryRun {
		s.notify("The dry run was successful.")
		return nil
	}
	end, err := l.NotAfter()
	if err != nil {
		return err
	}
	scheduled := ""
	switch {
	case interactiveOnly(o):
	case !s.o.AsCertbot:
		scheduled = "\nedge renew renews it when it is due; edge-renew.timer runs that twice a day."
	case o.PreconfiguredRenewal:
		scheduled = "\nCertbot has set up a scheduled task to automatically renew this certificate in the background."
	}
	if o.Verb == "run" {
		scheduled += "\n" // more follows
	}
	s.notify("\nSuccessfully received certificate.\nCertificate is saved at: %s\nKey is saved at:         %s\n"+
		"This certificate expires on %s.\nThese files will be updated when the certificate renews.%s",
		l.Path(lineage.FullChain), l.Path(lineage.PrivKey), end.UTC().Format("2006-01-02"), scheduled)
	return nil
}

// interactiveOnly: nobody will be there at night to do what manual asks for.
func interactiveOnly(o *certbotcli.Options) bool {
	return o.Authenticator == manualName && o.ManualAuthHook == ""
}

func (s *Steward) nextSteps(o *certbotcli.Options, issued bool) {
	if !issued || s.step(o) == "" {
		return
	}
	s.o.Display.Heading("NEXT STEPS:")
	s.moreSteps(o)
}

// moreSteps goes on with a list of steps.
func (s *Steward) moreSteps(o *certbotcli.Options) {
	if step := s.step(o); step != "" {
		s.notify("- %s", step)
	}
}

// step is what is to be done about renewals, empty for nothing.
func (s *Steward) step(o *certbotcli.Options) (step string) {
	switch {
	case o.CSR != nil:
		step = "Certificates created using --csr will not be renewed automatically by Certbot. You will need to renew the certificate before it expires, " +
			"by running the same Certbot command again."
	case interactiveOnly(o):
		step = fmt.Sprintf("This certificate will not be renewed automatically. Autorenewal of --manual certificates requires the use of an authentication hook script "+
			"(--manual-auth-hook) but one was not provided. To renew this certificate, repeat this same %s command before the certificate's expiry date.", s.o.Program)
	case s.o.AsCertbot && !o.PreconfiguredRenewal:
		step = "The certificate will need to be renewed before it expires. Certbot can automatically renew the certificate in the background, " +
			"but you may need to take steps to enable that functionality. See https://certbot.org/renewal-setup for instructions."
	}
	return step
}

// donation is certbot's request, which belongs to certbot.
func (s *Steward) donation(o *certbotcli.Options) {
	if s.o.AsCertbot && !o.Staging && !o.Quiet {
		s.o.Display.Notify("If you like Certbot, please consider supporting our work by:\n"+
			" * Donating to ISRG / Let's Encrypt:   https://letsencrypt.org/donate\n"+
			" * Donating to EFF:                    https://eff.org/donate-le", true)
	}
}

package steward

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// run obtains a certificate and installs it.
func (s *Steward) run(ctx context.Context, o *certbotcli.Options) error {
	if err := s.choosePlugins(ctx, o, "run"); err != nil {
		return lastWord(err)
	}
	server, err := s.webServer(ctx, o.Installer, o)
	if err != nil {
		return lastWord(err)
	}
	if err := s.checkEnhancements(o, server); err != nil {
		return err
	}
	if !o.Plan {
		if _, err := s.issuer(ctx, o); err != nil {
			return err
		}
	}
	w, err := s.wanted(ctx, o)
	if err != nil {
		return err
	}
	what, l, err := s.decide(ctx, o, w)
	if err != nil {
		return err
	}
	in := s.installation(o, w.names)
	in.Deploy = true
	s.enhancements(&in, o, server, true)
	if l != nil {
		in.of(l)
	} else {
		in.willBe(s.o.Tree, (&job{name: w.name, names: w.names}).lineageName())
	}
	if o.Plan {
		if what != keep {
			fmt.Fprintf(s.o.Out, "A certificate is requested for %s.\n", summary(w.names))
		}
		return server.Show(ctx, in, s.o.Out)
	}
	if what != keep {
		// An order that ends in nothing costs a part of the CA's limits. certbot takes it.
		if !s.o.AsCertbot {
			if err := server.Check(ctx, in); err != nil {
				return fmt.Errorf("the CA was not asked, since the certificate could not be installed (certonly obtains it all the same): %w", err)
			}
		}
		j := &job{o: o, l: l, name: w.name, names: w.names, to: s.o.Display}
		if l, err = s.obtainOne(ctx, j); err != nil {
			return err
		}
		if err := s.reportNew(o, l); err != nil {
			return err
		}
		in.of(l)
		in.Names = j.names // --allow-subset-of-names may have left some out
	}
	renewed := what == replace
	if err := s.deploy(ctx, server, in); err != nil {
		s.installFailed(o, l, what != keep)
		return err
	}
	if renewed {
		s.notify("Your existing certificate has been successfully renewed, and the new certificate has been installed.")
	} else {
		s.notify("Congratulations! You have successfully enabled HTTPS on %s", httpsNames(in.Names))
	}
	s.nextSteps(o, what != keep)
	s.donation(o)
	return nil
}

// deploy has a server show a certificate.
func (s *Steward) deploy(ctx context.Context, server WebServer, in Installation) error {
	s.notify("Deploying certificate")
	done, err := server.Install(ctx, in)
	s.tell(s.o.Display, done)
	if err != nil {
		s.sayFailed(err, true)
		return err
	}
	if !done.Changed {
		s.o.Log.Info("the server shows the certificate already; nothing was changed")
	}
	return nil
}

// httpsNames are the names of a certificate as in certbot's last words.
func httpsNames(names []string) string {
	urls := make([]string, len(names))
	for n, name := range names {
		urls[n] = "https://" + name
	}
	switch len(urls) {
	case 1:
		return urls[0]
	case 2:
		return urls[0] + " and " + urls[1]
	}
	return strings.Join(urls[:len(urls)-1], ", ") + ", and " + urls[len(urls)-1]
}

// installFailed says what is left to do where there is a certificate and it could
// not be installed.
func (s *Steward) installFailed(o *certbotcli.Options, l *lineage.Lineage, issued bool) {
	s.o.Display.Heading("NEXT STEPS:")
	s.notify("- The certificate was saved, but could not be installed (installer: %s). After fixing the error shown below, try installing it again by running:\n"+
		"  %s install --cert-name %s", o.Installer, s.o.Program, l.Name())
	if issued {
		s.moreSteps(o)
	}
	s.notify("")
}

// install puts a certificate that is there into a server.
func (s *Steward) install(ctx context.Context, o *certbotcli.Options) error {
	if err := s.savedTarget(o); err != nil {
		return err
	}
	if err := s.choosePlugins(ctx, o, "install"); err != nil {
		return lastWord(err)
	}
	server, err := s.webServer(ctx, o.Installer, o)
	if err != nil {
		return lastWord(err)
	}
	if err := s.checkEnhancements(o, server); err != nil {
		return err
	}
	in, err := s.toInstall(ctx, o)
	if err != nil {
		return err
	}
	s.enhancements(&in, o, server, true)
	if o.Plan {
		return server.Show(ctx, in, s.o.Out)
	}
	if err := s.deploy(ctx, server, in); err != nil {
		return err
	}
	return s.keepTarget(o)
}

// keepTarget has renewals of a lineage go where it was installed. A web server names the
// lineage's files and only misses a reload; a target has a copy, which would expire.
func (s *Steward) keepTarget(o *certbotcli.Options) error {
	if s.o.AsCertbot || !s.offered(o.Installer).Target || !s.o.Tree.Exists(o.CertName) {
		return nil
	}
	j, err := s.reconstitute(o, o.CertName)
	if err != nil {
		return err
	}
	j.o.Installer, j.o.Targets = o.Installer, o.Targets
	before, err := j.l.Params()
	if err != nil {
		return err
	}
	after, err := s.paramsFor(j)
	if err != nil || sameSection(before.Renewal, after.Renewal) && sameSection(before.Edge, after.Edge) {
		return err
	}
	if err := j.l.SetParams(*after); err != nil {
		return fmt.Errorf("the certificate is installed, but %s could not be told, so that renewals would not go there: %w", s.o.Tree.ConfPath(o.CertName), err)
	}
	return nil
}

// savedTarget takes what was not said about a target from the renewal file of the lineage,
// and the target itself: a lineage that could not be installed knows where it was to go.
func (s *Steward) savedTarget(o *certbotcli.Options) error {
	_, inst, err := o.Requested()
	if o.CertName == "" || err != nil || inst != "" && !s.offered(inst).Target {
		return err
	}
	l := s.find(o.CertName)
	if l == nil {
		return nil // what comes next says so
	}
	saved, err := withSaved(o, l)
	if err != nil {
		return fmt.Errorf("%s: %w", s.o.Tree.ConfPath(o.CertName), err)
	}
	if inst == "" && s.offered(saved.Installer).Target {
		o.Installer = saved.Installer
	}
	o.Targets = saved.Targets
	return nil
}

// toInstall finds out which certificate is meant: a lineage, or files.
func (s *Steward) toInstall(ctx context.Context, o *certbotcli.Options) (Installation, error) {
	custom := o.CertPath != "" && o.KeyPath != ""
	if o.CertName == "" && !custom {
		all, err := s.o.Tree.Names()
		if err != nil {
			return Installation{}, err
		}
		if o.CertName, err = display.ChooseCert(ctx, s.o.Display, "install", "Which certificate would you like to install?", all); err != nil {
			return Installation{}, err
		}
	}
	var l *lineage.Lineage
	if o.CertName != "" {
		if l = s.find(o.CertName); l == nil {
			return Installation{}, text(fmt.Sprintf("No certificate found with name %s (expected %s).", o.CertName, s.o.Tree.ConfPath(o.CertName)))
		}
	}
	if l == nil && !custom {
		return Installation{}, text("Path to certificate or key was not defined. If your certificate is managed by Certbot, please use --cert-name " +
			"to define which certificate you would like to install.")
	}
	w, err := s.wanted(ctx, o)
	if err != nil {
		return Installation{}, err
	}
	in := s.installation(o, w.names)
	in.Deploy = true
	if l != nil {
		in.of(l)
	}
	// What is said on the command line wins over the lineage, as with certbot.
	for _, p := range []struct {
		said string
		to   *string
	}{{o.CertPath, &in.Cert}, {o.KeyPath, &in.Key}, {o.ChainPath, &in.Chain}, {o.FullchainPath, &in.FullChain}} {
		if p.said != "" {
			*p.to = p.said
		}
	}
	return in, nil
}

// enhance changes the configuration of a server that has a certificate.
func (s *Steward) enhance(ctx context.Context, o *certbotcli.Options) error {
	asked := func(t certbotcli.Tri) bool { return t == certbotcli.Yes }
	if !asked(o.Redirect) && !asked(o.HSTS) && !asked(o.UIR) && !asked(o.Staple) && !o.AutoHSTS {
		s.o.Log.Error("Please specify one or more enhancement types to configure. To list the available enhancement types, run:\n\n" +
			s.o.Program + " --help enhance\n")
		return text("No enhancements requested, exiting.")
	}
	if err := s.choosePlugins(ctx, o, "enhance"); err != nil {
		return lastWord(err)
	}
	server, err := s.webServer(ctx, o.Installer, o)
	if err != nil {
		return lastWord(err)
	}
	if err := s.checkEnhancements(o, server); err != nil {
		return err
	}
	l, names, err := s.toEnhance(ctx, o)
	if err != nil {
		return err
	}
	in := s.installation(o, names)
	in.of(l)
	s.enhancements(&in, o, server, false)
	if o.Plan {
		return server.Show(ctx, in, s.o.Out)
	}
	done, err := server.Install(ctx, in)
	s.tell(s.o.Display, done)
	if err != nil {
		s.sayFailed(err, false)
	}
	return err
}

// toEnhance asks for a lineage, and for some of its names.
func (s *Steward) toEnhance(ctx context.Context, o *certbotcli.Options) (*lineage.Lineage, []string, error) {
	if o.CertName == "" {
		all, err := s.o.Tree.Names()
		if err != nil {
			return nil, nil, err
		}
		if o.CertName, err = display.ChooseCert(ctx, s.o.Display, "enhance", "Which certificate would you like to use to enhance your configuration?", all); err != nil {
			return nil, nil, err
		}
	}
	l := s.find(o.CertName)
	if l == nil {
		return nil, nil, text("Could not find the list of domains for the given certificate name.")
	}
	names, err := l.Names()
	if err != nil || o.NonInteractive {
		return l, names, err
	}
	names, err = display.ChooseValues(ctx, s.o.Display, "Which domain names would you like to enable the selected enhancements for?", names)
	return l, names, err
}

// rollback undoes what installers did.
func (s *Steward) rollback(ctx context.Context, o *certbotcli.Options) error {
	_, name, err := o.Requested()
	switch {
	case err != nil:
		return err
	case s.o.WebServers == nil:
		return notInstalled("installer", name)
	case name == "" && s.o.AsCertbot:
		if name, err = s.pickServer(ctx, o, "Which installer should be used for rollback?"); err != nil {
			return err
		}
	case name != "" && !s.offered(name).Installs:
		return notInstalled("installer", name)
	}
	notes, err := s.o.WebServers.Rollback(ctx, name, o)
	for _, n := range notes {
		s.notify("%s", n)
	}
	return err
}

// installation is what all installations have in common.
func (s *Steward) installation(o *certbotcli.Options, names []string) Installation {
	in := Installation{
		Names: names, HTTPPort: o.HTTP01Port, HTTPSPort: o.HTTPSPort, ConfigDir: o.ConfigDir, UseDefault: s.o.AsCertbot || o.CopyDefault, Overwrite: s.o.AsCertbot,
	}
	if !o.NonInteractive {
		in.Choose = s.choose
	}
	return in
}

func (in *Installation) of(l *lineage.Lineage) {
	in.Lineage = l.Name()
	in.Cert, in.Key, in.Chain, in.FullChain = l.Path(lineage.Cert), l.Path(lineage.PrivKey), l.Path(lineage.Chain), l.Path(lineage.FullChain)
}

// willBe names the paths of a lineage that is not there yet.
func (in *Installation) willBe(t *lineage.Tree, name string) {
	in.Lineage = name
	for kind, to := range map[lineage.Kind]*string{lineage.Cert: &in.Cert, lineage.PrivKey: &in.Key, lineage.Chain: &in.Chain, lineage.FullChain: &in.FullChain} {
		*to = filepath.Join(t.Dirs().Config, "live", name, kind.String()+".pem")
	}
}

// choose lets a person pick among what a server has.
func (s *Steward) choose(ctx context.Context, question string, candidates []string, many bool) ([]int, error) {
	if !many {
		n, err := s.o.Display.Menu(ctx, question, display.Choices(candidates), display.MenuOptions{})
		return []int{n}, err
	}
	chosen, err := s.o.Display.Checklist(ctx, question, candidates, display.ChecklistOptions{})
	var list []int
	for _, c := range chosen {
		list = append(list, slices.Index(candidates, c))
	}
	return list, err
}

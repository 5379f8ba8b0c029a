package steward

import (
	"context"

	"edge/internal/certbotcli"
)

// run obtains and installs. There are no installers in this version: choosePlugins
// says so, by the name of the one that was asked for.
func (s *Steward) run(ctx context.Context, o *certbotcli.Options) error {
	return lastWord(s.choosePlugins(ctx, o, "run"))
}

// install puts a certificate that is there into a server.
func (s *Steward) install(ctx context.Context, o *certbotcli.Options) error {
	return s.noInstaller(ctx, o, "install")
}

// enhance changes the configuration of a server that has a certificate.
func (s *Steward) enhance(ctx context.Context, o *certbotcli.Options) error {
	asked := func(t certbotcli.Tri) bool { return t == certbotcli.Yes }
	if !asked(o.Redirect) && !asked(o.HSTS) && !asked(o.UIR) && !asked(o.Staple) && !o.AutoHSTS {
		s.o.Log.Error("Please specify one or more enhancement types to configure. To list the available enhancement types, run:\n\n" +
			s.o.Program + " --help enhance\n")
		return text("No enhancements requested, exiting.")
	}
	return s.noInstaller(ctx, o, "enhance")
}

// rollback undoes what installers did.
func (s *Steward) rollback(ctx context.Context, o *certbotcli.Options) error {
	return s.noInstaller(ctx, o, "rollback")
}

func (s *Steward) noInstaller(_ context.Context, o *certbotcli.Options, verb string) error {
	_, inst, err := o.Requested()
	switch {
	case err != nil:
		return err
	case inst != "":
		return notInstalled("installer", inst)
	case o.NonInteractive:
		return text("Missing command line flags. For non-interactive execution, you will need to specify a plugin on the command line.  Run with " +
			"'--help plugins' to see a list of options, and see https://eff.org/letsencrypt-plugins for more detail on what the plugins do and how to use them.")
	}
	return text("this version of edge has no installers: " + verb + " has nothing to work with. Obtain the certificate with certonly, " +
		"configure the server with its paths, and let a --deploy-hook reload it")
}

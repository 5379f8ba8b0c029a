package certbotcli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge/hooks"
)

// finish is what certbot does with the values once all are there: what implies
// what, and what does not go together (helpful.py: parse_args, configuration.py).
func (p *parser) finish() error {
	o := p.o
	p.settle()
	if o.Verb == "renew" {
		if p.domainsInFile { // they are for other verbs
			o.Domains, p.seen = nil, map[string]bool{}
			delete(o.source, "domains")
		}
		if o.ForceInteractive {
			return &RefusedError{"--force-interactive cannot be used with renew"}
		}
		o.NonInteractive = true
	}
	if o.ForceInteractive && o.NonInteractive {
		return &RefusedError{"Flag for non-interactive mode and --force-interactive conflict"}
	}
	if o.Staging || o.DryRun {
		if err := o.useTestServer(); err != nil {
			return err
		}
	}
	if o.CSR != nil {
		if err := p.useCSR(); err != nil {
			return err
		}
	}
	if o.MustStaple {
		o.Staple = Yes
	}
	if o.ValidateHooks {
		if err := o.validateHooks(); err != nil {
			return err
		}
	}
	if o.AllowSubsetOfNames && isWildcard(o.Domains) {
		return &RefusedError{"Using --allow-subset-of-names with a wildcard domain is not supported."}
	}
	if o.HSTS == Yes && o.AutoHSTS {
		return &RefusedError{"Parameters --hsts and --auto-hsts cannot be used simultaneously."}
	}
	if o.HTTP01Port == o.HTTPSPort {
		return &RefusedError{fmt.Sprintf("Trying to run http-01 and https-port on the same port (%d)", o.HTTPSPort)}
	}
	o.NonInteractive = o.NonInteractive || o.Quiet
	o.CloudflareCredentials, o.RFC2136Credentials = o.env.expandUser(o.CloudflareCredentials), o.env.expandUser(o.RFC2136Credentials)
	return absolute(&o.ConfigDir, &o.WorkDir, &o.LogsDir, &o.CertPath, &o.FullchainPath, &o.ChainPath,
		&o.CloudflareCredentials, &o.RFC2136Credentials)
}

// settle turns old ways to say something into the present ones.
func (p *parser) settle() {
	o := p.o
	if p.oldChallengeTypes != nil && len(o.PrefChallenges) == 0 {
		o.PrefChallenges = p.oldChallengeTypes
		o.source["pref_challs"] = o.source["standalone_supported_challenges"]
	}
	o.Authenticator, o.Installer, o.Configurator = p.plugin(o.Authenticator), p.plugin(o.Installer), p.plugin(o.Configurator)
	for dest, plugin := range map[string]string{"authenticator": o.Authenticator, "installer": o.Installer} {
		if plugin == "" { // said to be empty, it is not said
			delete(o.source, dest)
		}
	}
	if o.Verb == "register" && o.UpdateRegistration {
		o.Verb = "update_account"
		o.Warnings = append(o.Warnings, "register --update-registration is called update_account now.")
	}
}

// useTestServer is --staging or --dry-run:
//
//	--server              --staging   --dry-run
//	Let's Encrypt's, none staging     staging
//	staging               staging     staging
//	another               conflict    that one
func (o *Options) useTestServer() error {
	known := o.Server == DefaultServer || o.Server == StagingServer
	if o.Staging && !known {
		return &RefusedError{"--server value conflicts with --staging"}
	}
	if known {
		o.Server = StagingServer
	}
	if !o.DryRun {
		return nil
	}
	if o.Verb != "certonly" && o.Verb != "renew" && o.Verb != "reconfigure" {
		return &RefusedError{fmt.Sprintf("--dry-run currently only works with the 'certonly' or 'renew' subcommands (%s)", repr(o.Verb))}
	}
	o.BreakMyCerts, o.Staging = true, true
	// Somebody with an account of the real CA has agreed once; there may be none
	// yet of the other, and this is not the time to ask.
	accounts, err := os.ReadDir(filepath.Join(o.ConfigDir, "accounts"))
	if err == nil && slices.ContainsFunc(accounts, func(e os.DirEntry) bool { return !strings.HasPrefix(e.Name(), ".") }) {
		o.AgreeTOS, o.RegisterUnsafelyWithoutEmail = true, true
	}
	return nil
}

// validateHooks looks whether the programs of hooks are there.
func (o *Options) validateHooks() error {
	path := o.env.getenv("PATH")
	for _, h := range []struct {
		kind    hooks.Kind
		command string
	}{{"pre-hook", o.PreHook}, {"post-hook", o.PostHook}, {"deploy-hook", o.DeployHook}, {"renew-hook", o.RenewHook},
		{hooks.OnFailure, o.OnFailureHook}} {
		if err := hooks.Validate(h.kind, h.command, path); err != nil {
			return &RefusedError{err.Error()}
		}
	}
	return nil
}

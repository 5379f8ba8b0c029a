package steward

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"edge/internal/certbotcli"
	"edge/internal/display"
)

// Names of authenticators, as in renewal files.
const (
	doorName       = "edge"
	standaloneName = "standalone"
	webrootName    = "webroot"
	manualName     = "manual"
)

// plugin is a way to prove control of names.
type plugin struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Interfaces  string `json:"interfaces"`
	Entry       string `json:"entry_point"`
	problem     string
}

// authenticators are those that are offered, in the order of certbot's listing,
// which keeps quiet about manual, too.
func (s *Steward) authenticators(ctx context.Context) []plugin {
	list := []plugin{
		{Name: "dns-cloudflare", Description: "Obtain certificates using a DNS TXT record (if you are using Cloudflare for DNS)."},
		{Name: "dns-rfc2136", Description: "Obtain certificates using a DNS TXT record (if you are using BIND for DNS)."},
		{Name: standaloneName, Description: "Spin up a temporary webserver"},
		{Name: webrootName, Description: "Place files in webroot directory"},
	}
	if s.doorAnswers(ctx) {
		list = append([]plugin{{Name: doorName, Description: "Answer by edge's front door, which is running on this machine: nothing is stopped or reconfigured."}}, list...)
	}
	for n := range list {
		list[n].Interfaces, list[n].Entry = "Authenticator, Plugin", "edge:"+list[n].Name
	}
	return list
}

func (s *Steward) doorAnswers(ctx context.Context) bool {
	if s.o.Door == nil {
		return false
	}
	plain, tls, err := s.o.Door.Listeners(ctx)
	return err == nil && len(plain)+len(tls) > 0
}

// choosePlugins settles on an authenticator and an installer, and notes them in
// the options, from where they come into the renewal file.
func (s *Steward) choosePlugins(ctx context.Context, o *certbotcli.Options, verb string) error {
	auth, inst, err := o.Requested()
	if err != nil {
		return err
	}
	if verb == "run" && auth != "" && inst == "" && !slices.Contains([]string{"nginx", "apache"}, auth) {
		return text(fmt.Sprintf("With the %[1]s plugin, you probably want to use the \"certonly\" command, eg:\n\n    %[2]s certonly --%[1]s\n\n"+
			"(Alternatively, add a --installer flag. See https://eff.org/letsencrypt-plugins\nand \"--help plugins\" for more information.)", auth, s.o.Program))
	}
	if inst != "" {
		return notInstalled("installer", inst)
	}
	if verb == "run" {
		return text(fmt.Sprintf("Certbot doesn't know how to automatically configure the web server on this system. However, it can still get a certificate for you. "+
			"Please run \"%s certonly\" to do so. You'll need to manually configure your web server to use the resulting certificate.", s.o.Program))
	}
	if auth == "" {
		if auth, err = s.defaultAuthenticator(ctx, o); err != nil {
			return err
		}
	}
	if auth != doorName && auth != manualName && !slices.ContainsFunc(s.authenticators(ctx), func(p plugin) bool { return p.Name == auth }) {
		return notInstalled("authenticator", auth)
	}
	o.Authenticator, o.Installer = auth, ""
	s.o.Log.Info(fmt.Sprintf("Plugins selected: Authenticator %s, Installer None", auth))
	return nil
}

func notInstalled(kind, name string) error {
	says := fmt.Sprintf("The requested %s plugin does not appear to be installed", name)
	if slices.Contains(knownPlugins, name) {
		says += fmt.Sprintf("; this version of edge has no %s of that name. Obtain the certificate with another authenticator and certonly, "+
			"and let a --deploy-hook reload the server", kind)
	}
	return text(says)
}

// knownPlugins are certbot's that people have in their scripts, and that edge
// lacks.
var knownPlugins = []string{"nginx", "apache"}

// defaultAuthenticator is the front door where it runs, else what a person
// chooses. Called as certbot, nothing is chosen without being asked for.
func (s *Steward) defaultAuthenticator(ctx context.Context, o *certbotcli.Options) (string, error) {
	list := s.authenticators(ctx)
	if !s.o.AsCertbot && len(list) > 0 && list[0].Name == doorName {
		return doorName, nil
	}
	var choices []display.Plugin
	for _, p := range list {
		choices = append(choices, display.Plugin{Name: p.Name, Description: p.Description, Problem: p.problem})
	}
	return display.ChoosePlugin(ctx, s.o.Display, display.AskAuthenticator, choices)
}

// plugins is the verb that lists them.
func (s *Steward) plugins(ctx context.Context, o *certbotcli.Options) error {
	list := s.authenticators(ctx)
	if slices.Contains(o.Ifaces, "Installer") && !slices.Contains(o.Ifaces, "Authenticator") {
		list = nil
	}
	if o.Output == "json" {
		return s.printJSON(list)
	}
	if len(list) == 0 {
		s.o.Display.Listing("No plugins")
		return nil
	}
	var b strings.Builder
	for n, p := range list {
		if n > 0 {
			b.WriteString("\n\n")
		}
		fmt.Fprintf(&b, "* %s\nDescription: %s\nInterfaces: %s\nEntry point: %s", p.Name, p.Description, p.Interfaces, p.Entry)
	}
	s.o.Display.Listing(b.String())
	return nil
}

// printJSON prints for programs; nothing else may then be on standard output.
func (s *Steward) printJSON(v any) error {
	enc := json.NewEncoder(s.o.Out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

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

// plugin is a way to prove control of names, or to install a certificate.
type plugin struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Interfaces  string `json:"interfaces"`
	Entry       string `json:"entry_point"`
	Found       string `json:"found,omitempty"`
	Problem     string `json:"problem,omitempty"`
	info        WebServerInfo
}

// ownAuthenticators are those that need no server.
func ownAuthenticators() []plugin {
	return []plugin{
		{Name: "dns-cloudflare", Description: "Obtain certificates using a DNS TXT record (if you are using Cloudflare for DNS)."},
		{Name: "dns-rfc2136", Description: "Obtain certificates using a DNS TXT record (if you are using BIND for DNS)."},
		{Name: standaloneName, Description: "Spin up a temporary webserver"},
		{Name: webrootName, Description: "Place files in webroot directory"},
	}
}

// allPlugins are those that there are, in the order of certbot's listing, which keeps quiet
// about manual, too.
func (s *Steward) allPlugins(ctx context.Context, o *certbotcli.Options) []plugin {
	list := ownAuthenticators()
	for n := range list {
		list[n].info.Proves = true
	}
	for _, i := range s.webServers(ctx, o) {
		list = append(list, plugin{Name: i.Name, Description: i.Description, Found: i.Found, Problem: i.Problem, info: i})
	}
	slices.SortStableFunc(list, func(a, b plugin) int { return strings.Compare(a.Name, b.Name) })
	if s.doorAnswers(ctx) {
		list = append([]plugin{{Name: doorName, Description: "Answer by edge's front door, which is running on this machine: nothing is stopped or reconfigured.",
			info: WebServerInfo{Proves: true}}}, list...)
	}
	for n := range list {
		p := &list[n]
		p.Interfaces, p.Entry = strings.Join(append(p.interfaces(), "Plugin"), ", "), "edge:"+p.Name
	}
	return list
}

// interfaces are certbot's words for what it can do.
func (p *plugin) interfaces() []string {
	var list []string
	if p.info.Proves {
		list = append(list, "Authenticator")
	}
	if p.info.Installs {
		list = append(list, "Installer")
	}
	return list
}

// proves reports whether there is an authenticator of that name.
func (s *Steward) proves(name string) bool {
	return name == doorName || name == manualName || s.offered(name).Proves ||
		slices.ContainsFunc(ownAuthenticators(), func(p plugin) bool { return p.Name == name })
}

func (s *Steward) doorAnswers(ctx context.Context) bool {
	if s.o.Door == nil {
		return false
	}
	plain, tls, err := s.o.Door.Listeners(ctx)
	return err == nil && len(plain)+len(tls) > 0
}

// choosePlugins settles on an authenticator and an installer, and notes them in
// the options, from where they come into the renewal file (certbot:
// plugins/selection.py).
func (s *Steward) choosePlugins(ctx context.Context, o *certbotcli.Options, verb string) error {
	auth, inst, err := o.Requested()
	if err != nil {
		return err
	}
	if err := o.CheckInstalls(auth, inst); err != nil {
		return err
	}
	installs, proves := verb != "certonly", verb == "run" || verb == "certonly"
	switch {
	case inst != "":
		if !s.offered(inst).Installs {
			return notInstalled("installer", inst)
		}
	case installs:
		if inst, err = s.pickServer(ctx, o, question(verb)); err != nil {
			return err
		}
		// One that was picked does both, unless the front door is there to prove.
		if proves && auth == "" && (s.o.AsCertbot || !s.doorAnswers(ctx)) {
			auth = inst
		}
	}
	if proves && auth == "" {
		if auth, err = s.defaultAuthenticator(ctx, o); err != nil {
			return err
		}
		if verb == "certonly" && inst == "" && isWebServer(auth) {
			inst = auth // it was picked: it is reloaded, too
		}
	}
	if auth != "" && proves && !s.proves(auth) {
		return notInstalled("authenticator", auth)
	}
	if !proves {
		if auth != "" && auth != inst {
			s.o.Log.Warn(fmt.Sprintf("Specifying an authenticator doesn't make sense when running Certbot with verb %q", verb))
		}
		auth = ""
	}
	o.Authenticator, o.Installer = auth, inst
	// As with certbot, one that does not work is found out before anything else is done.
	for _, name := range []string{inst, auth} {
		if s.offered(name).Name != "" {
			if _, err := s.webServer(ctx, name, o); err != nil {
				return err
			}
		}
	}
	s.o.Log.Info(fmt.Sprintf("Plugins selected: Authenticator %s, Installer %s", orNone(auth), orNone(inst)))
	return nil
}

func orNone(name string) string {
	if name == "" {
		return "None"
	}
	return name
}

func question(verb string) string {
	switch verb {
	case "run":
		return display.AskConfigurator
	case "enhance":
		return display.AskEnhancer
	}
	return display.AskInstaller
}

// pickServer asks which web server is meant. One that works is taken without
// asking, where somebody is there: nobody is surprised by it.
func (s *Steward) pickServer(ctx context.Context, o *certbotcli.Options, question string) (string, error) {
	if o.NonInteractive {
		return "", text("Missing command line flags. For non-interactive execution, you will need to specify a plugin on the command line.  Run with " +
			"'--help plugins' to see a list of options, and see https://eff.org/letsencrypt-plugins for more detail on what the plugins do and how to use them.")
	}
	list := slices.DeleteFunc(s.webServers(ctx, o), func(i WebServerInfo) bool { return !i.Installs || !i.here() })
	switch len(list) {
	case 0:
		return "", text(fmt.Sprintf("Certbot doesn't know how to automatically configure the web server on this system. However, it can still get a certificate for you. "+
			"Please run \"%s certonly\" to do so. You'll need to manually configure your web server to use the resulting certificate.", s.o.Program))
	case 1:
		return list[0].Name, nil
	}
	var choices []display.Plugin
	for _, i := range list {
		choices = append(choices, display.Plugin{Name: i.Name, Description: i.Description})
	}
	return display.ChoosePlugin(ctx, s.o.Display, question, choices)
}

// checkEnhancements refuses what the server cannot do and the certificate needs.
func (s *Steward) checkEnhancements(o *certbotcli.Options, server WebServer) error {
	if o.AutoHSTS {
		return text("One ore more of the requested enhancements are not supported by the selected installer")
	}
	if o.MustStaple && !slices.Contains(server.Enhancements(), "staple") {
		return text(fmt.Sprintf("Must-Staple extension requested, but OCSP stapling is not supported by the selected installer (%s)", server.Name()))
	}
	return nil
}

// enhancements are those that are asked for and that the server can do.
func (s *Steward) enhancements(in *Installation, o *certbotcli.Options, server WebServer, redirect bool) {
	for _, e := range []struct {
		name  string
		asked bool
		said  bool
		to    *bool
	}{
		{"hsts", o.HSTS == certbotcli.Yes, true, &in.HSTS}, {"redirect", o.Redirect.Or(redirect), o.Redirect == certbotcli.Yes, &in.Redirect},
		{"staple", o.Staple == certbotcli.Yes, true, &in.Staple}, {"uir", o.UIR == certbotcli.Yes, true, &in.UIR},
	} {
		switch {
		case !e.asked:
		case slices.Contains(server.Enhancements(), e.name):
			*e.to = true
		case e.said:
			s.o.Log.Error(fmt.Sprintf("Option %s is not supported by the selected installer. Skipping enhancement.", e.name))
		}
	}
}

func notInstalled(kind, name string) error {
	says := fmt.Sprintf("The requested %s plugin does not appear to be installed", name)
	if isWebServer(name) {
		says += fmt.Sprintf("; edge has no %s of that name here. Obtain the certificate with another authenticator and certonly, "+
			"and let a --deploy-hook reload the server", kind)
	}
	return text(says)
}

// defaultAuthenticator is the front door where it runs, else what a person
// chooses. Called as certbot, nothing is chosen without being asked for.
func (s *Steward) defaultAuthenticator(ctx context.Context, o *certbotcli.Options) (string, error) {
	if !s.o.AsCertbot && s.doorAnswers(ctx) {
		return doorName, nil
	}
	var choices []display.Plugin
	for _, p := range s.allPlugins(ctx, o) {
		if p.info.Proves && p.info.here() {
			choices = append(choices, display.Plugin{Name: p.Name, Description: p.Description})
		}
	}
	return display.ChoosePlugin(ctx, s.o.Display, display.AskAuthenticator, choices)
}

// plugins is the verb that lists them. certbot's listing does not have what was found.
func (s *Steward) plugins(ctx context.Context, o *certbotcli.Options) error {
	list := s.allPlugins(ctx, o)
	if len(o.Ifaces) > 0 {
		list = slices.DeleteFunc(list, func(p plugin) bool {
			return !slices.ContainsFunc(p.interfaces(), func(name string) bool { return slices.Contains(o.Ifaces, name) })
		})
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
		switch {
		case s.o.AsCertbot:
		case p.Problem != "":
			fmt.Fprintf(&b, "\nCannot be used here: %s", p.Problem)
		case p.Found != "":
			fmt.Fprintf(&b, "\nFound: %s", p.Found)
		}
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

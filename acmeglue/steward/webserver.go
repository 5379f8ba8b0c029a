package steward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"edge/acmeglue"
	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// WebServers are the web servers of this machine that can be configured, by the
// names of certbot's plugins: "nginx"; and the targets, which certbot has no plugins for:
// "haproxy".
type WebServers interface {
	// Offered says what is known of one by its name without looking; the zero value where
	// there is none.
	Offered(name string) WebServerInfo
	// List says which there are, in the order in which they are offered, and what was found
	// of each. The targets are left out unless they are asked for.
	List(ctx context.Context, o *certbotcli.Options, targets bool) []WebServerInfo
	// Open gets hold of one until the end of the run, for what the options have it as,
	// authenticator or installer: its folder is locked, and what a run that was killed left
	// behind is taken back.
	Open(ctx context.Context, name string, o *certbotcli.Options) (WebServer, error)
	// Rollback takes back the newest n changes of configuration; of which server, is
	// found out where the name is empty. It returns what to tell people.
	Rollback(ctx context.Context, name string, o *certbotcli.Options) ([]string, error)
}

// WebServerInfo is one of them.
type WebServerInfo struct {
	Name, Description string
	Installs, Proves  bool
	// Target says that it is one of those that certbot has no plugin for.
	Target  bool
	Found   string // what there is of it, for people; empty of what is no program here
	Problem string // why it cannot be used; empty where it can
}

// here reports whether people are offered it unasked.
func (i *WebServerInfo) here() bool { return i.Problem == "" && (!i.Target || i.Found != "") }

// WebServer is a server that is open. Not safe for concurrent use.
type WebServer interface {
	Name() string
	// Names are the names of hosts that it is configured with.
	Names(ctx context.Context) ([]string, error)
	// Enhancements are those that it can do, as certbot's flags have them: "redirect".
	Enhancements() []string
	// Authenticator answers challenges by its configuration; nil where it was not opened
	// for that.
	Authenticator() acmeglue.Authenticator
	// Check finds out whether an installation is possible, as far as that can be known
	// before there is a certificate.
	Check(ctx context.Context, in Installation) error
	// Show prints what Install would do.
	Show(ctx context.Context, in Installation, w io.Writer) error
	// Install has it show a certificate, and makes sure that it does. An error after
	// something was changed is an *InstallError.
	Install(ctx context.Context, in Installation) (Installed, error)
	// Reload has it take a certificate that is new at paths which it has already, and
	// makes sure that it does.
	Reload(ctx context.Context, in Installation) (Installed, error)
}

// Installation is what somebody wants of a web server.
type Installation struct {
	Names   []string
	Lineage string // empty for files that are none
	// Absolute paths of PEM files.
	Cert, Key, Chain, FullChain string
	// Deploy is false where only the enhancements are wanted.
	Deploy                      bool
	Redirect, HSTS, UIR, Staple bool
	HTTPPort, HTTPSPort         int
	ConfigDir                   string
	// UseDefault lets a copy of the default server serve names that none serves, as
	// certbot does.
	UseDefault bool
	// Overwrite takes its certificate from a server that answers other names, too, as
	// certbot does.
	Overwrite bool
	// Choose lets a person pick; nil: nobody is there.
	Choose func(ctx context.Context, question string, candidates []string, many bool) ([]int, error)
}

// Installed is what came of it, a line each, for people.
type Installed struct {
	Changed         bool
	Notes, Warnings []string
}

// InstallError says that a server does not show what it should.
type InstallError struct {
	Step string // "verify"
	// Live says that the server had been asked to use the changes; Undone, that all is
	// as it was.
	Live, Undone bool
	Err          error
}

func (e *InstallError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *InstallError) Unwrap() error { return e.Err }

// webServers are those that there are, with the targets where certbot's ways are not
// wanted.
func (s *Steward) webServers(ctx context.Context, o *certbotcli.Options) []WebServerInfo {
	if s.o.WebServers == nil {
		return nil
	}
	return s.o.WebServers.List(ctx, o, !s.o.AsCertbot)
}

// offered is the web server or target of that name; the zero value where there is none.
func (s *Steward) offered(name string) WebServerInfo {
	if s.o.WebServers == nil || name == "" {
		return WebServerInfo{}
	}
	return s.o.WebServers.Offered(name)
}

// isWebServer reports whether certbot has a plugin of that name for a web server.
func isWebServer(name string) bool { return name == "nginx" || name == "apache" }

// webServer opens a server, once a run.
func (s *Steward) webServer(ctx context.Context, name string, o *certbotcli.Options) (WebServer, error) {
	s.serversMu.Lock()
	defer s.serversMu.Unlock()
	// Lineages may be in servers with other folders.
	key := fmt.Sprint([]any{name, o.NginxServerRoot, o.NginxCtl, o.ApacheServerRoot, o.ApacheVhostRoot, o.ApacheCtl, o.HTTP01Port, o.HTTPSPort})
	offered := s.offered(name)
	if offered.Target {
		key = fmt.Sprint([]any{name, o.SaidOf(name), o.Authenticator == name, o.Installer == name})
	}
	if open := s.servers[key]; open != nil {
		return open, nil
	}
	if offered.Name == "" {
		return nil, notInstalled("installer", name)
	}
	open, err := s.o.WebServers.Open(ctx, name, o)
	if err != nil {
		return nil, text(fmt.Sprintf("The %s plugin is not working; there may be problems with your existing configuration.\nThe error was: %v", name, err))
	}
	s.servers[key] = open
	return open, nil
}

// reload has the server of a lineage take a certificate that is new, if it has it in
// its configuration. What was said with --installer for this run, and for renewals what
// the renewal file says, is the server.
func (s *Steward) reload(ctx context.Context, j *job, l *lineage.Lineage) error {
	if j.o.Installer == "" || j.o.DryRun {
		return nil
	}
	if j.o.Verb == "renew" {
		j.notify("Reloading %s server after certificate renewal", j.o.Installer)
	} else {
		s.o.Log.Info(fmt.Sprintf("Reloading %s server after certificate issuance", j.o.Installer))
	}
	server, err := s.webServer(ctx, j.o.Installer, j.o)
	if err != nil {
		return err
	}
	in := s.installation(j.o, j.names)
	in.Deploy = true
	in.of(l)
	// Servers do one thing at a time.
	s.exclusive.Lock()
	defer s.exclusive.Unlock()
	done, err := server.Reload(ctx, in)
	s.tell(j.to, done)
	if err != nil {
		return &reloadError{err}
	}
	return nil
}

// reloadError says that a certificate is there, and that its server does not use it.
type reloadError struct{ err error }

func (e *reloadError) Error() string { return e.err.Error() }
func (e *reloadError) Unwrap() error { return e.err }

// tell passes on what a server has to say.
func (s *Steward) tell(to display.Display, done Installed) {
	for _, w := range done.Warnings {
		s.o.Log.Warn(w)
	}
	for _, n := range done.Notes {
		// certbot prints where certificates went, and has the rest in its log.
		if s.o.AsCertbot && !strings.HasPrefix(n, "Successfully deployed ") {
			s.o.Log.Info(n)
			continue
		}
		to.Notify(n, false)
	}
}

// sayFailed tells people how things stand after a certificate, or enhancements, could
// not be put in place.
func (s *Steward) sayFailed(err error, deploy bool) {
	var e *InstallError
	switch installs := errors.As(err, &e); {
	case installs && !e.Undone:
		s.o.Log.Error("An error occurred and we failed to restore your config and restart your server. What to do by hand is said below.")
	case installs && e.Live && deploy:
		s.notify("We were unable to install your certificate, however, we successfully restored your server to its prior configuration.")
	case installs && e.Live:
		s.notify("We were unable to restart web server")
	case deploy:
		s.notify("Could not install certificate")
	}
}

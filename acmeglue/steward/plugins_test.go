package steward

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"edge/acmeglue"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// shelf has a web server, and targets of which some are here.
type shelf struct {
	opened []string // with what for
	broken bool     // nginx
}

func (s *shelf) all() []WebServerInfo {
	nginx := WebServerInfo{Name: "nginx", Description: "nginx", Installs: true, Proves: true}
	if s.broken {
		nginx.Problem = "no nginx"
	}
	return []WebServerInfo{
		nginx,
		{Name: "away", Installs: true, Proves: true, Target: true, Problem: "it does not run"},
		{Name: "here", Installs: true, Proves: true, Target: true, Found: "version 1"},
		{Name: "prover", Proves: true, Target: true, Found: "version 2"},
		{Name: "service", Installs: true, Proves: true, Target: true},
	}
}

func (s *shelf) Offered(name string) WebServerInfo {
	for _, i := range s.all() {
		if i.Name == name {
			return i
		}
	}
	return WebServerInfo{}
}

func (s *shelf) List(_ context.Context, _ *certbotcli.Options, targets bool) []WebServerInfo {
	return slices.DeleteFunc(s.all(), func(i WebServerInfo) bool { return i.Target && !targets })
}

func (s *shelf) Open(_ context.Context, name string, o *certbotcli.Options) (WebServer, error) {
	what := name
	if o.Authenticator == name {
		what += " proves"
	}
	if o.Installer == name {
		what += " installs"
	}
	s.opened = append(s.opened, what)
	if name == "away" {
		return nil, errors.New("it does not run")
	}
	return &shelved{name}, nil
}

func (s *shelf) Rollback(context.Context, string, *certbotcli.Options) ([]string, error) {
	return nil, nil
}

type shelved struct{ name string }

func (s *shelved) Name() string                                        { return s.name }
func (s *shelved) Names(context.Context) ([]string, error)             { return nil, nil }
func (s *shelved) Enhancements() []string                              { return nil }
func (s *shelved) Authenticator() acmeglue.Authenticator               { return nil }
func (s *shelved) Check(context.Context, Installation) error           { return nil }
func (s *shelved) Show(context.Context, Installation, io.Writer) error { return nil }
func (s *shelved) Install(context.Context, Installation) (Installed, error) {
	return Installed{}, nil
}
func (s *shelved) Reload(context.Context, Installation) (Installed, error) { return Installed{}, nil }

// chooser takes the first choice of each menu.
type chooser struct {
	display.Display
	offered []string
}

func (c *chooser) Menu(_ context.Context, _ string, choices []display.Choice, _ display.MenuOptions) (int, error) {
	for _, choice := range choices {
		name := choice.String()
		c.offered = append(c.offered, strings.TrimSuffix(name[strings.LastIndex(name, "(")+1:], ")"))
	}
	return 0, nil
}

// People are offered what is on this machine. Everything can be named.
func TestChoosePlugins(t *testing.T) {
	const dns = "dns-cloudflare dns-rfc2136 "
	for _, c := range []struct {
		line      string
		asCertbot bool
		broken    bool
		menu      string // what was offered
		is, err   string
		opened    string
	}{
		{line: "run -a here -i here", is: "here here", opened: "here proves installs"},
		{line: "run -a webroot -i service", is: "webroot service", opened: "service installs"},
		{line: "run -a prover -i nginx", is: "prover nginx", opened: "nginx installs, prover proves"},
		{line: "certonly -a service", is: "service ", opened: "service proves"},
		{line: "certonly -a service", asCertbot: true, is: "service ", opened: "service proves"},
		{line: "certonly -a webroot -i away", err: "it does not run", opened: "away installs"},
		{line: "certonly -a webroot -i prover", err: "The requested prover plugin does not appear to be installed"},
		{line: "certonly -a nothing", err: "The requested nothing plugin does not appear to be installed"},
		{line: "install -i here", is: " here", opened: "here installs"},
		{line: "install -i prover", err: "The requested prover plugin does not appear to be installed"},
		{line: "run", menu: "nginx here", is: "nginx nginx", opened: "nginx proves installs"},
		{line: "run", broken: true, is: "here here", opened: "here proves installs"},
		{line: "run", asCertbot: true, is: "nginx nginx", opened: "nginx proves installs"},
		{line: "certonly", menu: dns + "here nginx prover standalone webroot", is: "dns-cloudflare "},
		{line: "certonly", asCertbot: true, menu: dns + "nginx standalone webroot", is: "dns-cloudflare "},
	} {
		r, servers := newRig(t), &shelf{broken: c.broken}
		person := &chooser{Display: r.o.Display}
		r.o.Display, r.o.WebServers, r.o.AsCertbot = person, servers, c.asCertbot
		o := r.options(c.line + " -d a.test --server " + deaf)
		err := r.steward().choosePlugins(t.Context(), o, o.Verb)
		says := ""
		if err != nil {
			says = err.Error()
		}
		if menu := strings.Join(person.offered, " "); menu != c.menu || c.err == "" && says != "" || !strings.Contains(says, c.err) {
			t.Errorf("%s: offered %q, %s", c.line, menu, says)
		}
		if is := o.Authenticator + " " + o.Installer; err == nil && is != c.is {
			t.Errorf("%s: it is %q, want %q", c.line, is, c.is)
		}
		if opened := strings.Join(servers.opened, ", "); opened != c.opened {
			t.Errorf("%s: opened %q, want %q", c.line, opened, c.opened)
		}
	}
}

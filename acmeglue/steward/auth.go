package steward

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"edge"
	"edge/acmeglue"
	"edge/acmeglue/authenticator"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// authenticator makes what the options name.
func (s *Steward) authenticator(ctx context.Context, o *certbotcli.Options, names []string) (acmeglue.Authenticator, error) {
	sni := slices.Contains(o.PrefChallenges, string(edge.TLSSNI01))
	if c := s.configuredFor(o.CertName); c != nil && o.Authenticator == doorName {
		return s.authenticatorOf(c, o, sni)
	}
	switch o.Authenticator {
	case doorName:
		if needsDNS(o, names) {
			return nil, fmt.Errorf("%s needs dns-01, which the authenticator edge does only for what certificates of the front door's configuration lists, with the provider in acme.dns there; "+
				"list it, or use a DNS plugin such as --dns-cloudflare (for a lineage that is there: edge reconfigure --cert-name NAME --dns-cloudflare)", summary(names))
		}
		if asked := o.IsSet("edge") || o.IsSet("authenticator"); !asked && !s.doorAnswers(ctx) {
			// The renewal of a lineage while the door is away: certbot would do this, too.
			return s.standaloneFor(o, sni)
		}
		if s.o.Door == nil {
			return nil, fmt.Errorf("the authenticator edge needs a front door on this machine; start it with edge serve, or name its socket with --admin")
		}
		return authenticator.OpenDoor(ctx, s.o.Door, sni)
	case standaloneName:
		return s.standaloneFor(o, sni)
	case webrootName:
		return s.webrootFor(ctx, o, names)
	case manualName:
		options := authenticator.ManualOptions{
			AuthHook: o.ManualAuthHook, CleanupHook: o.ManualCleanupHook, Hooks: s.o.HookRunner,
			KeepGoing: s.o.AsCertbot, Out: s.o.Out, SNI: sni, SNIPort: o.TLSSNI01Port, WorkDir: o.WorkDir, Log: s.o.Log,
		}
		if s.o.In != nil && !o.NonInteractive {
			options.In = io.Reader(s.o.In)
		}
		return authenticator.NewManual(options)
	case authenticator.Cloudflare:
		return s.dnsFor(o, o.CloudflareCredentials, o.CloudflarePropagation)
	case authenticator.RFC2136:
		return s.dnsFor(o, o.RFC2136Credentials, o.RFC2136Propagation)
	}
	if s.offered(o.Authenticator).Proves {
		server, err := s.webServer(ctx, o.Authenticator, o)
		if err != nil {
			return nil, err
		}
		return server.Authenticator(), nil
	}
	return nil, notInstalled("authenticator", o.Authenticator)
}

// authenticatorOf does what the configuration of the front door says: by the door
// while it runs, on its ports while it does not, and by DNS.
func (s *Steward) authenticatorOf(c *Configured, o *certbotcli.Options, sni bool) (acmeglue.Authenticator, error) {
	// In the options, the ports come into the renewal file, too: certbot needs them.
	if c.HTTPPort != 0 && !o.IsSet("http01_port") {
		o.HTTP01Port = c.HTTPPort
	}
	if c.TLSPort != 0 && !o.IsSet("tls_alpn_01_port") {
		o.TLSALPN01Port = c.TLSPort
	}
	if c.TLSPort != 0 && !o.IsSet("tls_sni_01_port") {
		o.TLSSNI01Port = c.TLSPort
	}
	door, err := s.standaloneFor(o, sni)
	if err != nil || c.DNS == nil {
		return door, err
	}
	dns, err := acmeglue.NewDNSAuthenticator("dns-"+c.DNS.Provider, *c.DNS)
	if err != nil {
		return nil, err
	}
	return acmeglue.Combine(doorName, door, dns), nil
}

// needsDNS is an order that no web server can answer.
func needsDNS(o *certbotcli.Options, names []string) bool {
	other := func(challenge string) bool { return challenge != string(edge.DNS01) }
	return len(o.PrefChallenges) > 0 && !slices.ContainsFunc(o.PrefChallenges, other) ||
		slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "*.") })
}

func (s *Steward) dnsFor(o *certbotcli.Options, credentials string, propagation time.Duration) (acmeglue.Authenticator, error) {
	return authenticator.NewDNS(authenticator.DNSOptions{Plugin: o.Authenticator, Credentials: credentials, Propagation: propagation, Log: s.o.Log})
}

// standaloneFor shares listeners between the lineages of a run, and leaves to the
// front door what it has the ports of.
func (s *Steward) standaloneFor(o *certbotcli.Options, sni bool) (acmeglue.Authenticator, error) {
	options := authenticator.StandaloneOptions{
		HTTP:    authenticator.Listen{Address: o.HTTP01Address, Port: o.HTTP01Port},
		TLSALPN: authenticator.Listen{Address: o.HTTP01Address, Port: o.TLSALPN01Port},
		TLSSNI:  authenticator.Listen{Address: o.TLSSNI01Addr, Port: o.TLSSNI01Port},
		SNI:     sni, Log: s.o.Log,
	}
	if !s.o.AsCertbot {
		options.Wait = 20 * time.Second
	}
	if !o.NonInteractive {
		options.Retry = func(ctx context.Context, problem string) bool {
			again, err := display.ConfirmRetry(ctx, s.o.Display, problem)
			return err == nil && again
		}
	}
	key := fmt.Sprintf("%v %v %v %v", options.HTTP, options.TLSALPN, options.TLSSNI, sni)
	s.mu.Lock()
	defer s.mu.Unlock()
	shared := s.standalone[key]
	if shared == nil {
		var err error
		if shared, err = authenticator.NewStandalone(options); err != nil {
			return nil, err
		}
		s.standalone[key] = shared
	}
	if s.o.Door == nil {
		return shared, nil
	}
	return authenticator.Choose(shared, s.o.Door), nil
}

func (s *Steward) webrootFor(ctx context.Context, o *certbotcli.Options, names []string) (acmeglue.Authenticator, error) {
	for _, name := range o.CompleteWebroots(names) {
		dir, err := display.ChooseWebroot(ctx, s.o.Display, name, o.WebrootPath, checkWebroot)
		if err != nil {
			return nil, err
		}
		o.WebrootMap = append(o.WebrootMap, certbotcli.Webroot{Name: name, Path: dir})
	}
	roots := map[string]string{}
	for _, name := range names {
		if dir := o.WebrootMap.Path(name); dir != "" {
			roots[strings.TrimPrefix(name, "*.")] = dir
		}
	}
	w := authenticator.NewWebroot(authenticator.WebrootOptions{Map: roots, Log: s.o.Log})
	ids, err := identifiers(names)
	if err == nil {
		err = w.Check(ids...)
	}
	return w, err
}

func checkWebroot(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return "", text(path + " does not exist or is not a directory")
	}
	return filepath.Abs(path)
}

// types are the challenges that an order may use: what the authenticator can do,
// filtered and in the order of --preferred-challenges.
func types(o *certbotcli.Options, auth acmeglue.Authenticator) ([]edge.ChallengeType, error) {
	able := auth.Types()
	if len(o.PrefChallenges) == 0 {
		return able, nil
	}
	var list []edge.ChallengeType
	for _, p := range o.PrefChallenges {
		if t := edge.ChallengeType(p); slices.Contains(able, t) {
			list = append(list, t)
		}
	}
	if len(list) == 0 {
		return nil, text("None of the preferred challenges are supported by the selected plugin")
	}
	return list, nil
}

// beforeAnswer is --debug-challenges: a pause when everything is presented.
func (s *Steward) beforeAnswer(o *certbotcli.Options) func(context.Context, []edge.Answer) error {
	if !o.DebugChallenges {
		return nil
	}
	return func(ctx context.Context, batch []edge.Answer) error {
		says := "Challenges loaded. Press continue to submit to CA.\n"
		if o.VerboseCount == 0 {
			return s.o.Display.Pause(ctx, says+`Pass "-v" for more info about challenges.`)
		}
		return s.o.Display.Pause(ctx, says+"\n"+explainAnswers(batch))
	}
}

func explainAnswers(batch []edge.Answer) string {
	var urls, records, others []string
	for _, a := range batch {
		switch a.Type {
		case edge.HTTP01:
			urls = append(urls, fmt.Sprintf("URL: http://%s%s%s\nExpected value: %s\n", a.Identifier.Value, edge.HTTP01Prefix, a.Token, a.KeyAuth))
		case edge.DNS01:
			records = append(records, fmt.Sprintf("FQDN: _acme-challenge.%s\nExpected value: %s\n", strings.TrimPrefix(a.Identifier.Value, "*."), edge.DNS01Value(a.KeyAuth)))
		default:
			others = append(others, fmt.Sprintf("%s for %s\n", a.Type, a.Identifier))
		}
	}
	var parts []string
	if len(urls) > 0 {
		parts = append(parts, "The following URLs should be accessible from the internet and return the value mentioned:\n", strings.Join(urls, "\n"))
	}
	if len(records) > 0 {
		parts = append(parts, "The following FQDNs should return a TXT resource record with the value mentioned:\n", strings.Join(records, "\n"))
	}
	return strings.Join(append(parts, others...), "\n")
}

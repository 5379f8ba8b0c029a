package plesk

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"edge"
	"edge/installers/api"
	"edge/installers/delivery"
	"edge/installers/kept"
	"edge/installers/target"
)

// Kind describes plesk for configuration, flags and docs.
func Kind() target.Kind {
	return target.Kind{
		Name:        "plesk",
		Description: "Sites of Plesk and its panel; HTTP-01 and DNS-01 for them",
		Aliases:     []string{"letsencrypt-plesk:plesk", "certbot-plesk:plesk"},
		Settings: []target.Setting{
			{Name: "server", Type: target.Text, Doc: "https://HOST:8443 of the panel; on Plesk's machine, its programs are used for installing where nothing is said"},
			{Name: "secret_key", Type: target.Secret, Doc: "secret key of the API, which is bound to an address",
				Env: []string{"LE_PLESK_SECRET_KEY"}, Old: []string{"letsencrypt-plesk:plesk-secret-key"}},
			{Name: "login", Type: target.Text, Doc: "login of an administrator, in place of a secret key"},
			{Name: "password", Type: target.Secret, Doc: "password of the login"},
			{Name: "ca", Type: target.Path, Doc: "file with roots for the panel, PEM; those of the system are the default"},
			{Name: "fingerprint", Type: target.Text, Doc: "SHA-256 of the panel's certificate, in place of roots; what edge delivered is trusted as well then"},
			{Name: "sites", Type: target.List, Installs: true, Doc: "sites that get the certificate; those of its names are the default"},
			{Name: "address", Type: target.Text, Installs: true, Doc: "HOST:PORT where the sites are shown; port 443 of the server is the default"},
			{Name: "secure_panel", Type: target.Bool, Installs: true, Default: "false", Doc: "use it for the panel as well; on Plesk's machine only", Old: []string{"letsencrypt-plesk:plesk-secure-panel"}},
			{Name: "take_over", Type: target.Bool, Installs: true, Default: "false", Doc: "also replace certificates that Plesk's own Let's Encrypt extension keeps"},
			{Name: "challenges", Type: target.List, Proves: true, Default: "http-01,dns-01", Doc: "what is answered, the best first; http-01 on Plesk's machine only"},
			{Name: "nameservers", Type: target.List, Proves: true, Doc: "HOST:PORT that have to show the records; the server's port 53 is the default"},
			{Name: "propagation_timeout", Type: target.Duration, Proves: true, Default: "2m", Doc: "how long the name servers may take"},
			{Name: "plesk", Type: target.Path, Installs: true, Default: "/usr/sbin/plesk", Doc: "the program, where there is no server"},
			{Name: "psa", Type: target.Path, Default: "/usr/local/psa", Doc: "folder of Plesk, with admin/bin/filemng and certmng"},
			{Name: "timeout", Type: target.Duration, Default: "60s", Doc: "how long one request may take"},
		},
		Found: found,
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			return newTarget(v, env)
		},
		Authenticator: func(_ context.Context, v target.Values, env *target.Env) (target.Authenticator, error) {
			o, err := options(v, env)
			if err != nil {
				return nil, err
			}
			return NewAuthenticator(o)
		},
	}
}

func found(_ context.Context, v target.Values, _ *target.Env) (string, error) {
	if s := v.Text("server"); s != "" {
		return "panel at " + s, nil
	}
	if _, err := os.Stat(v.Text("plesk")); err != nil {
		return "", fmt.Errorf("there is no Plesk on this machine (%w); name the panel with server", err)
	}
	return v.Text("plesk"), nil
}

func newTarget(v target.Values, env *target.Env) (*Target, error) {
	o, err := options(v, env)
	if err != nil {
		return nil, err
	}
	return New(o)
}

// Options are what a Target and an Authenticator are made of.
type Options struct {
	Server          string // https://HOST:PORT; empty: the programs of this machine
	SecretKey       string
	Login, Password string // in place of a secret key
	Roots           *x509.CertPool
	Fingerprint     string
	Timeout         time.Duration

	Sites       []string // empty: those of the certificate's names
	Address     string   // HOST:PORT; empty: port 443 of Server
	SecurePanel bool
	TakeOver    bool
	Program     string // plesk, an absolute path
	PSA         string // folder with admin/bin

	Challenges  []edge.ChallengeType
	Nameservers []string // HOST:PORT; empty: port 53 of Server
	Propagation time.Duration

	Env *target.Env
}

func options(v target.Values, env *target.Env) (Options, error) {
	o := Options{
		Server: v.Text("server"), Login: v.Text("login"), Fingerprint: v.Text("fingerprint"), Timeout: v.Duration("timeout"), Sites: v.List("sites"), Address: v.Text("address"),
		SecurePanel: v.Bool("secure_panel"), TakeOver: v.Bool("take_over"), Program: v.Text("plesk"), PSA: v.Text("psa"),
		Nameservers: v.List("nameservers"), Propagation: v.Duration("propagation_timeout"), Env: env,
	}
	for _, c := range v.List("challenges") {
		o.Challenges = append(o.Challenges, edge.ChallengeType(c))
	}
	// HTTP-01 is for Plesk's machine; whoever asked for it is told why not.
	if _, err := os.Stat(o.filemng()); err != nil && !v.IsSet("challenges") {
		o.Challenges = slices.DeleteFunc(o.Challenges, func(c edge.ChallengeType) bool { return c == edge.HTTP01 })
	}
	var err error
	if o.SecretKey, err = v.Secret("secret_key"); err != nil {
		return o, err
	}
	if o.Password, err = v.Secret("password"); err != nil {
		return o, err
	}
	if o.Roots, err = api.Roots(v.Text("ca")); err != nil {
		return o, fmt.Errorf("plesk: ca: %w", err)
	}
	return o, nil
}

func (o *Options) filemng() string { return filepath.Join(o.PSA, "admin/bin/filemng") }
func (o *Options) certmng() string { return filepath.Join(o.PSA, "admin/bin/certmng") }

// host is that of the panel.
func (o *Options) host() string {
	u, err := url.Parse(o.Server)
	if err != nil || u.Hostname() == "" {
		return "localhost"
	}
	return u.Hostname()
}

// checkServer looks at the address and at what it is spoken to with.
func (o *Options) checkServer() error {
	if !strings.Contains(o.Server, "://") {
		o.Server = "https://" + o.Server
	}
	u, err := url.Parse(o.Server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return errors.New("plesk: server: write https://HOST:8443")
	}
	o.Server = "https://" + net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "8443"))
	odd := func(s string) bool { return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) }
	switch {
	case o.SecretKey == "" && (o.Login == "" || o.Password == ""):
		return errors.New("plesk: a secret key is needed (plesk bin secret_key -c -ip-address ADDRESS), or login and password; write secret_key: file:PATH")
	case o.SecretKey != "" && (o.Login != "" || o.Password != ""):
		return errors.New("plesk: there is a secret key, and a login or password: write one of the two")
	case odd(o.SecretKey + o.Login + o.Password):
		return errors.New("plesk: secret key, login or password have characters that cannot be in a header")
	}
	return nil
}

// New checks the options for installing.
func New(o Options) (*Target, error) {
	if o.Server != "" {
		if err := o.checkServer(); err != nil {
			return nil, err
		}
	} else if o.SecretKey+o.Login+o.Fingerprint != "" {
		return nil, errors.New("plesk: secret_key, login and fingerprint are for a panel; name it with server")
	}
	if !filepath.IsAbs(o.Program) || !filepath.IsAbs(o.PSA) {
		return nil, errors.New("plesk: plesk and psa are absolute paths")
	}
	if o.SecurePanel {
		if _, err := os.Stat(o.certmng()); err != nil {
			return nil, fmt.Errorf("plesk: secure_panel can be done on Plesk's own machine only: %w", err)
		}
	}
	o.Address = cmp.Or(o.Address, net.JoinHostPort(o.host(), "443"))
	if _, _, err := net.SplitHostPort(o.Address); err != nil {
		return nil, fmt.Errorf("plesk: address: write %q as HOST:PORT", o.Address)
	}
	for _, s := range o.Sites {
		if !siteName(s) {
			return nil, fmt.Errorf("plesk: sites: %q is no name of a site", s)
		}
	}
	t := &Target{o: o}
	t.kept = kept.NewBoth(kept.File{Dir: o.Env.State, Kind: "plesk", Name: o.Env.Name, Where: t.Where(), Durable: o.Env.Durable})
	return t, nil
}

// NewAuthenticator checks the options for answering challenges.
func NewAuthenticator(o Options) (*Authenticator, error) {
	if o.Server == "" {
		o.Server = "https://localhost:8443"
	}
	if err := o.checkServer(); err != nil {
		return nil, err
	}
	if len(o.Challenges) == 0 {
		return nil, errors.New("plesk: no challenge is named")
	}
	for i, c := range o.Challenges {
		if c != edge.HTTP01 && c != edge.DNS01 || slices.Contains(o.Challenges[:i], c) {
			return nil, fmt.Errorf("plesk: challenges: %q is not possible there; name http-01 and dns-01, each once", c)
		}
	}
	if slices.Contains(o.Challenges, edge.HTTP01) {
		if _, err := os.Stat(o.filemng()); err != nil {
			return nil, fmt.Errorf("plesk: http-01 can be answered on Plesk's own machine only: %w", err)
		}
	}
	if len(o.Nameservers) == 0 {
		o.Nameservers = []string{net.JoinHostPort(o.host(), "53")}
	}
	for _, n := range o.Nameservers {
		if _, _, err := net.SplitHostPort(n); err != nil {
			return nil, fmt.Errorf("plesk: nameservers: write %q as HOST:PORT", n)
		}
	}
	var pins []string
	if o.Fingerprint != "" {
		pins = []string{o.Fingerprint}
	}
	p, err := newPanel(&o, pins)
	if err != nil {
		return nil, err
	}
	return &Authenticator{o: o, panel: p}, nil
}

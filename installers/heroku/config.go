package heroku

import (
	"context"
	"crypto/x509"
	"fmt"
	"regexp"
	"strings"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
)

const name = "heroku"

// Options are what targets and authenticators are made of.
type Options struct {
	Env   *target.Env
	App   string
	Token string

	// Of the installer.
	Within   time.Duration
	Settings string // as in delivery.Target
	// At is where Heroku is asked for its certificates; nil: at the DNS target of each domain.
	At []installers.Endpoint

	// Of the authenticator.
	Apps      map[string]string // by name, where it is not App
	Variable  string            // config variable
	SelfCheck bool

	Base    string         // of the API; empty: https://api.heroku.com
	Roots   *x509.CertPool // nil: the system's
	Timeout time.Duration  // of one request; zero: 30 seconds
}

// Kind describes Heroku.
func Kind() target.Kind {
	return target.Kind{
		Name: name, Description: "Heroku's SNI endpoints, and HTTP-01 by a config variable",
		Aliases: []string{"certbot-heroku:heroku"},
		Settings: []target.Setting{
			{Name: "app", Doc: "name of the app", Must: true, Old: []string{"certbot-heroku:heroku-app"}},
			{Name: "token", Type: target.Secret, Doc: "API key (heroku authorizations:create)", Must: true, Env: []string{"HEROKU_API_KEY"}},
			{Name: "within", Type: target.Duration, Doc: "how long Heroku may take to show a certificate", Default: "5m", Installs: true},
			{Name: "apps", Type: target.List, Doc: "NAME=APP for names that another app serves", Proves: true},
			{Name: "config_var", Doc: "config variable that the app answers with", Default: "LETS_ENCRYPT_CHALLENGE", Proves: true,
				Old: []string{"certbot-heroku:heroku-configvar"}},
			{Name: "self_check", Type: target.Bool, Doc: "ask the app for the answer before the CA does", Default: "true", Proves: true},
		},
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			o, err := options(v, env)
			if err != nil {
				return nil, err
			}
			return NewTarget(o)
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

func options(v target.Values, env *target.Env) (Options, error) {
	o := Options{
		Env: env, App: v.Text("app"), Within: v.Duration("within"), Settings: v.String(), Apps: map[string]string{},
		Variable: v.Text("config_var"), SelfCheck: v.Bool("self_check"),
	}
	for _, pair := range v.List("apps") {
		host, app, ok := strings.Cut(pair, "=")
		if !ok || host == "" || app == "" {
			return o, fmt.Errorf("apps: %.80q is not NAME=APP", pair)
		}
		o.Apps[strings.ToLower(host)] = app
	}
	var err error
	o.Token, err = v.Secret("token")
	return o, err
}

var (
	appForm      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,63}$`)
	variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,100}$`)
)

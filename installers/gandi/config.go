package gandi

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"edge/installers/api"
	"edge/installers/delivery"
	"edge/installers/target"
)

// Kind describes gandi for configuration, flags and docs.
func Kind() target.Kind {
	return target.Kind{
		Name:        "gandi",
		Description: "Gandi: DNS-01 by LiveDNS, and the certificate store of the old hosting interface",
		Aliases:     []string{"letsencrypt-gandi:gandi-shs"},
		Settings: []target.Setting{
			{Name: "token", Type: target.Secret, Proves: true, Must: true, Doc: "personal access token that may change domains", Env: []string{"GANDI_PAT", "GANDI_API_KEY"}},
			{Name: "livedns", Type: target.Text, Proves: true, Default: "https://api.gandi.net/v5/livedns", Doc: "LiveDNS, or its sandbox https://api.sandbox.gandi.net/v5/livedns"},
			{Name: "nameservers", Type: target.List, Proves: true, Doc: "HOST:PORT that have to show the records; those of the zone are the default"},
			{Name: "propagation_timeout", Type: target.Duration, Proves: true, Default: "5m", Doc: "how long the name servers may take"},
			{Name: "propagation_seconds", Type: target.Number, Proves: true, Old: []string{"dns-gandi-propagation-seconds"}, Doc: "wait that long, and ask no name server"},
			{Name: "legacy_hosting", Type: target.Bool, Installs: true, Default: "false", Doc: "use the old hosting interface, which Gandi may have switched off"},
			{Name: "api_key", Type: target.Secret, Installs: true, Must: true, Doc: "key of the old interface, 24 letters and digits",
				Env: []string{"GANDI_API_KEY"}, Old: []string{"letsencrypt-gandi:gandi-shs-api-key"}},
			{Name: "xmlrpc", Type: target.Text, Installs: true, Default: "https://rpc.gandi.net/xmlrpc/", Doc: "the old interface"},
			{Name: "verify", Type: target.List, Installs: true, Doc: "where the certificate has to be shown, HOST:PORT or HOST:PORT/PROTOCOL, as verify of a delivery"},
			{Name: "timeout", Type: target.Duration, Default: "30s", Doc: "how long one request may take"},
		},
		Authenticator: func(_ context.Context, v target.Values, env *target.Env) (target.Authenticator, error) {
			token, err := v.Secret("token")
			if err != nil {
				return nil, err
			}
			o := Options{
				Token: token, LiveDNS: v.Text("livedns"), Nameservers: v.List("nameservers"), Propagation: v.Duration("propagation_timeout"),
				Timeout: v.Duration("timeout"), Dial: env.Dial, Wait: env.Wait, Log: env.Log,
			}
			if v.IsSet("propagation_seconds") {
				o.Blind = time.Duration(v.Number("propagation_seconds")) * time.Second
			}
			return newAuthenticator(o, env.API)
		},
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			if !v.Bool("legacy_hosting") {
				return nil, errors.New("gandi: certificates can only be installed by the old hosting interface, which Gandi may have switched off; try it with legacy_hosting: true")
			}
			key, err := v.Secret("api_key")
			if err != nil {
				return nil, err
			}
			h, err := newHosting(HostingOptions{Key: key, URL: v.Text("xmlrpc"), Timeout: v.Duration("timeout")}, env.API)
			if err != nil {
				return nil, err
			}
			return delivery.ShownAt(h, v.List("verify"))
		},
	}
}

// Options are what an Authenticator is made of.
type Options struct {
	Token   string
	LiveDNS string         // https://api.gandi.net/v5/livedns
	Roots   *x509.CertPool // nil: the system's
	// Nameservers are asked for the records, HOST:PORT; none: those of the zone.
	Nameservers []string
	// Propagation is how long they may take. Blind, where set, is waited for instead.
	Propagation, Blind time.Duration
	Timeout            time.Duration // of a request; zero: 30 seconds

	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	LookupNS func(ctx context.Context, zone string) ([]*net.NS, error) // nil: the system's
	Wait     func(ctx context.Context, d time.Duration) error          // nil: a timer
	Log      *slog.Logger                                              // nil: none
}

var oldKey = regexp.MustCompile(`^[A-Za-z0-9]{24}$`)

func newAuthenticator(o Options, client func(api.Options) (*api.Client, error)) (*Authenticator, error) {
	if o.Token == "" || strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("gandi: this is no token; make one at https://admin.gandi.net, under Organizations, and write token: file:PATH")
	}
	for _, n := range o.Nameservers {
		if _, _, err := net.SplitHostPort(n); err != nil {
			return nil, fmt.Errorf("gandi: nameservers: write %q as HOST:PORT", n)
		}
	}
	scheme := "Bearer "
	if oldKey.MatchString(o.Token) {
		scheme = "Apikey " // from before personal access tokens, as long as it is taken
	}
	c, err := client(api.Options{
		Base: o.LiveDNS, Roots: o.Roots, Secrets: []string{o.Token}, Timeout: o.Timeout,
		Sign: func(r *http.Request, _ []byte) error {
			r.Header.Set("Authorization", scheme+o.Token)
			r.Header.Set("Accept", "application/json")
			return nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("gandi: livedns: %w", err)
	}
	if o.LookupNS == nil {
		o.LookupNS = net.DefaultResolver.LookupNS
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Propagation = cmp.Or(o.Propagation, 5*time.Minute)
	return &Authenticator{o: o, api: c}, nil
}

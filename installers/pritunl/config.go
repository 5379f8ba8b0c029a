package pritunl

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"edge/installers/api"
	"edge/installers/delivery"
	"edge/installers/target"
)

// Kind describes pritunl for configuration, flags and docs.
func Kind() target.Kind {
	return target.Kind{
		Name:        "pritunl",
		Description: "The web console of Pritunl, by its API",
		Single:      true,
		Aliases:     []string{"letsencrypt-pritunl:pritunl", "certbot-pritunl:pritunl"},
		Settings: []target.Setting{
			{Name: "server", Type: target.Text, Must: true, Doc: "https://HOST or https://HOST:PORT of the web console"},
			{Name: "token", Type: target.Secret, Must: true, Doc: "API token of an administrator"},
			{Name: "secret", Type: target.Secret, Must: true, Doc: "API secret of the same administrator"},
			{Name: "address", Type: target.Text, Doc: "HOST:PORT where the console shows the certificate; that of server is the default"},
			{Name: "ca", Type: target.Path, Doc: "file with roots for the console, PEM; those of the system are the default"},
			{Name: "fingerprint", Type: target.Text, Doc: "SHA-256 of the console's certificate, in place of roots; what edge delivered is trusted as well then"},
			{Name: "clear_acme", Type: target.Bool, Default: "false", Doc: "end that Pritunl orders its certificate itself"},
			{Name: "timeout", Type: target.Duration, Default: "30s", Doc: "how long one request may take"},
		},
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			o := Options{
				Server: v.Text("server"), Address: v.Text("address"), Fingerprint: v.Text("fingerprint"), ClearACME: v.Bool("clear_acme"),
				Timeout: v.Duration("timeout"), Now: env.Now, API: env.API,
			}
			var err error
			if o.Token, err = v.Secret("token"); err != nil {
				return nil, err
			}
			if o.Secret, err = v.Secret("secret"); err != nil {
				return nil, err
			}
			if o.Roots, err = api.Roots(v.Text("ca")); err != nil {
				return nil, fmt.Errorf("pritunl: ca: %w", err)
			}
			return New(o)
		},
	}
}

// Options are what a Target is made of.
type Options struct {
	Server        string // https://HOST:PORT
	Address       string // HOST:PORT; empty: that of Server
	Token, Secret string
	Roots         *x509.CertPool // nil: the system's
	Fingerprint   string         // in place of roots; empty: none
	ClearACME     bool
	Timeout       time.Duration // of a request; zero: 30 seconds
	Now           func() time.Time
	API           func(api.Options) (*api.Client, error)
}

// New checks the options.
func New(o Options) (*Target, error) {
	u, err := url.Parse(o.Server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, errors.New("pritunl: server: write https://HOST or https://HOST:PORT")
	}
	o.Server = "https://" + u.Host
	if o.Address == "" {
		o.Address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
	}
	if _, _, err := net.SplitHostPort(o.Address); err != nil {
		return nil, fmt.Errorf("pritunl: address: write %q as HOST:PORT", o.Address)
	}
	for name, s := range map[string]string{"token": o.Token, "secret": o.Secret} {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, fmt.Errorf("pritunl: the %s has characters that none has; is the file the right one?", name)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Target{o: o}, nil
}

// sign adds the headers of Pritunl's API. It is called for each attempt: a nonce is taken
// once. Neither query nor body are signed.
func (o *Options) sign(r *http.Request, _ []byte) error {
	stamp, nonce := strconv.FormatInt(o.Now().Unix(), 10), rand.Text() // 26 letters and digits, of at most 32
	mac := hmac.New(sha256.New, []byte(o.Secret))
	mac.Write([]byte(strings.Join([]string{o.Token, stamp, nonce, r.Method, r.URL.Path}, "&")))
	r.Header.Set("Auth-Token", o.Token)
	r.Header.Set("Auth-Timestamp", stamp)
	r.Header.Set("Auth-Nonce", nonce)
	r.Header.Set("Auth-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	r.Header.Set("Accept", "application/json")
	return nil
}

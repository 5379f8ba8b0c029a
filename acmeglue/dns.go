package acmeglue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/libdns/cloudflare"
	"github.com/libdns/libdns"
	"github.com/libdns/rfc2136"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"edge"
)

// DNSOptions say how DNS-01 records are written.
type DNSOptions struct {
	Provider           string // "cloudflare" or "rfc2136"
	APIToken           string // cloudflare; secret
	Email              string // cloudflare, in the place of APIToken: of the account that APIKey is of
	APIKey             string // cloudflare's global key; secret
	Server             string // rfc2136: host:port
	KeyName            string
	KeyAlgorithm       string // "hmac-sha256", ...
	KeySecret          string // base64; secret
	OverrideDomain     string // where the records go instead: the target of a CNAME
	Resolvers          []string
	PropagationTimeout time.Duration
	HTTPClient         *http.Client // cloudflare; nil: one of our own
}

// newDNSSolver makes certmagic's, which removes each record by what the provider
// said it made, also where two values live at one name (a wildcard and its apex).
func newDNSSolver(o *DNSOptions) (*certmagic.DNS01Solver, error) {
	m := &certmagic.DNS01Solver{}
	m.TTL, m.PropagationTimeout = 2*time.Minute, o.PropagationTimeout
	m.Resolvers, m.OverrideDomain = o.Resolvers, o.OverrideDomain
	switch o.Provider {
	case "cloudflare":
		p := &cloudflare.Provider{APIToken: o.APIToken, HTTPClient: &http.Client{Timeout: 30 * time.Second}}
		if o.HTTPClient != nil {
			p.HTTPClient = o.HTTPClient
		}
		if o.APIToken == "" && o.APIKey != "" {
			p.HTTPClient = globalKey{p.HTTPClient, o.Email, o.APIKey}
		}
		m.DNSProvider = p
	case "rfc2136":
		alg := strings.TrimSuffix(o.KeyAlgorithm, ".")
		m.DNSProvider = &rfc2136.Provider{Server: o.Server, KeyName: strings.TrimSuffix(o.KeyName, ".") + ".", KeyAlg: alg, Key: o.KeySecret}
		m.TTL = time.Minute
	default:
		return nil, fmt.Errorf("unknown DNS provider %q; have cloudflare and rfc2136", o.Provider)
	}
	return m, nil
}

// globalKey has Cloudflare's API take the key of an account in the place of a
// token, which is all that the provider knows.
type globalKey struct {
	cloudflare.HTTPClient
	email, key string
}

func (g globalKey) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	r.Header.Set("X-Auth-Email", g.email)
	r.Header.Set("X-Auth-Key", g.key)
	return g.HTTPClient.Do(r)
}

// dnsAuthenticator writes TXT records.
type dnsAuthenticator struct {
	name   string
	solver *certmagic.DNS01Solver

	mu      sync.Mutex
	present map[edge.Answer]int // how often
}

// NewDNSAuthenticator writes DNS-01 records. name is as in certbot's renewal
// files: "dns-cloudflare".
func NewDNSAuthenticator(name string, o DNSOptions) (Authenticator, error) {
	solver, err := newDNSSolver(&o)
	if err != nil {
		return nil, err
	}
	return &dnsAuthenticator{name: name, solver: solver, present: make(map[edge.Answer]int)}, nil
}

func (d *dnsAuthenticator) Name() string                { return d.name }
func (d *dnsAuthenticator) Types() []edge.ChallengeType { return []edge.ChallengeType{edge.DNS01} }

func (d *dnsAuthenticator) Present(ctx context.Context, batch []edge.Answer) error {
	for _, a := range batch {
		if d.count(a, 0) == 0 {
			if err := d.write(ctx, a); err != nil {
				return AnswerFailed(err, a)
			}
		}
		d.count(a, 1)
	}
	return nil
}

// write makes a record. It may be there already: from a process that was killed and
// whose order goes on here, or from a request of ours whose answer got lost. Some
// providers refuse it then, so it is taken away and written anew.
func (d *dnsAuthenticator) write(ctx context.Context, a edge.Answer) error {
	err := d.solver.Present(ctx, dnsChallenge(a))
	if err == nil || d.count(a, 0) > 0 || strings.HasPrefix(err.Error(), "could not determine zone") {
		return err
	}
	if !d.purge(ctx, a) || ctx.Err() != nil {
		return err
	}
	if err = d.solver.Present(ctx, dnsChallenge(a)); err != nil {
		d.purge(ctx, a)
	}
	return err
}

// purge removes a record by its value, also after the end of ctx, and reports
// whether there can have been one.
func (d *dnsAuthenticator) purge(ctx context.Context, a edge.Answer) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	c := dnsChallenge(a)
	name := firstOf(d.solver.OverrideDomain, c.DNS01TXTRecordName())
	zone, err := certmagic.FindZoneByFQDN(ctx, zap.NewNop(), name, certmagic.RecursiveNameservers(d.solver.Resolvers))
	if err != nil {
		return false
	}
	rr := libdns.RR{Type: "TXT", Name: libdns.RelativeName(name+".", zone), Data: c.DNS01KeyAuthorization()}
	removed, err := d.solver.DNSProvider.DeleteRecords(ctx, zone, []libdns.Record{rr})
	return err == nil && len(removed) > 0
}

// count notes that a record was made or is to be removed, and returns how many
// there were.
func (d *dnsAuthenticator) count(a edge.Answer, by int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.present[a]
	if d.present[a] = n + by; n+by <= 0 {
		delete(d.present, a)
	}
	return n
}

func (d *dnsAuthenticator) Ready(ctx context.Context, batch []edge.Answer) error {
	for _, a := range batch {
		if err := d.solver.Wait(ctx, dnsChallenge(a)); err != nil {
			return AnswerFailed(err, a)
		}
	}
	return nil
}

func (d *dnsAuthenticator) Cleanup(ctx context.Context, batch []edge.Answer) error {
	var errs []error
	for _, a := range batch {
		if d.count(a, -1) != 1 {
			continue // Present failed before it, or another order needs it still
		}
		c := dnsChallenge(a)
		if err := d.solver.CleanUp(ctx, c); err != nil {
			errs = append(errs, fmt.Errorf("the DNS-01 record %s could not be removed, remove it by hand: %w", c.DNS01TXTRecordName(), err))
		}
	}
	return errors.Join(errs...)
}

func dnsChallenge(a edge.Answer) acme.Challenge {
	return acme.Challenge{
		Type: string(a.Type), Token: a.Token, KeyAuthorization: a.KeyAuth,
		Identifier: acme.Identifier{Type: string(a.Identifier.Type), Value: a.Identifier.Value},
	}
}

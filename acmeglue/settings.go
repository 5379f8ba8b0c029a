package acmeglue

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"edge"

	"github.com/caddyserver/certmagic"
)

// Settings say which names a Manager keeps certificates for. They come from one
// configuration and are not changed after they were given to Apply.
type Settings struct {
	Sites    []Site
	OnDemand []OnDemandRule
	Static   []StaticPair
	Lineages []LineageSite
	// Off has hosts (exact, "*.x") that never get a certificate, even where a
	// wider on-demand rule covers them: sites with `tls: off`.
	Off []string
	// Default has the hosts of the default site. The first of them that has a
	// certificate answers handshakes without a server name or with an unknown one.
	Default []string
}

// Plan says how a certificate is obtained.
type Plan struct {
	CAs        []CA // tried in order
	Challenges []edge.ChallengeType
	KeyType    KeyType // "": P256
	Profile    string
}

// String identifies the plan: failures are remembered for a name and a plan, so
// that a changed configuration gets a fresh chance.
func (p *Plan) String() string {
	var b strings.Builder
	for _, ca := range p.CAs {
		b.WriteString(ca.Key())
		b.WriteByte(' ')
	}
	fmt.Fprintf(&b, "%v %s %s", p.Challenges, p.KeyType, p.Profile)
	return b.String()
}

func (p *Plan) has(issuerKey string) bool {
	return slices.ContainsFunc(p.CAs, func(ca CA) bool {
		return ca.Key() == issuerKey || certmagic.StorageKeys.Safe(ca.Key()) == issuerKey
	})
}

// Site is a set of hosts that get a certificate each, from the start.
type Site struct {
	Hosts []edge.Identifier
	Plan  Plan
}

// OnDemandRule permits certificates for names that clients ask for.
type OnDemandRule struct {
	Hosts []string // of the site: exact, "*.x" (one label), or "*" (any)
	Plan  Plan

	// A name needs the consent of Ask or of Allow; without both, none has it.
	Ask   string   // URL, asked with GET ?domain=NAME; 2xx is consent
	Allow []string // exact, "*.suffix" (one label), "**.suffix" (one or more)

	MaxNewPerHour int  // orders for names new to us; default 60. Counted in memory: a restart starts at none.
	MaxConcurrent int  // such orders at a time; default 8
	AllowIP       bool // also for the address that a client without server name connected to
}

// StaticPair is a certificate from files, which are read by Apply.
type StaticPair struct {
	Hosts             []string // exact, "*.x", or "*" for whatever nobody else has
	CertFile, KeyFile string   // PEM
}

// ErrSettings is wrapped by errors of Apply that name a mistake in Settings.
var ErrSettings = errors.New("certificate settings")

func (s *Settings) check() error {
	plan := func(of string, p *Plan) error {
		if len(p.CAs) == 0 {
			return fmt.Errorf("%w: %s has no certificate authority", ErrSettings, of)
		}
		switch p.KeyType {
		case "", P256, P384, RSA2048, RSA4096:
			return nil
		}
		return fmt.Errorf("%w: %s: unknown key type %q; have p256, p384, rsa2048, rsa4096", ErrSettings, of, p.KeyType)
	}
	for i := range s.Sites {
		for _, id := range s.Sites[i].Hosts {
			if err := plan(id.Value, &s.Sites[i].Plan); err != nil {
				return err
			}
		}
	}
	for _, l := range s.Lineages {
		if err := edge.CheckLineageName(l.Lineage); err != nil {
			return fmt.Errorf("%w: %w", ErrSettings, err)
		}
	}
	for i := range s.OnDemand {
		r := &s.OnDemand[i]
		of := "on demand for " + strings.Join(r.Hosts, ", ")
		if err := plan(of, &r.Plan); err != nil {
			return err
		}
		if r.Ask == "" && len(r.Allow) == 0 {
			return fmt.Errorf("%w: %s needs ask or allow: without either, anybody could have certificates made for any name", ErrSettings, of)
		}
		if r.Ask != "" {
			u, err := url.Parse(r.Ask)
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return fmt.Errorf("%w: %s: ask %q is not an http or https URL", ErrSettings, of, r.Ask)
			}
		}
	}
	return nil
}

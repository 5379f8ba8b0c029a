package steward

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"edge"
	"edge/acmeglue"
	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
)

// Configured is a lineage that the front door's configuration wants.
type Configured struct {
	Name       string
	Hosts      []string
	Challenges []edge.ChallengeType
	DNS        *acmeglue.DNSOptions // nil: no DNS-01
	KeyType    string               // "" or as acmeglue.KeyType
	Email      string
	CAs        []ConfiguredCA // tried in order

	// The front door's ports, where CAs are answered also while it is down; 0: certbot's.
	HTTPPort, TLSPort int
}

// ConfiguredCA is one CA of it.
type ConfiguredCA struct {
	Directory, Profile, PreferredChain string
	EABKID, EABHMAC                    string
	Roots                              *x509.CertPool
}

// configure obtains the lineages of the configuration that are missing, or whose
// names have changed, and says which of an earlier configuration are no longer in
// it. What is there and fits is renewed as any other.
func (p *pass) configure(ctx context.Context) {
	s := p.s
	for _, c := range s.o.Configured {
		l := s.find(c.Name)
		if l == nil && s.o.Tree.Exists(c.Name) {
			continue // broken: renew says so
		}
		if l != nil {
			if have, err := l.Names(); err == nil && sameSet(have, c.Hosts) {
				continue
			}
		}
		r := p.obtainConfigured(ctx, c, l)
		p.results = append(p.results, r)
	}
}

func (p *pass) obtainConfigured(ctx context.Context, c Configured, l *lineage.Lineage) result {
	s := p.s
	r := result{name: c.Name, conf: s.o.Tree.ConfPath(c.Name), path: s.o.Tree.ConfPath(c.Name), due: true, names: c.Hosts}
	s.o.Display.Notify("Processing "+r.conf, true)
	var errs []error
	for _, ca := range c.CAs {
		j, err := s.configuredJob(p.o, c, ca, l)
		var got *lineage.Lineage
		if err == nil {
			got, err = s.obtain(ctx, j)
		}
		if err == nil {
			s.note(j, got, nil)
			if got != nil {
				r.path = got.Path(lineage.FullChain)
			}
			return r
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	r.err = errors.Join(errs...)
	s.note(&job{o: p.o, name: c.Name, l: l}, l, r.err)
	s.o.Log.Error(fmt.Sprintf("Failed to renew certificate %s with error: %v", c.Name, r.err))
	return r
}

// configuredJob has the options that a command line would have had.
func (s *Steward) configuredJob(o *certbotcli.Options, c Configured, ca ConfiguredCA, l *lineage.Lineage) (*job, error) {
	own := o.Clone()
	own.CertName, own.Domains, own.IPs = c.Name, nil, nil
	for _, h := range c.Hosts {
		id, err := edge.ParseIdentifier(h)
		if err != nil {
			return nil, err
		}
		if id.Type == edge.IP {
			own.IPs = append(own.IPs, h)
		} else {
			own.Domains = append(own.Domains, h)
		}
	}
	own.Server, own.Account = ca.Directory, ""
	own.RequiredProf, own.PreferredChain = ca.Profile, ca.PreferredChain
	own.EABKID, own.EABHMACKey = ca.EABKID, ca.EABHMAC
	own.Email, own.RegisterUnsafelyWithoutEmail, own.AgreeTOS = c.Email, c.Email == "", true // acme.agree_tos was checked
	own.Authenticator = doorName
	own.PrefChallenges = nil
	for _, t := range c.Challenges {
		own.PrefChallenges = append(own.PrefChallenges, string(t))
	}
	switch kind := strings.ToLower(c.KeyType); kind {
	case "", string(acmeglue.P256):
		own.KeyType, own.EllipticCurve = "ecdsa", "secp256r1"
	case string(acmeglue.P384):
		own.KeyType, own.EllipticCurve = "ecdsa", "secp384r1"
	case string(acmeglue.RSA2048):
		own.KeyType, own.RSAKeySize = "rsa", 2048
	case string(acmeglue.RSA4096):
		own.KeyType, own.RSAKeySize = "rsa", 4096
	default:
		return nil, fmt.Errorf("key type %q is not known", kind)
	}
	s.mu.Lock()
	if ca.Roots != nil {
		s.roots[ca.Directory] = ca.Roots
	}
	s.mu.Unlock()
	return &job{o: own, l: l, name: c.Name, names: c.Hosts, to: s.o.Display}, nil
}

// configuredFor is what the configuration says about a lineage, or nil.
func (s *Steward) configuredFor(name string) *Configured {
	n := slices.IndexFunc(s.o.Configured, func(c Configured) bool { return c.Name == name })
	if n < 0 {
		return nil
	}
	return &s.o.Configured[n]
}

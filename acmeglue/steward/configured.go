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
	"edge/internal/configobj"
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

// configuredKey marks, in the section [edge] of a renewal file, what the
// configuration asked for: else nobody could tell that it no longer does.
const configuredKey = "configured"

// paramsFor are what the renewal file of a job has to say, with that mark.
func (s *Steward) paramsFor(j *job) (*lineage.Params, error) {
	p := paramsOf(j.o)
	marked := s.configuredFor(j.lineageName()) != nil
	if j.l != nil && !marked {
		before, err := j.l.Params()
		if err != nil {
			return nil, err
		}
		_, marked = before.Edge.Get(configuredKey)
	}
	if marked {
		p.Edge = append(p.Edge, lineage.Param{Key: configuredKey, Value: configobj.String("True")})
	}
	return p, nil
}

// configure obtains the lineages of the configuration that are missing, or whose
// names have changed, and returns what became of them. What is there and fits is
// renewed as any other. With --cert-name, the others are let be.
func (p *pass) configure(ctx context.Context) []result {
	s := p.s
	s.trustConfigured()
	var results []result
	for _, c := range s.o.Configured {
		if p.o.CertName != "" && p.o.CertName != c.Name {
			continue
		}
		l := s.find(c.Name)
		if l == nil && s.o.Tree.Exists(c.Name) {
			continue // broken: renew says so
		}
		if l != nil {
			if have, err := l.Names(); err == nil && sameSet(have, c.Hosts) {
				continue
			}
		}
		results = append(results, p.obtainConfigured(ctx, c, l))
	}
	return results
}

// trustConfigured has the CAs of the configuration verified by the roots that are
// named there, also for lineages that came from them and are renewed.
func (s *Steward) trustConfigured() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.o.Configured {
		for _, ca := range c.CAs {
			if ca.Roots != nil {
				s.roots[ca.Directory] = ca.Roots
			}
		}
	}
}

// sayUnlisted names the lineages that an earlier configuration asked for, and this
// one does not. They stay, and are renewed: somebody may use them.
func (s *Steward) sayUnlisted(names []string) {
	if s.o.Configured == nil {
		return
	}
	for _, name := range names {
		l := s.find(name)
		if l == nil || s.configuredFor(name) != nil {
			continue
		}
		if p, err := l.Params(); err == nil && p.Edge.String(configuredKey) != "" {
			s.notify("%[1]s is no longer in certificates of the configuration. It stays, and is renewed; edge delete --cert-name %[1]s deletes it.", name)
		}
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
	if l != nil {
		// What the configuration says nothing about, such as hooks, stays.
		var err error
		if own, err = withSaved(o, l); err != nil {
			return nil, fmt.Errorf("%s: %w", s.o.Tree.ConfPath(c.Name), err)
		}
	}
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
	own.RequiredProf, own.PreferredProf, own.PreferredChain = ca.Profile, "", ca.PreferredChain
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

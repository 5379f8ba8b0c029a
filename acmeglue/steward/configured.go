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
	"edge/internal/display"
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

// configure obtains the lineages of the configuration that are missing or that the
// configuration wants to be others now, and returns what became of them. What is
// there and fits is renewed as any other. With --cert-name, the others are let be.
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
			change := c.change(l)
			if change == "" {
				continue
			}
			s.o.Log.Info("the configuration wants another certificate", "lineage", c.Name, "change", change)
		}
		r := p.obtainConfigured(ctx, c, l)
		if r.err != nil {
			p.refused[c.Name] = true
		}
		results = append(results, r)
	}
	return results
}

// change is what the configuration wants of a lineage that it does not have, or "".
// A changed CA or key type counts at once, as changed hosts do: who writes it down
// wants it, and would look in vain for two months. But a lineage that certbot or a
// person made, and that is only listed, waits for its renewal: its key may be
// pinned. A CA that is any of the list is as good as the first.
func (c Configured) change(l *lineage.Lineage) string {
	leaf, err := l.Leaf()
	if err != nil {
		return ""
	}
	params, err := l.Params()
	if err != nil {
		return ""
	}
	if have, err := l.Names(); err != nil || !sameSet(have, c.Hosts) {
		return "hosts"
	}
	if params.Edge.String(configuredKey) == "" {
		return ""
	}
	if !slices.ContainsFunc(c.CAs, func(ca ConfiguredCA) bool { return ca.Directory == params.Server() }) {
		return "CA"
	}
	if kind, err := c.keyType(); err == nil && !kind.is(leaf.PublicKey) {
		return "key type"
	}
	return ""
}

// fromAny obtains a lineage from the first CA that issues it.
func (p *pass) fromAny(ctx context.Context, c Configured, l *lineage.Lineage, to display.Display) (*lineage.Lineage, error) {
	var errs []error
	for _, ca := range c.CAs {
		j, err := p.s.configuredJob(p.o, c, ca, l)
		if err == nil {
			j.to = to
			var got *lineage.Lineage
			// With a lineage and an error, there is a certificate: no other CA is asked.
			if got, err = p.s.obtain(ctx, j); err == nil || got != nil {
				return got, err
			}
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
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
	got, err := p.fromAny(ctx, c, l, s.o.Display)
	if err == nil {
		s.note(&job{o: p.o, name: c.Name, l: l}, got, nil)
		if got != nil {
			r.path = got.Path(lineage.FullChain)
		}
		return r
	}
	r.err = err
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
	if own.Server != ca.Directory {
		own.Server, own.Account = ca.Directory, ""
	}
	if own.DryRun && own.Server == certbotcli.DefaultServer {
		own.Server, own.Account = certbotcli.StagingServer, ""
	}
	own.RequiredProf, own.PreferredProf, own.PreferredChain = ca.Profile, "", ca.PreferredChain
	own.EABKID, own.EABHMACKey = ca.EABKID, ca.EABHMAC
	own.Email, own.RegisterUnsafelyWithoutEmail, own.AgreeTOS = c.Email, c.Email == "", true // acme.agree_tos was checked
	own.Authenticator = doorName
	own.PrefChallenges = nil
	for _, t := range c.Challenges {
		own.PrefChallenges = append(own.PrefChallenges, string(t))
	}
	kind, err := c.keyType()
	if err != nil {
		return nil, err
	}
	own.KeyType = kind.algorithm
	if kind.bits != 0 {
		own.RSAKeySize = kind.bits
	} else {
		own.EllipticCurve = kind.curve
	}
	return &job{o: own, l: l, name: c.Name, names: c.Hosts, to: s.o.Display}, nil
}

func (c Configured) keyType() (keyKind, error) {
	switch kind := strings.ToLower(c.KeyType); kind {
	case "", string(acmeglue.P256):
		return keyKind{"ecdsa", "secp256r1", 0}, nil
	case string(acmeglue.P384):
		return keyKind{"ecdsa", "secp384r1", 0}, nil
	case string(acmeglue.RSA2048):
		return keyKind{"rsa", "", 2048}, nil
	case string(acmeglue.RSA4096):
		return keyKind{"rsa", "", 4096}, nil
	default:
		return keyKind{}, fmt.Errorf("key type %q is not known", kind)
	}
}

// configuredFor is what the configuration says about a lineage, or nil.
func (s *Steward) configuredFor(name string) *Configured {
	n := slices.IndexFunc(s.o.Configured, func(c Configured) bool { return c.Name == name })
	if n < 0 {
		return nil
	}
	return &s.o.Configured[n]
}

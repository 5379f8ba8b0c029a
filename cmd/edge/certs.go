package main

import (
	"fmt"

	"edge"
	"edge/acmeglue"
	"edge/internal/config"
)

// issuers makes the acmeglue.CAs that a configuration names, one for each
// distinct account: two sites that say the same share one issuer, and with it
// its account, its throttle and its memory of failures.
type issuers struct {
	base acmeglue.IssuerOptions // what all have in common
	acme config.ACME
	made map[string]acmeglue.CA
}

// get returns the CAs of a site, in the order in which they are tried.
func (i *issuers) get(t config.TLS) ([]acmeglue.CA, error) {
	wanted := t.CAs
	if wanted == nil {
		wanted = i.acme.CAs
	}
	cas := make([]acmeglue.CA, 0, len(wanted))
	for _, c := range wanted {
		ca, err := i.issuer(c)
		if err != nil {
			return nil, err
		}
		cas = append(cas, ca)
	}
	return cas, nil
}

func (i *issuers) issuer(c config.CA) (acmeglue.CA, error) {
	key := fmt.Sprintf("%+v %s", c, i.acme.Email)
	if c.EAB != nil {
		key += fmt.Sprintf(" %+v", *c.EAB)
	}
	if ca := i.made[key]; ca != nil {
		return ca, nil
	}
	o := i.base
	o.Directory, o.Email = c.Directory, i.acme.Email
	o.Profile, o.PreferredChain = c.Profile, c.PreferredChain
	o.Challenges = challengeTypes(i.acme.Challenges)
	if c.EAB != nil {
		o.EAB = &acmeglue.EAB{KID: c.EAB.KID, HMAC: c.EAB.HMAC}
	}
	var err error
	if o.Roots, err = rootPool(c.Roots); err != nil {
		return nil, err
	}
	ca, err := acmeglue.NewIssuer(o)
	if err != nil {
		return nil, err
	}
	i.made[key] = ca
	return ca, nil
}

// certificateSettings turns the sites into what the certificate manager keeps.
func certificateSettings(cfg *config.Config, is *issuers) (acmeglue.Settings, error) {
	var set acmeglue.Settings
	for _, s := range cfg.Sites {
		if s.Default {
			set.Default = s.Hosts
		}
		if s.TLS.Forward != nil {
			continue // its servers have the certificate
		}
		if s.TLS.Off {
			set.Off = append(set.Off, s.Hosts...)
			continue
		}
		if s.TLS.Cert != "" {
			set.Static = append(set.Static, acmeglue.StaticPair{Hosts: s.Hosts, CertFile: s.TLS.Cert, KeyFile: s.TLS.Key})
			continue
		}
		if s.TLS.Lineage != "" {
			set.Lineages = append(set.Lineages, acmeglue.LineageSite{Lineage: s.TLS.Lineage, Hosts: s.Hosts})
			continue
		}
		plan, err := sitePlan(cfg, s, is)
		if err != nil {
			return set, fmt.Errorf("site %s: %w", siteName(s), err)
		}
		if d := s.TLS.OnDemand; d != nil {
			set.OnDemand = append(set.OnDemand, acmeglue.OnDemandRule{
				Hosts: s.Hosts, Plan: plan, Ask: d.Ask, Allow: d.Allow,
				MaxNewPerHour: d.MaxNewPerHour, MaxConcurrent: d.MaxConcurrent, AllowIP: d.AllowIP,
			})
			continue
		}
		site := acmeglue.Site{Plan: plan}
		for _, h := range s.Hosts {
			id, err := edge.ParseIdentifier(h)
			if err != nil {
				return set, fmt.Errorf("site %s: %w", siteName(s), err)
			}
			site.Hosts = append(site.Hosts, id)
		}
		set.Sites = append(set.Sites, site)
	}
	return set, nil
}

func sitePlan(cfg *config.Config, s config.Site, is *issuers) (acmeglue.Plan, error) {
	plan := acmeglue.Plan{
		Challenges: challengeTypes(cfg.ACME.Challenges),
		KeyType:    acmeglue.KeyType(cfg.ACME.KeyType),
		Profile:    s.TLS.Profile,
	}
	if s.TLS.Challenges != nil {
		plan.Challenges = challengeTypes(s.TLS.Challenges)
	}
	if s.TLS.KeyType != "" {
		plan.KeyType = acmeglue.KeyType(s.TLS.KeyType)
	}
	var err error
	plan.CAs, err = is.get(s.TLS)
	return plan, err
}

// dnsOptions maps acme.dns; nil means no DNS-01.
func dnsOptions(d *config.DNS) *acmeglue.DNSOptions {
	if d == nil {
		return nil
	}
	return &acmeglue.DNSOptions{
		Provider: d.Provider, APIToken: d.APIToken,
		Server: d.Server, KeyName: d.KeyName, KeyAlgorithm: d.KeyAlgorithm, KeySecret: d.KeySecret,
		OverrideDomain: d.OverrideDomain, Resolvers: d.Resolvers, PropagationTimeout: d.PropagationTimeout,
	}
}

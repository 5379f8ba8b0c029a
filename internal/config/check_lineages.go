package config

import (
	"fmt"
	"slices"
	"strings"

	"edge"
)

func (l *loader) checkCertificates() {
	seen := map[string]Pos{}
	for i := range l.cfg.Certificates {
		c := &l.cfg.Certificates[i]
		path := fmt.Sprintf("certificates[%d]", i)
		l.checkLineageName(path+".name", c.Name)
		if first, twice := seen[c.Name]; twice {
			l.bad(path+".name", "a lineage is one certificate; give each a name of its own", "%s is described already, at %s", shown(c.Name), first)
		} else {
			seen[c.Name] = l.place(path + ".name")
		}
		if c.CAs != nil {
			l.checkCAs(path+".ca", c.CAs)
		}
		cas, challenges, dns := c.CAs, c.Challenges, c.DNS
		if cas == nil {
			cas = l.cfg.ACME.CAs
		}
		if dns == nil {
			dns = l.cfg.ACME.DNS
		}
		if challenges != nil {
			l.checkChallenges(path+".challenges", challenges, dns)
		} else {
			challenges = l.cfg.ACME.Challenges
		}
		l.checkDNS(path+".dns", c.DNS)
		l.checkSNI01(path, challenges, cas)
		l.checkCertificateHosts(path, c, challenges)
	}
}

// checkCertificateHosts brings the hosts of a lineage into their one form.
func (l *loader) checkCertificateHosts(path string, c *Certificate, challenges []string) {
	if len(c.Hosts) == 0 {
		l.bad(path+".hosts", "name at least one", "no host")
	}
	for j, h := range c.Hosts {
		p := fmt.Sprintf("%s.hosts[%d]", path, j)
		host, err := normalHost(h)
		switch {
		case err != nil:
			l.bad(p, "write names of letters, digits and hyphens, without scheme, port and path", "%v", err)
			continue
		case host == "*":
			l.bad(p, "write the names out, or *.suffix", "there is no certificate for every name")
		case edge.IsACMEInvalid(host):
			l.bad(p, "choose another name", "%s is reserved for validation", host)
		case slices.Contains(c.Hosts[:j], host):
			l.bad(p, "remove one", "%s is named twice", host)
		case strings.HasPrefix(host, "*.") && !slices.Contains(challenges, "dns-01"):
			l.bad(p, "add dns-01 to the challenges and say in dns who serves the zone", "a certificate for %s needs dns-01", host)
		case isIP(host) && slices.Equal(challenges, []string{"dns-01"}):
			l.bad(p, "use http-01 or tls-alpn-01", "addresses such as %s cannot be validated by dns-01", host)
		}
		c.Hosts[j] = host
	}
}

func (l *loader) checkLineageName(path, name string) {
	if err := edge.CheckLineageName(name); err != nil {
		l.bad(path, "choose one as for certbot's --cert-name, such as the first host", "%v", err)
	}
}

// checkLineage looks at a site that uses a lineage. One that certificates does not
// have is fine: certbot may have made it. One that it has must be for the site's hosts.
func (l *loader) checkLineage(path string, s *Site) {
	t := &s.TLS
	l.checkLineageName(path+".lineage", t.Lineage)
	if t.Cert != "" || t.Key != "" || t.OnDemand != nil || t.CAs != nil || t.Challenges != nil || t.KeyType != "" || t.Profile != "" {
		l.bad(path, "remove them, or lineage; how a lineage is obtained stands in certificates",
			"the steward obtains a lineage: cert, key, on_demand, ca, challenges, key_type and profile make no sense beside it")
	}
	for i := range l.cfg.Certificates {
		c := &l.cfg.Certificates[i]
		if c.Name != t.Lineage {
			continue
		}
		for _, h := range s.Hosts {
			if !c.covers(h) {
				l.bad(path+".lineage", fmt.Sprintf("add it to certificates[%d].hosts, or take it out of this site", i), "lineage %s is not for %s", t.Lineage, h)
			}
		}
	}
}

// covers reports whether a certificate of the lineage would be for a host of a site.
func (c *Certificate) covers(host string) bool {
	return host == "*" || slices.ContainsFunc(c.Hosts, func(h string) bool {
		own, err := normalHost(h) // sites are checked before certificates
		return err == nil && (own == host || own == edge.Parent(host))
	})
}

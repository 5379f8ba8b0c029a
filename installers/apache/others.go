package apache

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"edge/installers/apache/conf"
)

// sparesOthers refuses to take a certificate away from names that the new one is not for:
// browsers would refuse them. A site that shows none so far has nothing to lose.
func (p *planner) sparesOthers(s *site) error {
	now := p.showsNow(s)
	if now != "" && slices.Contains([]string{p.r.Certificate.FullChain, p.r.Certificate.Cert}, now) {
		return nil
	}
	others := p.uncovered(s)
	if len(others) == 0 {
		return nil
	}
	text := fmt.Sprintf("the virtual host at %s also answers %s, for which this certificate is not", s.host.Where(), strings.Join(others, ", "))
	every := "obtain one for all of its names (-d " + strings.Join(append(others, s.names...), " -d ") + ")"
	switch {
	case now == "":
		p.warnOnce(text + ", and will do so over HTTPS, too: " + every)
	case p.r.Overwrite:
		p.warnOnce(text)
	default:
		return fmt.Errorf("%s: %s, or give %s a host of its own", text, every, strings.Join(s.names, ", "))
	}
	return nil
}

// showsNow is the file of the certificate that a site shows now, empty for none. Hosts
// have that of the main server where they name none.
func (p *planner) showsNow(s *site) string {
	if !s.host.TLS {
		return ""
	}
	all := s.host.All("SSLCertificateFile")
	if len(all) == 0 {
		all = p.set.Root.All("SSLCertificateFile")
	}
	if len(all) == 0 || len(all[len(all)-1].Values) == 0 {
		return ""
	}
	return p.underRoot(all[len(all)-1].Values[0])
}

// uncovered are the names of a site that clients could ask for and that the certificate
// of the request is not for. No CA gives one for localhost, or for a host of an intranet.
func (p *planner) uncovered(s *site) []string {
	isFor := p.certified()
	var out []string
	for _, name := range s.host.Names() {
		name = strings.ToLower(name)
		if _, err := netip.ParseAddr(name); err == nil || !plausible(name) || isFor(name) {
			continue
		}
		out = append(out, name)
	}
	return out
}

// certified tells what names the request is for: those that it has, and those that its
// certificate says itself where it can be read.
func (p *planner) certified() func(name string) bool {
	asked := func(name string) bool {
		return slices.ContainsFunc(p.r.Names, func(n string) bool {
			return conf.MatchName(n, name) && strings.Count(n, ".") == strings.Count(name, ".")
		})
	}
	cert := p.r.Certificate
	for _, path := range []string{cert.FullChain, cert.Cert} {
		raw, err := readRegular(path)
		if err != nil {
			continue
		}
		if block, _ := pem.Decode(raw); block != nil && block.Type == "CERTIFICATE" {
			if leaf, err := x509.ParseCertificate(block.Bytes); err == nil {
				return func(name string) bool { return slices.Contains(p.r.Names, name) || leaf.VerifyHostname(name) == nil }
			}
		}
	}
	return asked
}

// shadows reports whether the request has a site show its certificate for a name of
// another host. A twin must not where the certificate is not for that.
func (p *planner) shadows(name string, isFor func(string) bool) bool {
	return slices.ContainsFunc(p.targets, func(s *site) bool {
		return covered(s.allNames(), name) && (s.twin == nil || p.r.Overwrite || isFor(name))
	})
}

package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"edge"
)

func (l *loader) checkSites() {
	seen := map[string]Pos{}
	var def *Pos
	obtains := false
	for i := range l.cfg.Sites {
		s := &l.cfg.Sites[i]
		path := fmt.Sprintf("sites[%d]", i)
		l.checkHosts(path, s, seen)
		if s.Default {
			if def != nil {
				l.bad(path+".default", "keep one", "%s is the default site already", *def)
			}
			at := l.place(path + ".default")
			def = &at
		}
		l.checkTLS(path+".tls", s)
		obtains = obtains || !s.TLS.Off && s.TLS.Forward == nil && s.TLS.Cert == "" && s.TLS.Lineage == ""
	}
	if (obtains || len(l.cfg.Certificates) > 0) && !l.cfg.ACME.AgreeTOS {
		hint := "write agree_tos: true under acme once you have read them"
		if len(l.files) == 0 {
			hint = "add --agree-tos once you have read them"
		}
		l.atPos(l.place("acme"), "certificates can only be obtained by who agrees to the CA's terms of service", hint)
	}
}

func (l *loader) checkHosts(path string, s *Site, seen map[string]Pos) {
	if len(s.Hosts) == 0 {
		l.bad(path+".hosts", "name at least one", "no host")
	}
	for j, h := range s.Hosts {
		p := fmt.Sprintf("%s.hosts[%d]", path, j)
		host, err := normalHost(h)
		if err != nil {
			hint := "write names of letters, digits and hyphens, without scheme, port and path"
			l.bad(p, hint, "%v", err)
			continue
		}
		if edge.IsACMEInvalid(host) {
			l.bad(p, "choose another name", "%s is reserved for validation", host)
		}
		if first, twice := seen[host]; twice {
			l.bad(p, "a host belongs to one site", "%s is served already, at %s", host, first)
		} else {
			seen[host] = l.place(p)
		}
		s.Hosts[j] = host
	}
}

func (l *loader) checkTLS(path string, s *Site) {
	t := &s.TLS
	if t.Forward != nil {
		l.checkPassthrough(path, s)
		return
	}
	if t.Off {
		if s.Default {
			l.bad(path, "drop default: true", "a site without TLS cannot be the default for handshakes")
		}
		return
	}
	l.checkClientAuth(path, s)
	switch {
	case t.Lineage != "":
		l.checkLineage(path, s)
		return
	case t.Cert != "" || t.Key != "":
		l.checkPair(path, s)
		return
	}
	if t.CAs != nil {
		l.checkCAs(path+".ca", t.CAs)
	}
	if t.Challenges != nil {
		l.checkChallenges(path+".challenges", t.Challenges, l.cfg.ACME.DNS)
	}
	cas, challenges := t.CAs, t.Challenges
	if cas == nil {
		cas = l.cfg.ACME.CAs
	}
	if challenges == nil {
		challenges = l.cfg.ACME.Challenges
	}
	l.checkSNI01(path, challenges, cas)
	if d := t.OnDemand; d != nil {
		l.checkOnDemand(path+".on_demand", d)
		return
	}
	for _, h := range s.Hosts {
		switch {
		case h == "*":
			l.bad(path, "permit names with tls.on_demand, or use tls.cert and tls.key, or tls: off", "there is no certificate for every name")
		case strings.HasPrefix(h, "*.") && !slices.Contains(challenges, "dns-01"):
			l.bad(path, "add dns-01 to the challenges and say in acme.dns who serves the zone, or permit single names with tls.on_demand",
				"a certificate for %s needs dns-01", h)
		case isIP(h) && slices.Equal(challenges, []string{"dns-01"}):
			l.bad(path, "use http-01 or tls-alpn-01", "addresses such as %s cannot be validated by dns-01", h)
		}
	}
}

// checkSNI01 keeps tls-sni-01 away from public CAs.
func (l *loader) checkSNI01(path string, challenges []string, cas []CA) {
	if !slices.Contains(challenges, "tls-sni-01") {
		return
	}
	for _, ca := range cas {
		if publicCA(ca.Directory) {
			l.bad(path, "name it in the challenges of sites and lineages with a private CA only", "tls-sni-01 with the public CA %s", ca.Directory)
		}
	}
}

func isIP(h string) bool {
	_, err := netip.ParseAddr(h)
	return err == nil
}

func (l *loader) checkOnDemand(path string, d *OnDemand) {
	if d.Ask == "" && len(d.Allow) == 0 {
		l.bad(path, "add ask (a URL) or allow (names): without either, anybody could have certificates made for any name", "neither ask nor allow")
	}
	if d.Ask != "" {
		u, err := url.Parse(d.Ask)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			l.bad(path+".ask", "write it as http://127.0.0.1:5000/allowed", "%q is not a URL to ask", shown(d.Ask))
		case u.Hostname() == "example.com" || u.Hostname() == "example.org" || u.Hostname() == "example.net":
			l.bad(path+".ask", "name your own endpoint: that one says yes to every name", "%s is an example", u.Host)
		}
	}
	for i, a := range d.Allow {
		name := strings.TrimPrefix(strings.TrimPrefix(a, "*"), "*.")
		if strings.HasPrefix(a, "*.") {
			name = a[2:]
		}
		clean, err := edge.ParseName(name)
		if err != nil || !strings.Contains(clean, ".") {
			l.bad(fmt.Sprintf("%s.allow[%d]", path, i), "write a name, *.suffix (one label) or **.suffix (one or more)", "%q permits nothing that makes sense", shown(a))
			continue
		}
		d.Allow[i] = a[:len(a)-len(name)] + clean
	}
	if d.MaxNewPerHour < 1 || d.MaxConcurrent < 1 {
		l.bad(path, "leave the limits out for the default", "a limit of nothing would permit nothing")
	}
}

// checkPair reads a static pair as the handshake will use it.
func (l *loader) checkPair(path string, s *Site) {
	t := &s.TLS
	switch {
	case t.Cert == "" || t.Key == "":
		l.bad(path, "name both", "cert and key belong together")
		return
	case t.OnDemand != nil || t.CAs != nil || t.Challenges != nil || t.KeyType != "" || t.Profile != "":
		l.bad(path, "remove them, or cert and key", "a pair from files leaves nothing to obtain: on_demand, ca, challenges, key_type and profile make no sense beside it")
		return
	}
	chain, err := readFile(t.Cert)
	if err != nil {
		l.bad(path+".cert", "", "%s: %v", t.Cert, err)
		return
	}
	key, err := readFile(t.Key)
	if err != nil {
		l.bad(path+".key", "", "%s: %v", t.Key, err)
		return
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		l.bad(path, "", "%s with %s: %v", t.Cert, t.Key, strings.TrimPrefix(err.Error(), "tls: "))
		return
	}
	for _, h := range s.Hosts {
		name := h
		if rest, wild := strings.CutPrefix(h, "*."); wild {
			name = "any." + rest
		}
		if h != "*" && pair.Leaf.VerifyHostname(name) != nil {
			l.bad(path+".cert", "take the host out of this site, or get a certificate that has it", "%s does not cover %s", t.Cert, h)
		}
	}
}

func (l *loader) checkRoots(path, file string) {
	data, err := l.readFile(file)
	if err != nil {
		l.bad(path, "", "%s: %v", file, err)
		return
	}
	n := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); block.Type != "CERTIFICATE" || err != nil {
			l.bad(path, "", "%s holds something that is no certificate (%s)", file, block.Type)
			return
		}
		n++
	}
	if n == 0 {
		l.bad(path, "", "%s holds no certificate in PEM form", file)
	}
}

func (l *loader) checkHMAC(path, v string) {
	if _, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(v, "=")); v == "" || err != nil {
		l.bad(path, "copy it from the CA as it is", "not base64url")
	}
}

func (l *loader) checkBase64(path, v string) {
	if _, err := base64.StdEncoding.DecodeString(v); err != nil {
		l.bad(path, "copy it from the key file of the name server as it is", "not base64")
	}
}

package lineage

import (
	"fmt"
	"strings"
)

// Server URLs that files of certbot before 0.5 have, and what certbot takes them for.
const (
	v01Server = "https://acme-v01.api.letsencrypt.org/directory"
	v02Server = "https://acme-v02.api.letsencrypt.org/directory"
)

// Server is the directory URL of the CA in [renewalparams], or "". That of Let's
// Encrypt's first protocol is taken for that of its second.
func (p *Params) Server() string {
	s := p.Renewal.String("server")
	if s == v01Server {
		return v02Server
	}
	return s
}

// KeyType is "rsa" or "ecdsa". Files of certbot before 1.25 do not say it: rsa.
func (p *Params) KeyType() string {
	if v, ok := p.Renewal.Get("key_type"); ok {
		return v.String()
	}
	return "rsa"
}

// Autorenew reports whether the lineage is renewed when it is due: it is, unless the
// file says no.
func (p *Params) Autorenew() (bool, error) {
	v, ok := p.Renewal.Get("autorenew")
	if !ok {
		return true, nil
	}
	// What ConfigObj's as_bool takes.
	switch strings.ToLower(v.String()) {
	case "true", "on", "1", "yes":
		return true, nil
	case "false", "off", "0", "no":
		return false, nil
	}
	return true, fmt.Errorf("autorenew is %.40q: write True or False", v.String())
}

// Renewable reports whether the file says enough to renew the lineage. The error is a
// *BrokenError with certbot's text.
func (l *Lineage) Renewable() error {
	s := l.conf.doc.Root().Section(renewalSection)
	broken := func(problem string) error {
		return &BrokenError{Name: l.name, ConfPath: l.conf.file, Problem: "Renewal configuration file " + l.conf.file + " " + problem}
	}
	if s == nil {
		return broken("lacks renewalparams. Skipping.")
	}
	if _, ok := s.Get("authenticator"); !ok {
		return broken("does not specify an authenticator. Skipping.")
	}
	return nil
}

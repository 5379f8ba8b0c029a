package apache

import (
	"fmt"
	"slices"
	"strings"

	"edge/installers"
)

// enhance adds what may be turned on beside the certificate, in certbot's order.
func (p *planner) enhance() error {
	e := p.r.Enhance
	for _, step := range []struct {
		wanted      bool
		name, title string
		do          func(*site) error
	}{
		{e.HSTS, "Strict-Transport-Security", "Add enhancement ensure-http-header", p.hsts},
		{e.Redirect, "redirect", "Add enhancement redirect", p.redirect},
		{e.Staple, "staple-ocsp", "Add enhancement staple-ocsp", p.staple},
		{e.UIR, "Upgrade-Insecure-Requests", "Add enhancement ensure-http-header", p.uir},
	} {
		if !step.wanted {
			continue
		}
		done := false
		for _, s := range p.targets {
			switch err := step.do(s); {
			case err == nil:
				done = true
			case !p.r.Deploy:
				return err
			default: // the certificate is wanted all the same
				p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf("Unable to set the %s enhancement for %s: %v", step.name, strings.Join(s.names, ", "), err))
			}
		}
		if done {
			p.plan.Titles = append(p.plan.Titles, step.title)
		}
	}
	return nil
}

const hstsValue = "max-age=31536000"

func (p *planner) hsts(s *site) error {
	added, err := p.header(s, "Strict-Transport-Security", `Header always set Strict-Transport-Security "`+hstsValue+`"`)
	if added {
		p.checks = append(p.checks, func() {
			for _, name := range literal(s.names) {
				for _, addr := range p.addresses(s) {
					p.plan.Checks = append(p.plan.Checks, installers.HTTPCheck{Addr: addr, Host: name, TLS: true, WantHeader: map[string]string{"Strict-Transport-Security": hstsValue}})
				}
			}
		})
	}
	return err
}

func (p *planner) uir(s *site) error {
	_, err := p.header(s, "Upgrade-Insecure-Requests", "Header always set Content-Security-Policy upgrade-insecure-requests")
	return err
}

// header adds a line unless there is one that has the word already.
func (p *planner) header(s *site, word, line string) (added bool, err error) {
	for _, d := range p.directives(s, "Header") {
		if slices.ContainsFunc(d.values, func(v string) bool { return slices.Contains(strings.Fields(strings.ToLower(v)), strings.ToLower(word)) }) {
			p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("Existing %s header in %s", word, s.path))
			return false, nil
		}
	}
	if err := p.needModules("headers"); err != nil {
		return false, err
	}
	s.edits.InsertLast(s.block, line)
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("Add the header %s to the virtual host in %s", word, s.path))
	return true, nil
}

const staplingCache = "SSLStaplingCache shmcb:/var/run/apache2/stapling_cache(128000)"

// staple turns OCSP stapling on, with a cache where httpd has none.
func (p *planner) staple(s *site) error {
	if err := p.needModules("socache_shmcb"); err != nil {
		return err
	}
	using := p.directives(s, "SSLUseStapling")
	if len(using) == 0 || !strings.EqualFold(strings.Join(using[len(using)-1].values, " "), "on") {
		s.edits.InsertLast(s.block, "SSLUseStapling on")
		p.plan.Notes = append(p.plan.Notes, "Staple answers of OCSP in the virtual host in "+s.path)
	}
	if p.stapling || len(p.set.Root.All("SSLStaplingCache")) > 0 {
		return nil
	}
	p.stapling = true
	if s.twin != nil {
		s.twin.file.head = append(s.twin.file.head, staplingCache)
		return nil
	}
	p.intoSSL(&p.edits, s.host.File, staplingCache)
	return nil
}

// literal are names without wildcards.
func literal(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.ContainsAny(n, "*?") })
}

// allNames are the names that a site has when the plan is carried out.
func (s *site) allNames() []string {
	out := s.host.Names()
	for _, n := range s.names {
		if !slices.Contains(out, n) && !covered(out, n) && !strings.HasPrefix(n, "*.") {
			out = append(out, n)
		}
	}
	return out
}

var _ installers.Installer = (*Apache)(nil)

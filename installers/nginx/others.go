package nginx

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"edge/installers/nginx/conf"
)

// sparesOthers refuses to take a certificate from names of a block that the new one is not
// for. Where there was none before, or whoever asks is to get his way, it warns.
func (p *planner) sparesOthers(j *job) error {
	s := j.server
	if j == p.fresh || p.given(s) {
		return nil
	}
	mine, leaf := p.namesFor(s), leafOf(p.request.Certificate.FullChain)
	var all, others, unknown []string
	add := func(to *[]string, name string) {
		if !slices.Contains(*to, name) {
			*to = append(*to, name)
		}
	}
	for _, n := range s.Names {
		names, known := askable(n)
		if !known {
			unknown = append(unknown, n.Text)
		}
		for _, name := range names {
			add(&all, name)
			if !isFor(leaf, p.request.Names, name) {
				add(&others, name)
			}
		}
	}
	place, answered := s.Directive.Place(), s.TLS && len(s.Certificates()) > 0
	if len(unknown) > 0 && answered {
		p.warn("the server block at %s also answers %s, for which this certificate may not be", place, strings.Join(unknown, ", "))
	}
	// Nothing is taken from names that the present certificate is not for either.
	lost := slices.DeleteFunc(slices.Clone(others), func(name string) bool { return !answered || !shownNow(s, name) })
	if len(others) > 0 && len(lost) == 0 {
		p.warn("the server block at %s also answers %s, for which this certificate is not", place, strings.Join(others, ", "))
	}
	if len(lost) == 0 {
		return nil
	}
	others = lost
	for _, name := range mine {
		add(&all, name)
	}
	err := fmt.Errorf("the server block at %s also answers %s, for which this certificate is not: obtain one for all of its names (-d %s), or give %s a block of its own",
		place, strings.Join(others, ", "), strings.Join(all, " -d "), strings.Join(mine, ", "))
	if p.request.Overwrite {
		p.warn("%v", err)
		return nil
	}
	return err
}

// shownNow reports whether the present certificate of a block may be for a name: one that
// cannot be read may be for any.
func shownNow(s *conf.Server, name string) bool {
	return slices.ContainsFunc(s.Certificates(), func(c conf.Certificate) bool {
		leaf := leafOf(c.CertFile)
		return leaf == nil || isFor(leaf, nil, name)
	})
}

// namesFor are the requested names that a block gets the certificate for.
func (p *planner) namesFor(s *conf.Server) []string {
	return slices.DeleteFunc(slices.Clone(p.request.Names), func(name string) bool { return !slices.Contains(p.targets[name], s) })
}

// askable are the names, as a certificate has them, that clients may ask for. They are not
// known of a regular expression, nor where the end is open or in a variable.
func askable(n conf.Name) (names []string, known bool) {
	text := strings.ToLower(n.Text)
	switch n.Kind {
	case conf.ExactName:
		if text == "_" || !validHost(text) { // names that nobody asks for
			return nil, !strings.Contains(text, "$")
		}
		return []string{text}, true
	case conf.DottedName:
		text = strings.TrimPrefix(text, ".")
		return []string{text, "*." + text}, true
	case conf.LeadingName:
		return []string{text}, true
	}
	return nil, text == ""
}

// isFor says whether a certificate is for a name: by its own word where there is one, and
// by what is requested.
func isFor(leaf *x509.Certificate, requested []string, name string) bool {
	has := func(list []string, name string) bool {
		return slices.ContainsFunc(list, func(one string) bool { return strings.EqualFold(one, name) })
	}
	if strings.HasPrefix(name, "*.") {
		return has(requested, name) || leaf != nil && has(leaf.DNSNames, name)
	}
	_, rest, _ := strings.Cut(name, ".")
	return has(requested, name) || has(requested, "*."+rest) || leaf != nil && leaf.VerifyHostname(name) == nil
}

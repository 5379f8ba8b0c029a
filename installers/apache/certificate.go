package apache

import (
	"path/filepath"
	"strings"

	"edge/installers/apache/conf"
)

// certificate has a site show the certificate of the request.
func (p *planner) certificate(s *site) error {
	cert := p.r.Certificate
	want := []setting{{"SSLCertificateFile", cert.FullChain}, {"SSLCertificateKeyFile", cert.Key}}
	chain := ""
	if p.olderThan(2, 4, 8) || cert.FullChain == "" && cert.Chain != "" {
		if cert.Chain == "" {
			return certbots("--chain-path is required for your version of Apache")
		}
		want[0].value, chain = cert.Cert, cert.Chain
	}
	if want[0].value == "" {
		return certbots("Please provide the --fullchain-path option pointing to your full chain file")
	}
	if chain != "" {
		want = append(want, setting{"SSLCertificateChainFile", chain})
	} else {
		p.removeAll(s, "SSLCertificateChainFile")
	}
	options := filepath.Join(p.r.ConfigDir, optionsName)
	if !includes(s.block, options) {
		s.edits.InsertLast(s.block, conf.Line("Include", options))
	}
	for _, w := range want {
		p.put(s, w)
	}
	return nil
}

// setting is a directive that a site shall have once.
type setting struct{ name, value string }

// put sets the last of the directives of a name, and takes the others out. Where it
// stands in a file that others read as well, one of the site's own comes behind all.
func (p *planner) put(s *site, w setting) {
	all := p.directives(s, w.name)
	if len(all) == 0 || !all[len(all)-1].own || len(all[len(all)-1].Args()) == 0 {
		s.edits.InsertLast(s.block, conf.Line(w.name, w.value))
		return
	}
	for i, d := range all {
		switch {
		case i < len(all)-1 && d.own:
			s.edits.Remove(d.Directive)
		case i < len(all)-1:
		case d.Words[1].Value != w.value:
			s.edits.ReplaceWord(d.Directive, 1, w.value)
		}
	}
}

func (p *planner) removeAll(s *site, name string) {
	for _, d := range p.directives(s, name) {
		if d.own {
			s.edits.Remove(d.Directive)
		}
	}
}

// siteDirective is a directive of a site. It is its own where an edit changes nothing
// else.
type siteDirective struct {
	*conf.Directive
	values []string
	own    bool
}

// directives are those of a name that count in a site, not those in sections of it. Of a
// twin, those in its draft and those that its host has from other files.
func (p *planner) directives(s *site, name string) []siteDirective {
	var out []siteDirective
	for _, n := range s.host.All(name) {
		if s.twin == nil || n.File != s.host.File {
			out = append(out, siteDirective{n.Directive, n.Values, s.twin == nil && (p.own(n) || inside(n, s.host))})
		}
	}
	if s.twin == nil {
		return out
	}
	for _, d := range within(s.block, name) {
		values := make([]string, 0, len(d.Args()))
		for _, w := range d.Args() {
			values = append(values, w.Value)
		}
		out = append(out, siteDirective{d, values, true})
	}
	return out
}

// inside reports whether a directive stands in a host itself, not in a file that it
// includes. The host may still count several times, where httpd reads its file so.
func inside(d *conf.Node, v *conf.VirtualHost) bool {
	return !d.Made && d.File == v.File && d.Start >= v.Start && d.End <= v.End
}

// within are the directives of a name in a block and in conditions in it.
func within(b *conf.Block, name string) []*conf.Directive {
	var out []*conf.Directive
	for d := range b.Directives() {
		switch {
		case d.Is(name):
			out = append(out, d)
		case d.Block != nil && isCondition(d):
			out = append(out, within(d.Block, name)...)
		}
	}
	return out
}

func isCondition(d *conf.Directive) bool {
	name := strings.ToLower(d.Name())
	return name == "ifmodule" || name == "ifdefine" || name == "ifversion" || name == "iffile"
}

// includes reports whether a block names a file in an Include.
func includes(b *conf.Block, path string) bool {
	for _, d := range within(b, "Include") {
		if len(d.Args()) == 1 && d.Words[1].Value == path {
			return true
		}
	}
	return false
}

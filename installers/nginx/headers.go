package nginx

import (
	"fmt"
	"slices"
	"strings"

	"edge/installers/nginx/conf"
)

const (
	hstsHeader = "Strict-Transport-Security"
	hstsValue  = "max-age=31536000"
)

func (p *planner) pickHSTS(j *job) {
	if !p.request.Enhance.HSTS || j.hsts {
		return
	}
	found := false
	within(p.site.set, j.server.Directive.Block, func(d *conf.Directive) {
		isHeader := func(v string) bool { return strings.EqualFold(v, hstsHeader) }
		found = found || d.Name() == "add_header" && slices.ContainsFunc(d.Values(), isHeader)
	})
	if found {
		p.note("Existing %s header in %s", hstsHeader, j.server.Directive.File.Path)
		return
	}
	j.hsts = true
}

// within calls f for every directive inside of a block, at any depth.
func within(set *conf.Set, b *conf.Block, f func(*conf.Directive)) {
	for d := range set.Directives(b) {
		f(d)
		if d.Block != nil && !d.Block.Lua {
			within(set, d.Block, f)
		}
	}
}

// hsts adds the header. nginx inherits add_header as a whole or not at all, which has
// surprised many.
func (p *planner) hsts(j *job, text *lines) {
	s := j.server
	if outer := s.Inherited("add_header"); len(outer) > 0 && len(s.Own("add_header")) == 0 {
		p.warn("%s: with %s in the server block, the add_header of http at %s no longer counts there: repeat it", s.Directive.Place(), hstsHeader, outer[0].Place())
	}
	for _, d := range p.hidden(s, "add_header") {
		p.warn("%s: this add_header hides %s of the server block: repeat it there", d.Place(), hstsHeader)
	}
	*text = append(*text, fmt.Sprintf("add_header %s \"%s\" always;%s", hstsHeader, hstsValue, managed))
}

// hidden are directives in blocks inside of a server block, whose name begins or ends so.
func (p *planner) hidden(s *conf.Server, name string) []*conf.Directive {
	var out []*conf.Directive
	for d := range p.site.set.Directives(s.Directive.Block) {
		if d.Block == nil || d.Block.Lua {
			continue
		}
		within(p.site.set, d.Block, func(d *conf.Directive) {
			if strings.HasSuffix(d.Name(), name) {
				out = append(out, d)
			}
		})
	}
	return out
}

// staple turns OCSP stapling on.
func (p *planner) staple(j *job, text *lines) error {
	for _, line := range [][]string{{"ssl_trusted_certificate", p.request.Certificate.Chain}, {"ssl_stapling", "on"}, {"ssl_stapling_verify", "on"}} {
		have := own(j.server, line[0])
		for _, d := range have {
			if !slices.Equal(d.Values(), line[1:]) {
				return certbotError("An error occurred while enabling OCSP stapling for %s: %w", strings.Join(p.request.Names, ", "), conflict(d, line))
			}
		}
		if len(have) == 0 {
			text.add(line[0], line[1:]...)
		}
	}
	if leaf := leafOf(p.request.Certificate.FullChain); leaf != nil && len(leaf.OCSPServer) == 0 {
		p.warn("the certificate %s names no OCSP responder: nginx ignores stapling for it", p.request.Certificate.FullChain)
	}
	return nil
}

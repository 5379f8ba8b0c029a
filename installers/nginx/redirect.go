package nginx

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"edge/installers/nginx/conf"
)

// pickEnhancements decides which blocks are redirected and which get headers.
func (p *planner) pickEnhancements(ctx context.Context) error {
	for _, name := range p.request.Names {
		if p.request.Enhance.Redirect {
			if err := p.pickRedirect(ctx, name); err != nil {
				return err
			}
		}
		if !p.request.Enhance.HSTS && !p.request.Enhance.Staple {
			continue
		}
		jobs := []*job{p.fresh}
		if p.fresh == nil || !slices.Contains(p.fresh.names, name) {
			jobs = nil
			for _, s := range p.targets[name] {
				jobs = append(jobs, p.jobFor(s))
			}
		}
		for _, j := range jobs {
			if !j.server.TLS && !j.deploy {
				return fmt.Errorf("%s: the server block for %s does not answer HTTPS: install a certificate there first", j.server.Directive.Place(), name)
			}
			p.pickHSTS(j)
			j.staple = p.request.Enhance.Staple
		}
	}
	return nil
}

func (p *planner) pickRedirect(ctx context.Context, name string) error {
	if p.fresh != nil && slices.Contains(p.fresh.names, name) {
		if plainOn(p.site.http, p.fresh.server, p.http) {
			p.fresh.redirect = append(p.fresh.redirect, name)
		}
		return nil
	}
	servers, err := p.plainServers(ctx, name)
	if err != nil {
		return err
	}
	if len(servers) == 0 {
		p.note("No matching insecure server blocks listening on port %d found.", p.http)
	}
	for _, s := range servers {
		if hasRedirect(s, name) {
			p.note("Traffic on port %d already redirecting to ssl in %s", p.http, s.Directive.File.Path)
			continue
		}
		p.note("Redirecting all traffic on port %d to ssl in %s", p.http, s.Directive.File.Path)
		j := p.jobFor(s)
		j.redirect = append(j.redirect, name)
	}
	return nil
}

// plainServers are the blocks that answer a name by plain HTTP: the best by name, and
// those with the very name that answer on other sockets.
func (p *planner) plainServers(ctx context.Context, name string) ([]*conf.Server, error) {
	if strings.HasPrefix(name, "*.") {
		var plain []*conf.Server
		for _, s := range p.site.http.Servers {
			if plainOn(p.site.http, s, p.http) {
				plain = append(plain, s)
			}
		}
		if len(plain) == 0 {
			return nil, nil
		}
		return p.chooseMany(ctx, name, plain, func(s *conf.Server) bool { return !s.TLS }, func(s *conf.Server) bool { return hasRedirect(s, name) || p.given(s) })
	}
	ranked, err := p.site.http.Rank(name)
	if err != nil {
		return nil, err
	}
	ranked = slices.DeleteFunc(ranked, func(r conf.Ranked) bool { return !plainOn(p.site.http, r.Server, p.http) })
	if len(ranked) == 0 {
		return nil, nil
	}
	order := func(r conf.Ranked) int { return slices.Index(p.site.http.Servers, r.Server) }
	wildcard := func(r conf.Ranked) int {
		if r.Kind == conf.LeadingName || r.Kind == conf.TrailingName {
			return len(r.Name.Text)
		}
		return 0
	}
	// Rank prefers TLS, which does not matter here.
	best := slices.MinFunc(ranked, func(a, b conf.Ranked) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(wildcard(b), wildcard(a)), cmp.Compare(order(a), order(b)))
	})
	out := []*conf.Server{best.Server}
	for _, s := range p.site.http.Sockets {
		if s.QUIC || s.TLS() || s.Unix != "" || s.Addr.Port() != p.http || slices.Contains(s.Servers, best.Server) {
			continue
		}
		c, err := p.site.http.ChooseOn(s, name)
		exact := func(r conf.Ranked) bool { return r.Server == c.Server && r.Kind == conf.ExactName }
		if err == nil && !slices.Contains(out, c.Server) && slices.ContainsFunc(ranked, exact) {
			out = append(out, c.Server)
		}
	}
	return out, nil
}

// condition is what the redirect of a name tests.
func condition(name string) []string {
	if !strings.HasPrefix(name, "*.") {
		return []string{"($host", "=", name + ")"}
	}
	pattern := strings.ReplaceAll(strings.ReplaceAll(name, ".", `\.`), "*", "[^.]+")
	return []string{"($host", "~", "^" + pattern + "$)"}
}

func redirectText(name string) string {
	return "if " + strings.Join(condition(name), " ") + " {\n    return 301 https://$host$request_uri;\n}" + managed + "\n"
}

// hasRedirect finds a redirect as certbot writes it.
func hasRedirect(s *conf.Server, name string) bool {
	for _, d := range s.Own("if") {
		if d.Block == nil || !slices.Equal(d.Values(), condition(name)) {
			continue
		}
		for inner := range d.Block.Directives() {
			if inner.Name() == "return" && slices.Equal(inner.Values(), []string{"301", "https://$host$request_uri"}) {
				return true
			}
		}
	}
	return false
}

// moved are the plain listens that a block loses, since what it gets is for TLS only: a
// redirect concerns the HTTP port, HSTS must not be said in plain HTTP at all (RFC 6797
// section 7.2).
func (p *planner) moved(j *job) []conf.Listen {
	s := j.server
	if !s.TLS && !j.deploy || len(j.redirect) == 0 && !j.hsts {
		return nil
	}
	var out []conf.Listen
	for _, l := range s.Listens {
		onPort := l.Unix == "" && l.Port <= p.http && p.http <= l.LastPort
		if !l.QUIC && !p.isTLS(s, l) && (onPort || len(j.redirect) == 0) {
			out = append(out, l)
		}
	}
	return out
}

// isTLS says whether a listen of a block answers TLS, by its own word or that of another.
func (p *planner) isTLS(s *conf.Server, l conf.Listen) bool {
	for _, socket := range sockets(p.site.http, s) {
		if socket.Unix == l.Unix && (l.Unix != "" || socket.Addr.Port() == l.Port && (socket.Addr.Addr() == l.Addr || slices.Contains(l.Addrs, socket.Addr.Addr()) || socket.Host != "" && socket.Host == l.Host)) {
			return socket.TLS()
		}
	}
	return l.SSL
}

// separate takes plain HTTP out of a block, into one of its own behind it that
// redirects, or that is a copy without TLS where there is no redirect. Where the block
// speaks plain HTTP alone, the redirect goes into it.
func (p *planner) separate(j *job, e *conf.Edits) error {
	s, moved := j.server, p.moved(j)
	if len(moved) == 0 {
		for _, name := range slices.Backward(j.redirect) {
			e.InsertFirst(s.Directive.Block, redirectText(name))
		}
		return nil
	}
	for _, l := range moved {
		if l.Directive == nil {
			continue // the one that was implied
		}
		if l.Directive.Parent != s.Directive.Block {
			return fmt.Errorf("%s: this listen belongs to the server block at %s, which has to be split for HTTP and HTTPS; move it there", l.Directive.Place(), s.Directive.Place())
		}
		removeWithNote(e, l.Directive)
	}
	if len(j.redirect) > 0 {
		text := p.redirectBlock(j, moved)
		p.behind = append(p.behind, func() {
			if j == p.fresh {
				p.edits.InsertLast(s.Directive.Parent, text)
				return
			}
			p.edits.InsertAfter(s.Directive, text)
		})
		return nil
	}
	p.behind = append(p.behind, func() {
		p.edits.Duplicate(s.Directive, func(inner *conf.Edits) { p.plainCopy(j, moved, inner) })
	})
	return nil
}

// redirectBlock is a block that redirects, and knows nothing else.
func (p *planner) redirectBlock(j *job, moved []conf.Listen) string {
	var b strings.Builder
	b.WriteString("server {\n")
	indent := func(text string) {
		for line := range strings.Lines(text) {
			if line != "\n" {
				line = "    " + line
			}
			b.WriteString(line)
		}
	}
	for _, name := range slices.Backward(j.redirect) {
		indent(redirectText(name) + "\n")
	}
	var keep func(string) bool
	if j == p.fresh {
		keep = repeatable
	}
	for _, l := range moved {
		if l.Directive == nil {
			indent("listen 80;\n")
		} else {
			indent(render(l.Directive, keep) + "\n")
		}
	}
	if j == p.fresh {
		indent(conf.Line("server_name", j.names...) + "\n")
	} else {
		for _, d := range j.server.Own("server_name") {
			indent(render(d, nil) + "\n")
		}
	}
	indent("return 404;" + managed + "\n")
	return b.String() + "}\n"
}

// plainCopy makes the edits of a copy that is for plain HTTP alone.
func (p *planner) plainCopy(j *job, moved []conf.Listen, e *conf.Edits) {
	s := j.server
	stays := func(d *conf.Directive) bool {
		return slices.ContainsFunc(moved, func(l conf.Listen) bool { return l.Directive == d })
	}
	var gone []conf.Listen
	for _, l := range s.Listens {
		if l.Directive != nil && l.Directive.Parent == s.Directive.Block && !stays(l.Directive) {
			gone = append(gone, l)
			removeWithNote(e, l.Directive)
		}
	}
	for _, name := range []string{"ssl_certificate", "ssl_certificate_key", "ssl_dhparam"} {
		for _, d := range own(s, name) {
			removeWithNote(e, d)
		}
	}
	for _, d := range own(s, "include") {
		if p.options.path != "" && slices.Equal(d.Values(), []string{p.options.path}) {
			removeWithNote(e, d)
		}
	}
	if j == p.fresh {
		stripListens(s, e, gone)
		renameTo(s, j.names, e)
	}
}

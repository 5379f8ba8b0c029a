package nginx

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/nginx/conf"
)

// maxWatch bounds the names of others that are looked at before and after.
const maxWatch = 50

// expect holds what was planned against what nginx is going to do with it, and notes
// what has to be seen afterwards.
func (p *planner) expect(after *site) error {
	for _, name := range p.request.Names {
		for _, asked := range p.askedFor(after, name) {
			if p.request.Deploy {
				if err := p.expectName(after, asked); err != nil {
					return err
				}
			}
			p.expectHTTP(after, asked)
		}
	}
	if p.request.Deploy {
		p.watch(after)
	}
	return nil
}

// askedFor are names that clients may ask for: of a wildcard, those of the blocks that
// were chosen for it.
func (p *planner) askedFor(after *site, name string) []string {
	domain, wildcard := strings.CutPrefix(name, "*.")
	if !wildcard {
		return []string{name}
	}
	var out []string
	for _, s := range p.targets[name] {
		for _, n := range s.Names {
			asked := strings.ToLower(n.Text)
			if strings.HasPrefix(asked, "*.") || strings.HasPrefix(asked, ".") {
				asked = "www" + asked[strings.IndexByte(asked, '.'):]
			}
			label, rest, _ := strings.Cut(asked, ".")
			if rest == strings.ToLower(domain) && label != "" && !strings.ContainsAny(label, "*~$") && !slices.Contains(out, asked) {
				out = append(out, asked)
			}
		}
	}
	if host := "www." + strings.ToLower(domain); len(out) == 0 && p.shows(after, host) {
		return []string{host} // it is for whoever has no block of his own
	}
	if len(out) == 0 {
		p.warn("no name of the chosen server blocks is covered by %s: nothing can be verified for it", name)
	}
	return out
}

// shows says whether a TLS socket has the certificate for a name.
func (p *planner) shows(after *site, name string) bool {
	return slices.ContainsFunc(after.http.Sockets, func(s *conf.Socket) bool {
		if s.QUIC || !s.TLS() {
			return false
		}
		c, err := after.http.ChooseOn(s, name)
		return err == nil && p.hasCertificate(c.TLS)
	})
}

func (p *planner) hasCertificate(s *conf.Server) bool {
	return p.request.Certificate.FullChain != "" && slices.ContainsFunc(s.Certificates(), func(c conf.Certificate) bool {
		return c.CertFile == p.request.Certificate.FullChain
	})
}

// expectName wants the certificate on every TLS socket where the name is meant.
func (p *planner) expectName(after *site, name string) error {
	ranked, err := after.http.Rank(name)
	if err != nil {
		return err
	}
	found := false
	for _, socket := range after.http.Sockets {
		if socket.QUIC || !socket.TLS() {
			continue
		}
		c, err := after.http.ChooseOn(socket, name)
		var undecided *conf.UndecidedError
		if errors.As(err, &undecided) && !slices.ContainsFunc(undecided.Candidates, p.hasCertificate) {
			continue // none of them is concerned
		}
		if err != nil {
			return err
		}
		meant := func(r conf.Ranked) bool {
			return slices.Contains(socket.Servers, r.Server) && p.hasCertificate(r.Server)
		}
		i := slices.IndexFunc(ranked, meant)
		switch {
		case p.hasCertificate(c.TLS):
			found = true
			p.serve(after, socket, name)
		case i >= 0:
			return fmt.Errorf("on %s, nginx lets the server block at %s answer %s, not the one at %s that gets the certificate: name the host in one of them only", socket, c.TLS.Directive.Place(), name, ranked[i].Server.Directive.Place())
		case c.Name != nil:
			p.warn("on %s, the server block at %s answers %s, and keeps its certificate", socket, c.Server.Directive.Place(), name)
		}
	}
	if !found {
		return fmt.Errorf("no TLS socket of nginx would show the certificate for %s; server blocks that may be meant: %s", name, places(ranked))
	}
	return nil
}

func places(ranked []conf.Ranked) string {
	var out []string
	for _, r := range ranked {
		out = append(out, r.Server.Directive.Place())
	}
	return strings.Join(out, ", ")
}

func (p *planner) serve(after *site, s *conf.Socket, name string) {
	if addr, ok := reach(s, after.http); ok {
		p.plan.Serves = append(p.plan.Serves, installers.Endpoint{Addr: addr, Name: name, ProxyProtocol: s.ProxyProtocol})
		return
	}
	p.warn("%s cannot be asked for the certificate of %s", s, name)
}

// expectHTTP notes what redirects and headers have to be seen.
func (p *planner) expectHTTP(after *site, name string) {
	for _, s := range after.http.Sockets {
		if s.QUIC || !reachable(s) {
			continue
		}
		c, err := after.http.ChooseOn(s, name)
		if err != nil {
			continue
		}
		check := installers.HTTPCheck{Host: name, ProxyProtocol: s.ProxyProtocol, TLS: s.TLS()}
		switch {
		case p.request.Enhance.Redirect && !s.TLS() && s.Addr.Port() == p.http && p.redirects(c.Server, name):
			check.WantStatus, check.WantLocationPrefix = []int{301}, "https://"+strings.ToLower(name)+"/"
		case p.request.Enhance.HSTS && s.TLS() && p.plainHSTS(after, c.Server):
			check.WantHeader = map[string]string{hstsHeader: hstsValue}
		default:
			continue
		}
		var ok bool
		if check.Addr, ok = reach(s, after.http); !ok {
			p.warn("%s cannot be asked for %s: no address of the loopback arrives there", s, name)
			continue
		}
		p.plan.Checks = append(p.plan.Checks, check)
	}
}

// redirects finds the redirect of a name, or of the requested wildcard that covers it.
func (p *planner) redirects(s *conf.Server, name string) bool {
	if hasRedirect(s, name) {
		return true
	}
	_, rest, _ := strings.Cut(name, ".")
	return hasRedirect(s, "*."+rest)
}

// plainHSTS says whether every answer of a block has certbot's header, and no other one:
// nothing hides it, and no backend adds its own.
func (p *planner) plainHSTS(after *site, s *conf.Server) bool {
	ours := slices.ContainsFunc(s.Own("add_header"), func(d *conf.Directive) bool {
		return slices.Equal(d.Values(), []string{hstsHeader, hstsValue, "always"})
	})
	clear := true
	within(after.set, s.Directive.Block, func(d *conf.Directive) {
		if d.Name() == "add_header" && d.Parent.Owner != s.Directive || strings.HasSuffix(d.Name(), "_pass") || slices.Contains([]string{"more_set_headers", "ssl_verify_client"}, d.Name()) || d.Name() == "return" && slices.Equal(d.Values(), []string{"444"}) {
			clear = false
		}
	})
	return ours && clear
}

// watch notes names whose certificate stays as it is, and that of each socket for clients
// that ask for no name. Where a file was changed after nginx read it, a renewal that
// nobody told nginx of, the certificate is going to change with any reload.
func (p *planner) watch(after *site) {
	loaded := p.loaded()
	renewed := func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || info.ModTime().After(loaded)
	}
	files := func(s *conf.Server) []string {
		var out []string
		for _, c := range s.Certificates() {
			out = append(out, c.CertFile)
		}
		return out
	}
	for _, s := range p.site.http.Sockets {
		addr, ok := reach(s, p.site.http, after.http)
		then := after.http.Socket(s.Addr)
		if !ok || s.QUIC || !s.TLS() || then == nil {
			continue
		}
		for _, name := range watched(s) {
			if len(p.plan.Watch) >= maxWatch {
				return
			}
			c1, err1 := p.site.http.ChooseOn(s, name)
			c2, err2 := after.http.ChooseOn(then, name)
			if err1 != nil || err2 != nil || slices.Contains(p.request.Names, name) {
				continue
			}
			before := files(c1.TLS)
			if len(before) == 0 || !slices.Equal(before, files(c2.TLS)) || slices.Contains(before, p.request.Certificate.FullChain) || slices.ContainsFunc(before, renewed) {
				continue
			}
			p.plan.Watch = append(p.plan.Watch, installers.Endpoint{Addr: addr, Name: name, ProxyProtocol: s.ProxyProtocol})
		}
	}
}

// watched are the names of a socket that can be asked for, and none.
func watched(s *conf.Socket) []string {
	out := []string{""}
	for _, server := range s.Servers {
		for _, n := range server.Names {
			name := strings.ToLower(strings.TrimPrefix(n.Text, "."))
			if (n.Kind == conf.ExactName || n.Kind == conf.DottedName) && validHost(name) && !slices.Contains(out, name) {
				out = append(out, name)
				if len(out) > maxWatch {
					return out
				}
			}
		}
	}
	return out
}

// validHost says whether a name can be asked for by SNI.
func validHost(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil || name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		odd := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' }
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, odd) || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

package nginx

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"edge/installers/nginx/conf"
)

// pick decides which blocks get the certificate, or the enhancements where none is to be
// deployed.
func (p *planner) pick(ctx context.Context) error {
	for _, name := range p.request.Names {
		servers, err := p.serversFor(ctx, name)
		if err != nil {
			return err
		}
		p.targets[name] = servers
		for _, s := range servers {
			p.jobFor(s).deploy = p.request.Deploy
			if p.request.Deploy {
				p.note("Successfully deployed certificate for %s to %s", name, s.Directive.File.Path)
			}
		}
	}
	if p.fresh != nil {
		p.jobs = append(p.jobs, p.fresh)
	}
	return nil
}

func (p *planner) serversFor(ctx context.Context, name string) ([]*conf.Server, error) {
	if strings.HasPrefix(name, "*.") {
		return p.chooseMany(ctx, name, p.site.http.Servers, func(s *conf.Server) bool { return s.TLS }, p.given)
	}
	ranked, err := p.site.http.Rank(name)
	if err != nil {
		return nil, err
	}
	switch {
	case len(ranked) > 0:
		return p.alsoAnswering(name, ranked), nil
	case p.request.Deploy:
		return nil, p.copyDefault(name)
	case p.request.Enhance.HSTS || p.request.Enhance.Staple:
		return nil, certbotError("Cannot find a VirtualHost matching domain %s. In order for Certbot to correctly perform the challenge please add a corresponding server_name directive to your nginx configuration for every domain on your certificate: https://nginx.org/en/docs/http/server_names.html", name)
	}
	return nil, nil
}

// alsoAnswering is certbot's choice, and the blocks that have the very name and answer it
// on other sockets: sites have one block for IPv4 and one for IPv6.
func (p *planner) alsoAnswering(name string, ranked []conf.Ranked) []*conf.Server {
	out := []*conf.Server{ranked[0].Server}
	if !p.request.Deploy {
		return out
	}
	for _, s := range p.site.http.Sockets {
		if s.QUIC || !s.TLS() || slices.Contains(s.Servers, out[0]) {
			continue
		}
		c, err := p.site.http.ChooseOn(s, name)
		if err != nil || slices.Contains(out, c.Server) {
			continue
		}
		exact := func(r conf.Ranked) bool { return r.Server == c.Server && r.Kind == conf.ExactName }
		if slices.ContainsFunc(ranked, exact) {
			out = append(out, c.Server)
		}
	}
	return out
}

// chooseMany has a person say which blocks a wildcard is for. Of blocks with the same
// name the preferred ones are offered. Where nobody is here, it is for those that somebody
// has made it for before.
func (p *planner) chooseMany(ctx context.Context, name string, all []*conf.Server, preferred, before func(*conf.Server) bool) ([]*conf.Server, error) {
	if p.request.Choose == nil && slices.ContainsFunc(all, before) {
		return slices.DeleteFunc(slices.Clone(all), func(s *conf.Server) bool { return !before(s) }), nil
	}
	byName := map[string]*conf.Server{}
	for _, s := range all {
		for _, n := range s.Names {
			if byName[n.Text] == nil || preferred(s) {
				byName[n.Text] = s
			}
		}
	}
	var offered []*conf.Server
	var text []string
	for _, s := range all {
		if slices.ContainsFunc(s.Names, func(n conf.Name) bool { return byName[n.Text] == s && n.Directive != nil }) {
			offered, text = append(offered, s), append(text, describe(s))
		}
	}
	if len(offered) == 0 {
		return nil, fmt.Errorf("no server block has a server_name that a certificate for %s could be for", name)
	}
	if p.request.Choose == nil {
		return nil, fmt.Errorf("choose the server blocks for %s: nobody is here to choose, and certificates of wildcards go where they are told to; write the paths of this one into those that are meant; it may be any of:\n%s", name, strings.Join(text, "\n"))
	}
	picked, err := p.request.Choose(ctx, "Which server blocks would you like to modify?", text, true)
	if err != nil {
		return nil, err
	}
	var out []*conf.Server
	for _, i := range picked {
		if i < 0 || i >= len(offered) {
			return nil, fmt.Errorf("choose the server blocks for %s: there is no candidate %d", name, i)
		}
		out = append(out, offered[i])
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("choose the server blocks for %s: none was chosen", name)
	}
	return out, nil
}

// given says whether a block was given the certificate. What http has is for all blocks, also
// those that nobody meant to answer TLS.
func (p *planner) given(s *conf.Server) bool {
	return p.hasCertificate(s) && (s.TLS || len(s.Own("ssl_certificate")) > 0)
}

// describe is a block for a person who has to choose.
func describe(s *conf.Server) string {
	var listens, names []string
	for _, l := range s.Listens {
		listens = append(listens, strings.Join(append([]string{l.Text}, l.Params...), " "))
	}
	for _, n := range s.Names {
		names = append(names, n.Text)
	}
	https := "No"
	if s.TLS {
		https = "Yes"
	}
	return fmt.Sprintf("File: %s\nAddresses: %s\nNames: %s\nHTTPS: %s\n", s.Directive.Place(), strings.Join(listens, ", "), strings.Join(names, ", "), https)
}

// sockets are those that a block answers on by TCP.
func sockets(h *conf.HTTP, s *conf.Server) []*conf.Socket {
	var out []*conf.Socket
	for _, socket := range h.Sockets {
		if !socket.QUIC && slices.Contains(socket.Servers, s) {
			out = append(out, socket)
		}
	}
	return out
}

// plainOn reports whether a block answers plain HTTP on a port.
func plainOn(h *conf.HTTP, s *conf.Server, port uint16) bool {
	return slices.ContainsFunc(sockets(h, s), func(socket *conf.Socket) bool {
		return socket.Unix == "" && socket.Addr.Port() == port && !socket.TLS()
	})
}

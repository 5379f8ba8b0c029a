package nginx

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"edge/installers/nginx/conf"
)

// deploy gives a block the certificate, and makes it answer TLS where it does not yet.
func (p *planner) deploy(j *job, e *conf.Edits, text *lines) error {
	s := j.server
	if err := p.sparesOthers(j); err != nil {
		return err
	}
	if !s.TLS {
		if len(own(s, "listen")) == 0 && len(s.Own("listen")) == 0 && len(p.moved(j)) == 0 {
			text.add("listen", "80") // it was implied until now
		}
		if err := p.listens(s, text); err != nil {
			return err
		}
	}
	p.certificate(j, e, text)
	if s.TLS {
		return nil
	}
	if err := p.include(s, e, text); err != nil {
		return err
	}
	if have := own(s, "ssl_dhparam"); len(have) > 0 {
		if !slices.Equal(have[0].Values(), []string{p.dhparams.path}) {
			return conflict(have[0], []string{"ssl_dhparam", p.dhparams.path})
		}
		return nil
	}
	text.add("ssl_dhparam", p.dhparams.path)
	return nil
}

// listens adds a TLS listen beside each plain one.
func (p *planner) listens(s *conf.Server, text *lines) error {
	for _, l := range p.twins(s) {
		if err := p.listen(l, text); err != nil {
			return err
		}
	}
	return nil
}

// twin is an address to listen on with TLS. The host is as nginx takes it, empty for any
// of IPv4.
type twin struct {
	host string
	addr netip.Addr // the zero value for a name
}

func (t twin) text(port uint16) string {
	if t.host == "" {
		return fmt.Sprint(port)
	}
	return fmt.Sprintf("%s:%d", t.host, port)
}

// twins are those of the plain listens on the HTTP port; without any, all addresses of
// the families that the block answers. IPv6 comes first, as certbot has it.
func (p *planner) twins(s *conf.Server) []twin {
	var v6, v4 []twin
	has6, has4 := false, false
	for _, l := range s.Listens {
		if l.Unix != "" || l.QUIC {
			continue
		}
		is6 := l.Addr.IsValid() && l.Addr.Is6()
		has6, has4 = has6 || is6, has4 || !is6
		if p.http < l.Port || p.http > l.LastPort {
			continue
		}
		switch t := (twin{host: l.Host, addr: l.Addr}); {
		case is6:
			t.host = l.Text[:strings.IndexByte(l.Text, ']')+1]
			v6 = append(v6, t)
		default:
			if l.Addr.IsValid() && !l.Addr.IsUnspecified() {
				t.host = l.Addr.String()
			}
			v4 = append(v4, t)
		}
	}
	if len(v6)+len(v4) == 0 {
		if has6 {
			v6 = []twin{{host: "[::]", addr: netip.IPv6Unspecified()}}
		}
		if has4 || !has6 {
			v4 = []twin{{addr: netip.IPv4Unspecified()}}
		}
	}
	return append(v6, v4...)
}

func (p *planner) listen(t twin, text *lines) error {
	for _, socket := range p.site.http.Sockets {
		if socket.Addr == netip.AddrPortFrom(t.addr, p.https) && socket.Host == "" && socket.Unix == "" && !socket.QUIC && !socket.TLS() {
			return fmt.Errorf("%s: the server block speaks plain HTTP on %s, where TLS is to be; choose another port with --https-port (https_port below deliver)", socket.Servers[0].Directive.Place(), socket)
		}
	}
	args := []string{t.text(p.https), "ssl"}
	if only := ipv6only(p.site.http, t, p.https); only != "" && !p.v6done[args[0]] {
		p.v6done[args[0]] = true
		args = append(args, only)
	}
	text.add("listen", args...)
	return nil
}

// ipv6only is the parameter of the first listen of an IPv6 address: as certbot says it,
// for old nginx; off where the plain socket takes IPv4 as well. Options may be given
// once for an address.
func ipv6only(h *conf.HTTP, t twin, port uint16) string {
	if !t.addr.IsValid() || !t.addr.Is6() {
		return ""
	}
	for _, s := range h.Servers {
		for _, l := range s.Listens {
			if l.Addr != t.addr || l.QUIC {
				continue
			}
			if l.Port <= port && port <= l.LastPort && slices.ContainsFunc(l.Params, setsOptions) {
				return ""
			}
		}
	}
	if dualStack(h, t) {
		return "ipv6only=off"
	}
	return "ipv6only=on"
}

// setsOptions says whether a parameter is about the socket and not about who answers.
func setsOptions(param string) bool {
	return !repeatable(param) && param != "default" && param != "default_server"
}

// dualStack says whether a plain socket of the same address takes IPv4 as well.
func dualStack(h *conf.HTTP, t twin) bool {
	for _, socket := range h.Sockets {
		if socket.Addr.Addr() == t.addr && !socket.QUIC && !socket.IPv6Only && !socket.TLS() {
			return true
		}
	}
	return false
}

// certificate puts the paths in. Of several pairs, for several kinds of keys, the one of
// the same kind is replaced.
func (p *planner) certificate(j *job, e *conf.Edits, text *lines) {
	s, c := j.server, p.request.Certificate
	if s.TLS && slices.ContainsFunc(s.Certificates(), func(have conf.Certificate) bool { return have.CertFile == c.FullChain && have.KeyFile == c.Key }) {
		return // it may include them, or have them from http
	}
	certs, keys := own(s, "ssl_certificate"), own(s, "ssl_certificate_key")
	i := pairToReplace(s, certs, c.FullChain)
	set := func(list []*conf.Directive, name, value string) {
		switch {
		case i < len(list):
			setValue(e, list[i], value)
		default:
			text.add(name, value)
		}
	}
	set(certs, "ssl_certificate", c.FullChain)
	set(keys, "ssl_certificate_key", c.Key)
	if len(certs) > 1 {
		p.warn("%s has %d certificates; the one at %s was replaced, the others stay", s.Directive.Place(), len(certs), certs[i].Place())
	}
	if all := s.Own("ssl_certificate"); len(all) > len(certs) {
		p.warn("%s gets a certificate beside the one that it includes at %s: remove that one if it is not needed", s.Directive.Place(), all[0].Place())
	}
}

// pairToReplace is the number of the pair: one that names the file already, else one with a key
// of the same kind, else the first.
func pairToReplace(s *conf.Server, certs []*conf.Directive, path string) int {
	for i, d := range certs {
		if slices.Equal(d.Values(), []string{path}) {
			return i
		}
	}
	if len(certs) < 2 {
		return 0
	}
	kind := keyKind(path)
	for _, pair := range s.Certificates() {
		if i := slices.Index(certs, pair.Cert); i >= 0 && kind != "" && keyKind(pair.CertFile) == kind {
			return i
		}
	}
	return 0
}

// include brings in the options for TLS, and turns off what a block says the same.
func (p *planner) include(s *conf.Server, e *conf.Edits, text *lines) error {
	for _, d := range own(s, "include") {
		if slices.Equal(d.Values(), []string{p.options.path}) {
			return nil
		}
	}
	options, err := conf.Parse(p.options.path, p.options.content)
	if err != nil {
		return err
	}
	for option := range options.Root.Directives() {
		if option.Name() == "include" || option.Name() == "add_header" || option.Name() == "rewrite" {
			continue // these may be there several times
		}
		for _, d := range own(s, option.Name()) {
			if !slices.Equal(d.Values(), option.Values()) {
				return conflict(d, append([]string{option.Name()}, option.Values()...))
			}
			e.CommentOut(d, "duplicated in "+p.options.path)
		}
	}
	p.optioned = true
	text.add("include", p.options.path)
	return nil
}

// conflict is certbot's error for what it would have to insert twice, with the place.
func conflict(have *conf.Directive, want []string) error {
	return certbotError("Problem in %s: tried to insert directive \"%s\" but found conflicting \"%s\". (%s)",
		have.File.Path, pyList(want), pyList(append([]string{have.Name()}, have.Values()...)), have.Place())
}

// pyList writes a list as Python does.
func pyList(words []string) string {
	return "['" + strings.Join(words, "', '") + "']"
}

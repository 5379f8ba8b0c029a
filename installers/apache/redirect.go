package apache

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/apache/conf"
)

// rule sends all requests to HTTPS. certbot does so to port 443 only.
func (p *planner) rule() []string {
	port := ""
	if p.r.HTTPSPort != 443 {
		port = fmt.Sprintf(":%d", p.r.HTTPSPort)
	}
	return []string{"^", "https://%{SERVER_NAME}" + port + "%{REQUEST_URI}", "[END,NE,R=permanent]"}
}

// oldFlags are those of the rules that certbot wrote once, and which it replaces.
var oldFlags = []string{"[L,QSA,R=permanent]", "[END,QSA,R=permanent]", "[L,NE,R=permanent]"}

// redirect has the virtual host for HTTP send people to the one for HTTPS.
func (p *planner) redirect(s *site) error {
	if err := p.needModules("rewrite"); err != nil {
		return err
	}
	v := p.httpHost(s)
	if v == nil {
		return p.redirectHost(s)
	}
	if p.redirs[v] {
		return nil
	}
	p.redirs[v] = true
	if v.Made {
		return fmt.Errorf("redirect %s: the virtual host for HTTP is made by a macro at %s; write it out", s.host.ServerName, v.Where())
	}
	rule := p.rule()
	line := "RewriteRule " + strings.Join(rule, " ")
	others := len(v.All("Redirect"))+len(v.All("RedirectMatch")) > 0
	for _, d := range v.All("RewriteRule") {
		switch {
		case slices.Equal(d.Values, rule):
			return nil // certbot's words: Certbot has already enabled redirection
		case len(d.Values) == 3 && d.Values[0] == rule[0] && d.Values[1] == rule[1] && slices.Contains(oldFlags, d.Values[2]) && (p.own(d) || inside(d, v)):
			p.edits.Replace(d.Directive, line)
			return nil
		}
		others = true
	}
	if others {
		p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf("Added an HTTP->HTTPS rewrite in addition to other RewriteRules in %s; you may wish to check for overall consistency.", v.Where()))
	} else {
		p.checks = append(p.checks, func() { p.checkRedirect(v, s) })
	}
	var lines []string
	if engine := v.All("RewriteEngine"); len(engine) == 0 || !strings.EqualFold(strings.Join(engine[len(engine)-1].Values, " "), "on") {
		lines = append(lines, "RewriteEngine on")
	}
	names := s.allNames()
	for i, name := range names {
		condition := "RewriteCond %{SERVER_NAME} " + serverNameIs(name)
		if i < len(names)-1 {
			condition += " [OR]"
		}
		lines = append(lines, condition)
	}
	p.edits.InsertLast(v.Block, strings.Join(append(lines, line), "\n"))
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("Redirecting host in %s to ssl vhost in %s", v.File.Real, s.path))
	return nil
}

// serverNameIs is the pattern of a condition. certbot writes a wildcard as if it were a
// name, which then never matches.
func serverNameIs(name string) string {
	if !strings.ContainsAny(name, "*?") {
		return "=" + name
	}
	return "^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(name)) + "$"
}

// checkRedirect has the transaction ask for what should come.
func (p *planner) checkRedirect(v *conf.VirtualHost, s *site) {
	for _, name := range literal(s.names) {
		if !v.Has(name) {
			continue
		}
		for _, addr := range p.hostAddresses(v, p.r.HTTPPort) {
			p.plan.Checks = append(p.plan.Checks, installers.HTTPCheck{Addr: addr, Host: name, WantStatus: []int{301}, WantLocationPrefix: "https://" + name})
		}
	}
}

// httpHost finds the virtual host for HTTP of a site: the one that it is the twin of,
// one with the same names, or one without a name at the same addresses.
func (p *planner) httpHost(s *site) *conf.VirtualHost {
	if s.twin != nil {
		return s.host
	}
	for _, generic := range []bool{false, true} {
		for _, v := range p.hosts {
			if !v.TLS && sameServer(v, s.host, generic) {
				return v
			}
		}
	}
	return nil
}

// sameServer is certbot's: the same names; where there are none, the same addresses with
// other ports.
func sameServer(v, tls *conf.VirtualHost, generic bool) bool {
	a, b := v.Names(), tls.Names()
	if !generic {
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			return false
		}
		if len(a) > 0 {
			return true
		}
	} else if v.ServerName != "" {
		return false
	}
	if len(v.Addrs) != len(tls.Addrs) {
		return false
	}
	seen := map[string]bool{}
	for _, addr := range tls.Addrs {
		i := slices.IndexFunc(v.Addrs, func(l conf.Addr) bool { return l.Host == addr.Host && l != addr && !seen[l.Host] })
		if i < 0 {
			return false
		}
		seen[v.Addrs[i].Host] = true
	}
	return true
}

// redirectHost makes a virtual host for HTTP that only redirects.
func (p *planner) redirectHost(s *site) error {
	port := fmt.Sprint(p.r.HTTPPort)
	var addrs []string
	for _, a := range s.host.Addrs {
		a.Port = port
		if !slices.Contains(addrs, a.String()) {
			addrs = append(addrs, a.String())
		}
		for _, v := range p.hosts {
			if slices.ContainsFunc(v.Addrs, func(have conf.Addr) bool { return conflicts(have, a) }) {
				return certbots("Unable to find corresponding HTTP vhost; Unable to create one as intended addresses conflict; Current configuration does not support automated redirection")
			}
		}
	}
	name := "le-redirect.conf"
	server, alias := "", ""
	if s.host.ServerName != "" {
		server = "ServerName " + s.host.ServerName
		if long := "le-redirect-" + s.host.ServerName + ".conf"; len(long) < 255 && !strings.Contains(long, "/") {
			name = long
		}
	}
	if len(s.host.Aliases) > 0 {
		alias = "ServerAlias " + strings.Join(s.host.Aliases, " ")
	}
	dir, err := filepath.EvalSymlinks(p.vhostRoot)
	if err != nil {
		return fmt.Errorf("create a virtual host that redirects: %w", err)
	}
	path := filepath.Join(dir, name)
	if err := p.enable(path); err != nil {
		return err
	}
	if err := p.listen(port, false); err != nil {
		return err
	}
	p.edits.NewFile(path, fmt.Sprintf("<VirtualHost %s>\n%s \n%s \nServerSignature Off\n\nRewriteEngine On\nRewriteRule %s\n\nErrorLog %s/redirect.error.log\nLogLevel warn\n</VirtualHost>\n",
		strings.Join(addrs, " "), server, alias, strings.Join(p.rule(), " "), p.logsRoot))
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("Created a port %s vhost, %s, for redirection to ssl vhost %s", port, path, s.path))
	return nil
}

// conflicts is certbot's: whether a new address takes something away from one that is
// there.
func conflicts(have, add conf.Addr) bool {
	specific := func(a conf.Addr) int {
		switch a.Host {
		case "_default_":
			return 0
		case "*":
			return 1
		}
		return 2
	}
	return specific(add) > specific(have) || have.Host == add.Host && (have.AnyPort() || have.Port == add.Port)
}

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"edge/internal/config"
	"edge/proxy/files"
	"edge/proxy/policy"
)

// parts are the pieces of policy that remember something: they outlive a reload
// that does not change them, so that nobody gets new tokens by it.
type parts struct {
	limiters map[string]*policy.Limiter
	auths    map[string]*policy.BasicAuth
	folders  map[string]folder
}

// folder is a folder that is served, with what policy calls it.
type folder struct {
	of   *policy.Files
	open *files.Folder
}

// routing maps the sites onto policy. old are the parts in force.
type routing struct {
	old, parts parts
	pools      map[string]config.Pool // by key
}

func newRouting(old parts) *routing {
	return &routing{old: old, parts: parts{map[string]*policy.Limiter{}, map[string]*policy.BasicAuth{}, map[string]folder{}}, pools: map[string]config.Pool{}}
}

func (w *routing) sites(cfg *config.Config) ([]policy.Site, error) {
	sites := make([]policy.Site, 0, len(cfg.Sites))
	for _, s := range cfg.Sites {
		site := policy.Site{Name: siteName(s), Hosts: s.Hosts, TLS: !s.TLS.Off, Redirect: s.Redirect}
		if s.TLS.MinVersion == "1.3" {
			site.MinTLS = tls.VersionTLS13
		}
		if a := s.TLS.ClientAuth; a != nil {
			site.ClientAuth, site.NeedCert = true, a.Mode == "require"
		}
		for i := range s.Routes {
			r, err := w.route(site.Name, i, &s.Routes[i])
			if err != nil {
				return nil, misplaced(s.Routes[i].Pos, err.Error(), "")
			}
			site.Routes = append(site.Routes, r)
		}
		sites = append(sites, site)
	}
	return sites, nil
}

// misplaced is a mistake that only shows when the routes are put together.
func misplaced(at config.Pos, message, hint string) error {
	return config.Errors{{Pos: at, Message: message, Hint: hint}}
}

// table builds the table that a configuration asks for.
func (w *routing) table(cfg *config.Config) (*policy.Table, error) {
	sites, err := w.sites(cfg)
	if err != nil {
		return nil, err
	}
	table, err := policy.NewTable(policy.Options{Sites: sites, Trusted: cfg.TrustedProxies, HTTPSPort: httpsPort(cfg)})
	var ue *policy.UnreachableError
	var re *policy.RouteError
	for _, s := range cfg.Sites {
		switch {
		case errors.As(err, &ue) && siteName(s) == ue.Site:
			by := s.Routes[ue.By].Pos
			return nil, misplaced(s.Routes[ue.Route].Pos, fmt.Sprintf("the route can never be reached: the one at %s:%d:%d matches everything that it matches", by.File, by.Line, by.Col),
				"change their order, or make the first one narrower")
		case errors.As(err, &re) && siteName(s) == re.Site:
			return nil, misplaced(s.Routes[re.Route].Pos, re.Err.Error(), "")
		}
	}
	return table, err
}

// pool remembers a pool and returns its key.
func (w *routing) pool(p config.Pool) string {
	key := poolKey(p)
	w.pools[key] = p
	return key
}

func (w *routing) route(site string, i int, c *config.Route) (policy.Route, error) {
	r := policy.Route{
		Name: c.Name,
		Match: policy.Match{Hosts: c.Match.Hosts, Paths: c.Match.Paths, Methods: c.Match.Methods, Clients: c.Match.Clients,
			Header: fieldMatches(c.Match.Header), Query: fieldMatches(c.Match.Query)},
		Allow: c.Allow, Deny: c.Deny,
		Rewrite:   policy.Rewrite{Strip: c.Rewrite.Strip, Add: c.Rewrite.Add, Path: c.Rewrite.Path},
		Request:   edits(c.Request),
		BodyBytes: c.MaxBody, ResponseBytes: c.MaxResponse, Intercept: c.Intercept,
	}
	if r.Name == "" && len(c.Match.Paths) > 0 {
		r.Name = strings.Join(c.Match.Paths, ",")
	}
	for _, re := range c.Rewrite.Replace {
		r.Rewrite.Replace = append(r.Rewrite.Replace, policy.Replace{From: re.From, To: re.To})
	}
	if z := c.Compress; z != nil {
		r.Compress = &policy.Compress{Encodings: z.Encodings, Types: z.Types, MinBytes: z.Min, Level: z.Level}
	}
	for _, p := range c.ErrorPages {
		r.Errors = append(r.Errors, policy.ErrorPage{From: p.From, To: p.To, Type: p.Type, Body: p.Body})
	}
	if m := c.Maintenance; m != nil {
		r.Maintenance = &policy.Maintenance{Allow: m.Allow, RetryAfter: int(m.RetryAfter.Seconds())}
		if m.Page != nil {
			r.Maintenance.Type, r.Maintenance.Body = m.Page.Type, m.Page.Body
		}
	}
	if o := c.CORS; o != nil {
		r.CORS = &policy.CORS{Origins: o.Origins, Methods: o.Methods, Headers: o.Headers, Expose: o.Expose, Credentials: o.Credentials, MaxAge: int(o.MaxAge.Seconds())}
	}
	if s := c.Security; s != nil {
		preset, err := policy.Security{HSTS: int(s.HSTS.Seconds()), Frame: s.Frame, Referrer: s.Referrer, ContentPolicy: s.ContentPolicy, NoSniff: true}.Edits()
		if err != nil {
			return r, err
		}
		r.Response = preset
	}
	r.Response = append(r.Response, edits(c.Response)...)
	for n, l := range c.RateLimits {
		r.RateLimits = append(r.RateLimits, policy.RateLimit{By: l.By, Limiter: w.limiter(fmt.Sprintf("%s %d %d %+v", site, i, n, l), l)})
	}
	var err error
	if r.BasicAuth, err = w.basicAuth(c.BasicAuth); err != nil {
		return r, err
	}
	if f := c.ForwardAuth; f != nil {
		r.ForwardAuth = &policy.ForwardAuth{Pool: w.pool(f.To), Path: f.Path, Host: f.Host, Request: f.Request, Copy: f.Copy}
	}
	r.Action, err = w.action(c)
	return r, err
}

func (w *routing) action(c *config.Route) (a policy.Action, err error) {
	switch {
	case c.Static != nil:
		f, err := w.folder(c.Static)
		if err != nil {
			return a, err
		}
		a.Files = f.of
	case c.Redirect != nil:
		a.Redirect = &policy.RedirectTo{Status: c.Redirect.Status, Location: c.Redirect.To}
	case c.Respond != nil:
		a.Answer = &policy.Answer{Status: c.Respond.Status, Type: c.Respond.Type, Body: []byte(c.Respond.Body)}
	case c.Proxy != nil:
		a.Proxy = &policy.ProxyTo{Pool: w.pool(*c.Proxy), HashBy: c.Proxy.HashBy}
		if c.Proxy.Sticky != nil {
			a.Proxy.Sticky = c.Proxy.Sticky.Cookie
		}
		if c.Proxy.Host == "upstream" {
			o, err := upstreamOptions(*c.Proxy, config.Server{To: c.Proxy.URLs()[0]})
			if err != nil {
				return a, err
			}
			a.Proxy.Host = o.Host()
		}
	}
	return a, nil
}

// folder opens a folder, anew at each reload: its name may lead elsewhere now, as
// where a release is a link. The one before is closed by the runtime once no
// request is in it.
func (w *routing) folder(s *config.Static) (folder, error) {
	of := policy.Files{Root: s.Root, Index: s.Index, Fallback: s.Fallback, Precompressed: s.Precompressed, Hidden: s.Hidden, CacheControl: s.CacheControl}
	key := fmt.Sprintf("%#v", of)
	f, ok := w.parts.folders[key]
	if !ok {
		open, err := files.Open(of)
		if err != nil {
			return f, err
		}
		f = folder{&of, open}
	}
	w.parts.folders[key] = f
	return f, nil
}

// opened lists the folders as the server takes them.
func (p parts) opened() map[*policy.Files]*files.Folder {
	out := map[*policy.Files]*files.Folder{}
	for _, f := range p.folders {
		out[f.of] = f.open
	}
	return out
}

func (w *routing) limiter(key string, l config.RateLimit) *policy.Limiter {
	lim := w.old.limiters[key]
	if lim == nil {
		lim = policy.NewLimiter(policy.LimiterOptions{Name: "default", Rate: l.Rate, Burst: l.Burst, MaxKeys: l.MaxKeys})
	}
	w.parts.limiters[key] = lim
	return lim
}

func (w *routing) basicAuth(c *config.BasicAuth) (*policy.BasicAuth, error) {
	if c == nil {
		return nil, nil
	}
	key := fmt.Sprintf("%q %v %q", c.Realm, c.Forward, c.Users) // maps are printed sorted
	a := w.parts.auths[key]
	if a == nil {
		a = w.old.auths[key]
	}
	if a == nil {
		var err error
		if a, err = policy.NewBasicAuth(policy.BasicAuthOptions{Realm: c.Realm, Users: c.Users, Forward: c.Forward}); err != nil {
			return nil, err
		}
	}
	w.parts.auths[key] = a
	return a, nil
}

func fieldMatches(list []config.FieldMatch) (out []policy.FieldMatch) {
	for _, m := range list {
		out = append(out, policy.FieldMatch{Name: m.Name, Values: m.Values, Absent: m.Absent})
	}
	return out
}

func edits(list []config.HeaderEdit) (out []policy.HeaderEdit) {
	ops := map[string]policy.EditOp{"set": policy.SetField, "add": policy.AddField, "default": policy.DefaultField, "remove": policy.RemoveField}
	for _, e := range list {
		out = append(out, policy.HeaderEdit{Op: ops[e.Op], Name: e.Name, Value: e.Value})
	}
	return out
}

// proxied lists the backends of a site, each once.
func proxied(s config.Site) (list []config.Pool) {
	seen := map[string]bool{}
	add := func(p *config.Pool) {
		if key := poolKey(*p); !seen[key] {
			seen[key] = true
			list = append(list, *p)
		}
	}
	for i := range s.Routes {
		if p := s.Routes[i].Proxy; p != nil {
			add(p)
		}
	}
	return list
}

// backendText is what status shows of a site's backends.
func backendText(s config.Site) string {
	var to []string
	if f := s.TLS.Forward; f != nil {
		to = f.To
	}
	for _, p := range proxied(s) {
		to = append(to, p.URLs()...)
	}
	for _, r := range s.Routes {
		if r.Static != nil {
			to = append(to, r.Static.Root)
		}
	}
	if len(to) == 0 {
		return "-"
	}
	return strings.Join(to, ", ")
}

package policy

import (
	"net/netip"
	"strings"

	"edge"
)

// Decide says what is to be done with a request. It does not keep r.
func (t *Table) Decide(r *Request) Decision {
	client, trusted := t.client(r)
	d := Decision{Kind: Static, Site: edge.OtherSite, Client: client}
	host, _, ok := cleanHost(r.Host)
	switch {
	case r.Method == "CONNECT" || r.Method == "TRACE":
		return d.static(405, "method not allowed\n")
	case !ok:
		d.Close = true
		return d.static(400, "bad host\n")
	case !validTarget(r.Method, r.Path, r.Query):
		d.Close = true
		return d.static(400, "bad request target\n")
	}
	s := t.site(host)
	switch {
	case s == nil && r.TLS != 0:
		return d.static(421, "this server does not serve that host\n")
	case s == nil:
		return d.static(404, "no such site\n")
	}
	d.Site = s.Name
	secure := r.TLS != 0 || trusted && forwardedProto(r) == "https"
	// Challenges that edge does not know are the backend's: an ACME client there
	// must not find itself redirected.
	if !secure && s.TLS && s.Redirect != 0 && !isChallenge(r.Path) {
		d.Kind, d.Status, d.Location = Redirect, s.Redirect, t.secure(host, r)
		return d
	}
	if r.TLS != 0 && (!s.TLS || r.TLS < s.MinTLS) {
		// Whoever got here used another site's certificate: this one has none, or
		// asks for more of the connection.
		return d.static(421, "this host is not served over such a connection\n")
	}
	// A proxy in front that ended TLS has seen the certificate, if anybody has: its
	// word for https is no certificate. Challenges over plain HTTP are for whoever asks.
	bare := s.NeedCert && (r.Cert == nil || !r.Cert.Verified) && !(r.TLS == 0 && isChallenge(r.Path))
	if r.TLS != 0 && s.ClientAuth && !t.identified(s, r) || bare {
		return d.static(421, "this host asks for a client certificate over a connection of its own\n")
	}
	rt, clear := s.route(r, host, client, &d)
	switch {
	case !clear:
		d.Close = true
		return d.static(400, "path can be read in two ways\n")
	case rt == nil:
		return d.static(404, "not found\n")
	}
	d.Rule, d.Trusted = rt, trusted
	if !d.conditions(rt, r) {
		d.Passed = true
		d.act(t, rt, r, trusted)
	}
	return d
}

// identified reports whether the connection was made for the site, which asks
// its clients for certificates: the handshake has seen to the rest.
func (t *Table) identified(s *Site, r *Request) bool {
	if r.SNI == "" {
		return false
	}
	return t.site(r.SNI) == s
}

// route finds the route of a request and fills in the path. clear is false where
// another route would have a say if the path was read loosely.
func (s *Site) route(r *Request, host string, client netip.Addr, d *Decision) (rt *Route, clear bool) {
	d.Path, d.Query = r.Path, r.Query
	loose := r.Path
	if r.Path != "*" {
		d.Path, loose = normalPath(r.Path)
	}
	if rt = s.first(d.Path, r, host, client); s.plain || loose == d.Path {
		return rt, true
	}
	return rt, s.first(loose, r, host, client) == rt
}

func (s *Site) first(path string, r *Request, host string, client netip.Addr) *Route {
	for i := range s.Routes {
		if rt := &s.Routes[i]; rt.compiled.matches(&rt.Match, path, r, host, client) {
			return rt
		}
	}
	return nil
}

// act fills in what the route does.
func (d *Decision) act(t *Table, rt *Route, r *Request, trusted bool) {
	d.Path = rt.Rewrite.apply(d.Path)
	switch a := &rt.Action; {
	case a.Redirect != nil:
		d.Kind, d.Status = Redirect, a.Redirect.Status
		d.Location = strings.TrimSuffix(rt.compiled.location.expand(r, d), "?")
	case a.Answer != nil:
		d.Kind, d.Status, d.Body, d.Type = Static, a.Answer.Status, string(a.Answer.Body), a.Answer.Type
	case a.Files != nil:
		d.Kind = Serve
	default:
		p := a.Proxy
		d.Kind, d.Pool, d.Host = Proxy, p.Pool, r.Host
		if p.Host != "" {
			d.Host = p.Host
		}
		d.HashKey = hashKey(p.HashBy, r, d)
		if p.Sticky != "" {
			d.Sticky, _ = cookie(r.Header, p.Sticky)
		}
		d.Forwarded = t.forwarded(r, trusted)
	}
}

// hashKey is what a pool balances by; "" where it does not ask for anything.
func hashKey(by string, r *Request, d *Decision) string {
	kind, name, _ := strings.Cut(by, ":")
	switch kind {
	case "client":
		return d.Client.String()
	case "path":
		return d.Path
	case "header":
		if v := headerValues(r.Header, name); len(v) > 0 {
			return v[0]
		}
	case "cookie":
		if v, ok := cookie(r.Header, name); ok {
			return v
		}
	}
	if by == "" {
		return ""
	}
	return d.Client.String() // who lacks it is told apart by address
}

// apply rewrites a path. Whatever comes out is normalised again, and is never
// anything but a path.
func (w *Rewrite) apply(path string) string {
	switch {
	case w.Path != "":
		return w.Path
	case w.Strip == "" && w.Add == "" && len(w.Replace) == 0 || path == "*":
		return path
	}
	if w.Strip != "" {
		strip := strings.TrimSuffix(w.Strip, "/")
		if rest, ok := strings.CutPrefix(path, strip); ok && (rest == "" || rest[0] == '/') {
			path = rest
		}
	}
	for _, re := range w.Replace {
		path = re.From.ReplaceAllString(path, re.To)
	}
	path = strings.TrimSuffix(w.Add, "/") + path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if !validBytes(path) || strings.Contains(path, "?") {
		path = escapePath(path)
	}
	path, _ = normalPath(path)
	return path
}

// escapePath makes a path of what a replacement may have torn apart.
func escapePath(s string) string {
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+8)
	for i := 0; i < len(s); i++ {
		c := s[i]
		whole := c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) && s[i+1:i+3] != "00"
		if c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '?' || c == '%' && !whole {
			b = append(b, '%', digits[c>>4], digits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// isChallenge reports whether a path is that of an HTTP-01 challenge and nothing
// that hides behind one: tokens are base64url (RFC 8555 section 8.3).
func isChallenge(path string) bool {
	token, ok := strings.CutPrefix(path, edge.HTTP01Prefix)
	if !ok || token == "" {
		return false
	}
	for i := 0; i < len(token); i++ {
		c := token[i]
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

func (d Decision) static(status int, body string) Decision {
	d.Kind, d.Status, d.Body = Static, status, body
	return d
}

// secure is the same request on HTTPS.
func (t *Table) secure(host string, r *Request) string {
	if strings.IndexByte(host, ':') >= 0 {
		host = "[" + host + "]"
	}
	path := r.Path
	if path == "*" {
		path = "/"
	}
	// A path of two slashes must not become another host in a browser's eyes:
	// it follows an authority here, so it cannot.
	if r.Query != "" {
		return "https://" + host + t.httpsPort + path + "?" + r.Query
	}
	return "https://" + host + t.httpsPort + path
}

// validTarget refuses what RFC 3986 does not allow in a path or a query and
// what servers behind are known to read in different ways.
func validTarget(method, path, query string) bool {
	if path == "*" {
		return method == "OPTIONS" && query == ""
	}
	if len(path) == 0 || path[0] != '/' {
		return false
	}
	return validBytes(path) && validBytes(query)
}

func validBytes(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c <= ' ' || c >= 0x7f || c == '\\' || c == '#':
			return false
		case c == '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return false
			}
			if s[i+1] == '0' && s[i+2] == '0' {
				return false
			}
		}
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// client returns who sent the request: the peer, or, where the peer is a
// trusted proxy, the right-most address of X-Forwarded-For that is not one.
func (t *Table) client(r *Request) (client netip.Addr, trusted bool) {
	client = r.Remote.Addr().Unmap()
	if len(t.trusted) == 0 || !t.isTrusted(client) {
		return client, false
	}
	for i := len(r.Header) - 1; i >= 0; i-- {
		if !strings.EqualFold(r.Header[i].Name, "X-Forwarded-For") {
			continue
		}
		list := r.Header[i].Value
		for list != "" {
			var part string
			if j := strings.LastIndexByte(list, ','); j >= 0 {
				list, part = list[:j], list[j+1:]
			} else {
				list, part = "", list
			}
			a, err := netip.ParseAddr(strings.TrimSpace(part))
			if err != nil {
				return client, true // whoever wrote this is not to be followed further
			}
			client = a.Unmap()
			if !t.isTrusted(client) {
				return client, true
			}
		}
	}
	return client, true
}

func (t *Table) isTrusted(a netip.Addr) bool {
	for _, p := range t.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// forwardedProto is what a proxy in front says of the client's scheme: "http",
// "https", or "" where it says nothing that makes sense.
func forwardedProto(r *Request) (proto string) {
	for _, f := range r.Header {
		if strings.EqualFold(f.Name, "X-Forwarded-Proto") && (f.Value == "http" || f.Value == "https") {
			proto = f.Value
		}
	}
	return proto
}

// forwarded are the fields that tell the upstream about the client.
func (t *Table) forwarded(r *Request, trusted bool) []Field {
	peer := r.Remote.Addr().Unmap().String()
	proto, host := "http", r.Host
	if r.TLS != 0 {
		proto = "https"
	}
	if trusted {
		if p := forwardedProto(r); p != "" {
			proto = p
		}
		var chain []string
		for _, f := range r.Header {
			switch {
			case strings.EqualFold(f.Name, "X-Forwarded-For"):
				chain = append(chain, f.Value)
			case strings.EqualFold(f.Name, "X-Forwarded-Host"):
				if _, _, ok := cleanHost(f.Value); ok {
					host = f.Value
				}
			}
		}
		peer = strings.Join(append(chain, peer), ", ")
	}
	return []Field{{"X-Forwarded-For", peer}, {"X-Forwarded-Proto", proto}, {"X-Forwarded-Host", host}}
}

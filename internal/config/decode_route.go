package config

import (
	"fmt"
	"mime"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// decodeRoutes adds the routes of a site. What the site does itself comes last,
// for everything that no route takes.
func (l *loader) decodeRoutes(v value, s *Site) {
	for _, r := range v.get("routes").items(0) {
		s.Routes = append(s.Routes, l.decodeRoute(r, v))
	}
	actions := setOf(v, "proxy", "static", "respond")
	switch {
	case len(actions) > 1:
		l.at(v.f, v.get(actions[1]).n, fmt.Sprintf("%s: %s beside %s", v.path, actions[1], actions[0]), "keep one, or write routes")
	case len(actions) == 1:
		s.Routes = append(s.Routes, l.decodeRoute(v, value{}))
	case len(s.Routes) == 0:
		l.at(v.f, v.n, v.path+".proxy is missing", "say where requests go: proxy: http://127.0.0.1:8080, or routes")
	}
}

// setOf lists which of some keys are there.
func setOf(v value, names ...string) (set []string) {
	for _, name := range names {
		if v.get(name).n != nil {
			set = append(set, name)
		}
	}
	return set
}

// decodeRoute reads a route, or a site as one. Of what the route does not say,
// the site's word counts.
func (l *loader) decodeRoute(v, site value) Route {
	pick := func(name string) value {
		if own := v.get(name); own.n != nil || site.n == nil {
			return own
		}
		return site.get(name)
	}
	r := Route{Pos: v.f.pos(v.n)}
	if site.n != nil {
		v.get("name").text(&r.Name)
		r.Match = l.decodeMatch(v.get("match"))
	}
	r.Allow, r.Deny = l.prefixes(pick("allow")), l.prefixes(pick("deny"))
	for _, i := range forms(pick("rate_limit")) {
		r.RateLimits = append(r.RateLimits, l.decodeRateLimit(i))
	}
	r.BasicAuth = l.decodeBasicAuth(pick("basic_auth"))
	r.ForwardAuth = l.decodeForwardAuth(pick("forward_auth"))
	r.CORS = l.decodeCORS(pick("cors"))
	r.Rewrite = l.decodeRewrite(pick("rewrite"))
	headers := pick("headers")
	r.Request, r.Response = l.decodeEdits(headers.get("request")), l.decodeEdits(headers.get("response"))
	r.Security = decodeSecurity(pick("security_headers"))
	r.MaxBody, r.MaxResponse = bytesOf(pick("max_body")), bytesOf(pick("max_response"))
	r.Compress = l.decodeCompress(pick("compress"))
	r.ErrorPages = l.decodeErrorPages(pick("error_pages"))
	pick("intercept_errors").flag(&r.Intercept)
	r.Maintenance = l.decodeMaintenance(pick("maintenance"))
	l.decodeAction(v, site, &r)
	return r
}

func (l *loader) decodeAction(v, site value, r *Route) {
	names := []string{"proxy", "static", "respond"}
	if site.n != nil {
		names = append(names, "redirect")
	}
	switch set := setOf(v, names...); {
	case len(set) == 0:
		l.at(v.f, v.n, v.path+" does nothing", "add one of proxy, static, redirect, respond")
		return
	case len(set) > 1:
		l.at(v.f, v.get(set[1]).n, fmt.Sprintf("%s: %s beside %s", v.path, set[1], set[0]), "a route does one thing")
		return
	case set[0] == "proxy":
		r.Proxy = l.decodeProxy(v.get("proxy"))
	case set[0] == "static":
		r.Static = l.decodeStatic(v.get("static"))
	case set[0] == "respond":
		r.Respond = l.decodeRespond(v.get("respond"))
	default:
		to := v.get("redirect")
		r.Redirect = &RedirectTo{Status: 308}
		to.get("to").text(&r.Redirect.To)
		to.get("status").number(&r.Redirect.Status)
		if !slices.Contains([]int{301, 302, 303, 307, 308}, r.Redirect.Status) {
			l.at(v.f, to.get("status").n, fmt.Sprintf("%s.status: %d is no redirect", to.path, r.Redirect.Status), "use 301, 302, 303, 307 or 308")
		}
		if t := r.Redirect.To; !strings.Contains(t, "://") && !strings.HasPrefix(t, "/") && !strings.HasPrefix(t, "{path}") {
			l.at(v.f, to.get("to").n, fmt.Sprintf("%s.to: %q is not where a client could go", to.path, shown(t)), "write a URL, or a path")
		}
	}
}

func (l *loader) decodeRespond(v value) *Respond {
	r := &Respond{Status: 200, Type: "text/plain; charset=utf-8"}
	if v.n.Kind == yaml.ScalarNode {
		v.number(&r.Status)
	} else {
		v.get("status").number(&r.Status)
		v.get("type").text(&r.Type)
		v.get("body").text(&r.Body)
	}
	if r.Status < 200 || r.Status > 599 {
		l.at(v.f, v.n, fmt.Sprintf("%s: %d is no status of an answer", v.path, r.Status), "use 200 to 599")
	}
	if _, _, err := mime.ParseMediaType(r.Type); err != nil {
		l.at(v.f, v.n, fmt.Sprintf("%s.type: %q is no media type", v.path, shown(r.Type)), "write it as text/html; charset=utf-8")
	}
	return r
}

func (l *loader) decodeMatch(v value) (m Match) {
	m.Paths, m.Methods, m.Hosts = strs(v.get("path")), strs(v.get("method")), strs(v.get("host"))
	for i, h := range m.Hosts {
		host, err := normalHost(h)
		if err != nil || host == "*" {
			l.at(v.f, v.get("host").n, fmt.Sprintf("%s.host: %q is no host", v.path, shown(h)), "write a name, or *.suffix")
			continue
		}
		m.Hosts[i] = host
	}
	for _, method := range m.Methods {
		if method == "" || method != strings.ToUpper(method) {
			l.at(v.f, v.get("method").n, fmt.Sprintf("%s.method: %q is no method", v.path, shown(method)), "methods are in capitals: GET")
		}
	}
	m.Header, m.Query = fieldMatches(v.get("header")), fieldMatches(v.get("query"))
	m.Clients = l.prefixes(v.get("client"))
	return m
}

func fieldMatches(v value) (out []FieldMatch) {
	for _, p := range v.pairs() {
		m := FieldMatch{Name: p.name}
		if p.value.n.Kind == yaml.ScalarNode && p.value.n.Tag == "!!bool" {
			there := false
			p.value.flag(&there)
			m.Absent = !there
		} else {
			m.Values = strs(p.value)
		}
		out = append(out, m)
	}
	return out
}

// pair is one name of a section whose names are free.
type pair struct {
	name  string
	value value
}

func (v value) pairs() (out []pair) {
	if v.n == nil {
		return nil
	}
	for i := 0; i+1 < len(v.n.Content); i += 2 {
		name := v.n.Content[i].Value
		out = append(out, pair{name, v.get(name)})
	}
	return out
}

// strs reads a list, or its one element.
func strs(v value) (out []string) {
	switch {
	case v.n == nil:
	case v.n.Kind == yaml.ScalarNode:
		out = []string{v.n.Value}
	default:
		v.texts(&out)
	}
	return out
}

// forms is a list of sections, or its one element.
func forms(v value) []value {
	switch {
	case v.n == nil:
		return nil
	case v.n.Kind == yaml.MappingNode:
		return []value{v}
	}
	return v.items(0)
}

func (l *loader) prefixes(v value) (out []netip.Prefix) {
	for _, s := range strs(v) {
		p, err := parsePrefix(s)
		if err == nil && p.Masked() != p {
			l.at(v.f, v.n, fmt.Sprintf("%s: %s has bits beyond its length", v.path, s), "write "+p.Masked().String())
			continue
		}
		if err != nil {
			l.at(v.f, v.n, fmt.Sprintf("%s: %v", v.path, err), "write it as 10.0.0.0/8 or 192.0.2.7")
			continue
		}
		out = append(out, p)
	}
	return out
}

func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, aerr := netip.ParseAddr(s)
		if aerr != nil {
			return p, fmt.Errorf("%q is neither an address nor a prefix", shown(s))
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return p, nil
}

var requestRate = regexp.MustCompile(`^([0-9]{1,7})/(s|m|h|d)$`)

func (l *loader) decodeRateLimit(v value) RateLimit {
	r := RateLimit{By: "client", MaxKeys: 65536}
	v.get("by").text(&r.By)
	l.checkKey(v.get("by"), r.By, "client")
	v.get("rate").text(&r.Written)
	m := requestRate.FindStringSubmatch(r.Written)
	if m == nil || m[1] == "0" {
		l.at(v.f, v.get("rate").n, fmt.Sprintf("%s.rate: %q is no rate", v.path, shown(r.Written)), "write it as 10/s, 100/m or 1000/h")
		return r
	}
	n, _ := strconv.Atoi(m[1])
	r.Rate = float64(n) / map[string]float64{"s": 1, "m": 60, "h": 3600, "d": 86400}[m[2]]
	r.Burst = n
	v.get("burst").number(&r.Burst)
	v.get("max_keys").number(&r.MaxKeys)
	if r.Burst < 1 || r.MaxKeys < 16 {
		l.at(v.f, v.n, v.path+": burst is at least 1 and max_keys at least 16", "leave them out for the default")
	}
	return r
}

// checkKey checks what is counted or balanced by: one of some words, or a field or cookie.
func (l *loader) checkKey(v value, by string, words ...string) {
	kind, name, ok := strings.Cut(by, ":")
	if slices.Contains(words, by) || ok && name != "" && (kind == "header" || kind == "cookie") {
		return
	}
	l.at(v.f, v.n, fmt.Sprintf("%s: %q is not possible", v.path, shown(by)), "possible: "+strings.Join(words, ", ")+", header:NAME, cookie:NAME")
}

func (l *loader) decodeBasicAuth(v value) *BasicAuth {
	if v.n == nil {
		return nil
	}
	a := &BasicAuth{Realm: "restricted", Users: map[string]string{}}
	v.get("realm").text(&a.Realm)
	v.get("forward").flag(&a.Forward)
	for _, p := range v.get("users").pairs() {
		hash := ""
		l.secret(p.value, &hash)
		a.Users[p.name] = hash
	}
	if f := v.get("users_file"); f.n != nil {
		l.readUsers(f, a.Users)
	}
	if len(a.Users) == 0 {
		l.at(v.f, v.n, v.path+": nobody could come in", "add users, or users_file")
	}
	return a
}

func (l *loader) readUsers(v value, users map[string]string) {
	path := beside(v.f.path, v.n.Value)
	data, err := l.readFile(path)
	if err != nil {
		l.at(v.f, v.n, fmt.Sprintf("%s: %s: %v", v.path, path, err), "")
		return
	}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if !ok || name == "" || hash == "" {
			l.at(v.f, v.n, fmt.Sprintf("%s: %s, line %d is not name:hash", v.path, path, i+1), "write lines with htpasswd -B")
			return
		}
		users[name] = hash
	}
}

func (l *loader) decodeForwardAuth(v value) *ForwardAuth {
	if v.n == nil {
		return nil
	}
	a := &ForwardAuth{To: defaultPool(), Path: "/"}
	a.To.Servers, a.To.Pos = []Server{{To: v.get("to").n.Value, Weight: 1}}, v.f.pos(v.get("to").n)
	l.checkServer(v.path+".to", &a.To.Servers[0])
	v.get("path").text(&a.Path)
	v.get("host").text(&a.Host)
	v.get("request_headers").texts(&a.Request)
	v.get("copy_headers").texts(&a.Copy)
	if !strings.HasPrefix(a.Path, "/") || strings.ContainsAny(a.Path, " \t\r\n#") {
		l.at(v.f, v.get("path").n, fmt.Sprintf("%s.path: %q is no path", v.path, shown(a.Path)), "write it as /verify")
	}
	return a
}

func (l *loader) decodeCORS(v value) *CORS {
	switch {
	case v.n == nil || v.n.Kind == yaml.ScalarNode && !strings.EqualFold(v.n.Value, "true"):
		return nil
	case v.n.Kind == yaml.ScalarNode:
		return &CORS{Origins: []string{"*"}, MaxAge: 10 * time.Minute}
	}
	c := &CORS{MaxAge: 10 * time.Minute}
	v.get("origins").texts(&c.Origins)
	v.get("methods").texts(&c.Methods)
	v.get("headers").texts(&c.Headers)
	v.get("expose").texts(&c.Expose)
	v.get("credentials").flag(&c.Credentials)
	v.get("max_age").duration(&c.MaxAge)
	for _, o := range c.Origins {
		switch {
		case o == "*" && c.Credentials:
			l.at(v.f, v.get("origins").n, v.path+": credentials for every origin would let any page act for its visitors", "name the origins")
		case o != "*" && !strings.HasPrefix(o, "https://") && !strings.HasPrefix(o, "http://") || strings.Count(o, "/") > 2:
			l.at(v.f, v.get("origins").n, fmt.Sprintf("%s.origins: %q is no origin", v.path, shown(o)), "write scheme and host: https://app.example.org")
		}
	}
	return c
}

func (l *loader) decodeRewrite(v value) (w Rewrite) {
	v.get("strip_prefix").text(&w.Strip)
	v.get("add_prefix").text(&w.Add)
	v.get("path").text(&w.Path)
	for _, k := range []string{"strip_prefix", "add_prefix", "path"} {
		if p := v.get(k); p.n != nil && !strings.HasPrefix(p.n.Value, "/") {
			l.at(v.f, p.n, fmt.Sprintf("%s: %q does not begin with a slash", p.path, shown(p.n.Value)), "")
		}
	}
	for _, i := range v.get("replace").items(0) {
		var from, to string
		i.get("from").text(&from)
		i.get("to").text(&to)
		re, err := regexp.Compile(from)
		if err != nil {
			l.at(v.f, i.get("from").n, fmt.Sprintf("%s.from: %v", i.path, err), "")
			continue
		}
		w.Replace = append(w.Replace, Replace{re, to})
	}
	return w
}

func (l *loader) decodeEdits(v value) (out []HeaderEdit) {
	for _, name := range strs(v.get("remove")) {
		out = append(out, HeaderEdit{"remove", name, ""})
	}
	for _, op := range []string{"set", "add", "default"} {
		for _, p := range v.get(op).pairs() {
			out = append(out, HeaderEdit{op, p.name, p.value.n.Value})
		}
	}
	return out
}

func decodeSecurity(v value) *Security {
	if v.n == nil || v.n.Kind == yaml.ScalarNode && !strings.EqualFold(v.n.Value, "true") {
		return nil
	}
	s := &Security{HSTS: 180 * 24 * time.Hour, Frame: "DENY", Referrer: "strict-origin-when-cross-origin"}
	off := func(k value) bool { return k.n != nil && k.n.Tag == "!!bool" }
	if h := v.get("hsts"); off(h) {
		s.HSTS = 0
	} else {
		h.duration(&s.HSTS)
	}
	for name, to := range map[string]*string{"frame": &s.Frame, "referrer": &s.Referrer} {
		if k := v.get(name); off(k) {
			*to = ""
		} else {
			k.text(to)
		}
	}
	v.get("content_security_policy").text(&s.ContentPolicy)
	return s
}

func bytesOf(v value) int64 {
	n := 0
	v.size(&n)
	return int64(n)
}

func (l *loader) decodeErrorPages(v value) (out []ErrorPage) {
	for _, p := range v.pairs() {
		from, to, ok := statusRange(p.name)
		if !ok {
			l.at(v.f, p.value.n, fmt.Sprintf("%s: %q is no status of an error", v.path, shown(p.name)), "write 404, 4xx or 5xx")
			continue
		}
		page := l.readPage(p.value)
		if page != nil {
			out = append(out, ErrorPage{from, to, *page})
		}
	}
	// A single status before its class.
	slices.SortStableFunc(out, func(a, b ErrorPage) int { return (a.To - a.From) - (b.To - b.From) })
	return out
}

func statusRange(s string) (from, to int, ok bool) {
	if s == "4xx" || s == "5xx" {
		from = int(s[0]-'0') * 100
		return from, from + 99, true
	}
	n, ok := plainInt(s)
	return n, n, ok && n >= 400 && n <= 599
}

// maxPage bounds what is kept in memory for each page.
const maxPage = 1 << 20

func (l *loader) readPage(v value) *Page {
	path := beside(v.f.path, v.n.Value)
	data, err := l.readFile(path)
	if err != nil {
		l.at(v.f, v.n, fmt.Sprintf("%s: %s: %v", v.path, path, err), "")
		return nil
	}
	if len(data) > maxPage {
		l.at(v.f, v.n, fmt.Sprintf("%s: %s has %d bytes", v.path, path, len(data)), "a page is at most 1 MiB")
		return nil
	}
	typ := map[string]string{".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".json": "application/json"}[strings.ToLower(filepath.Ext(path))]
	if typ == "" {
		typ = "text/plain; charset=utf-8"
	}
	return &Page{File: path, Type: typ, Body: data}
}

func (l *loader) decodeMaintenance(v value) *Maintenance {
	if v.n == nil || v.n.Kind == yaml.ScalarNode && !strings.EqualFold(v.n.Value, "true") {
		return nil
	}
	m := &Maintenance{Allow: l.prefixes(v.get("allow"))}
	v.get("retry_after").duration(&m.RetryAfter)
	if p := v.get("page"); p.n != nil {
		m.Page = l.readPage(p)
	}
	return m
}

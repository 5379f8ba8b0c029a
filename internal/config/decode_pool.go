package config

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"edge"
)

// decodeNamedPool adds an entry of pools.
func (l *loader) decodeNamedPool(p pair) {
	for _, have := range l.cfg.Pools {
		if have.Name == p.name {
			l.at(p.value.f, p.value.n, fmt.Sprintf("%s is set already, at %s", p.value.path, have.Pos), "keep one of the two")
			return
		}
	}
	pool := l.decodePool(p.value)
	pool.Name = p.name
	l.cfg.Pools = append(l.cfg.Pools, pool)
}

// decodeProxy reads where requests go. A pool that is named is filled in later:
// it may be in another file.
func (l *loader) decodeProxy(v value) *Pool {
	name := v.get("pool")
	if name.n == nil {
		p := l.decodePool(v)
		return &p
	}
	p := &Pool{Name: name.n.Value, Pos: v.f.pos(name.n)}
	if len(v.n.Content) > 2 {
		l.at(v.f, v.n, v.path+": other keys beside pool", "write them at the pool, or give this proxy its own servers with to")
	}
	l.uses = append(l.uses, p)
	return p
}

func (l *loader) decodePool(v value) Pool {
	p := defaultPool()
	p.Pos = v.f.pos(v.n)
	if v.n.Kind == yaml.ScalarNode {
		p.Servers = []Server{{To: v.n.Value, Weight: 1}}
		l.checkServer(v.path, &p.Servers[0])
		return p
	}
	for _, i := range v.get("to").items(0) {
		p.Servers = append(p.Servers, l.decodeServer(i))
	}
	p.Discover = l.decodeDiscover(v.get("discover"))
	if len(p.Servers) == 0 && p.Discover == nil {
		l.at(v.f, v.n, v.path+": no server", "add to: [http://127.0.0.1:8080], or discover")
	}
	v.get("host").text(&p.Host)
	l.decodeBalance(v, &p)
	p.Health = l.decodeHealth(v.get("health"))
	l.checkGRPC(v.get("health"), &p)
	l.decodeEject(v.get("eject"), &p.Eject)
	v.get("slow_start").duration(&p.SlowStart)
	v.get("max_connections").number(&p.MaxConnections)
	v.get("queue").number(&p.Queue)
	if p.Queue > 0 && p.MaxConnections == 0 {
		l.at(v.f, v.get("queue").n, v.path+".queue: without max_connections nothing ever waits", "add max_connections, or remove queue")
	}
	retry := v.get("retry")
	retry.get("attempts").number(&p.Retry.Attempts)
	retry.get("budget").float(&p.Retry.Budget)
	p.Retry.Status = l.statuses(retry.get("status"))
	if p.Retry.Attempts < 1 {
		l.at(v.f, retry.n, retry.path+".attempts: none at all", "write 1 for no retries")
	}
	l.positive(v, map[string]*time.Duration{
		"queue_timeout": &p.QueueTimeout, "connect_timeout": &p.ConnectTimeout, "header_timeout": &p.HeaderTimeout,
		"idle_timeout": &p.BodyTimeout, "keepalive": &p.KeepAlive,
	})
	v.get("total_timeout").duration(&p.Total)
	if pp := v.get("proxy_protocol"); pp.n != nil {
		pp.number(&p.ProxyProtocol)
		if slices.ContainsFunc(p.URLs(), func(u string) bool { return strings.HasPrefix(u, "h2c:") }) {
			l.at(v.f, pp.n, pp.path+": h2c has one connection that many clients share", "use http://, or remove it: X-Forwarded-For names the client, too")
		}
	}
	l.decodeUpstreamTLS(v.get("tls"), &p)
	return p
}

// positive reads durations that must be more than nothing.
func (l *loader) positive(v value, keys map[string]*time.Duration) {
	for name, to := range keys {
		k := v.get(name)
		k.duration(to)
		if k.n != nil && *to <= 0 {
			l.at(v.f, k.n, k.path+": a time of nothing", "leave it out for the default")
		}
	}
}

func (v value) float(to *float64) {
	if v.n != nil {
		*to, _ = strconv.ParseFloat(v.n.Value, 64)
	}
}

func (l *loader) statuses(v value) (out []int) {
	for _, i := range v.items(0) {
		n := 0
		if i.number(&n); n < 200 || n > 599 {
			l.at(v.f, i.n, fmt.Sprintf("%s: %d is no status of an answer", i.path, n), "use 200 to 599")
		}
		out = append(out, n)
	}
	return out
}

func (l *loader) decodeServer(v value) Server {
	s := Server{Weight: 1}
	if v.n.Kind == yaml.ScalarNode {
		v.text(&s.To)
	} else {
		v.get("url").text(&s.To)
		w := v.get("weight")
		if w.number(&s.Weight); s.Weight < 1 || s.Weight > 256 {
			l.at(v.f, w.n, fmt.Sprintf("%s: %d", w.path, s.Weight), "use 1 to 256; take a server that gets nothing out of the list")
		}
		v.get("backup").flag(&s.Backup)
	}
	l.checkServer(v.path, &s)
	return s
}

// checkServer brings the URL of a server to its one form.
func (l *loader) checkServer(path string, s *Server) {
	if file, ok := strings.CutPrefix(s.To, "unix:"); ok {
		if !filepath.IsAbs(file) {
			l.bad(path, "write it as unix:/run/app.sock", "%q is not the path of a socket", shown(s.To))
		}
		return
	}
	u, err := url.Parse(s.To)
	if err != nil || u.Host == "" {
		l.bad(path, "write it as http://127.0.0.1:8080", "%q is not the URL of an upstream", shown(s.To))
		return
	}
	switch {
	case !slices.Contains([]string{"http", "https", "h2c"}, u.Scheme):
		l.bad(path, "use http, https or h2c", "scheme %q", u.Scheme)
	case u.User != nil, u.RawQuery != "", u.Fragment != "", u.Path != "" && u.Path != "/":
		l.bad(path, "write scheme, host and port only; paths are passed on as they come, and rewrite changes them", "%q has more than an address", shown(s.To))
	case u.Hostname() == "":
		l.bad(path, "write it as http://127.0.0.1:8080", "%q has no host", shown(s.To))
	case u.Port() != "":
		if n, ok := plainInt(u.Port()); !ok || n < 1 || n > 65535 {
			l.bad(path, "", "port %s", u.Port())
		}
	}
	s.To = u.Scheme + "://" + u.Host
}

func (l *loader) decodeDiscover(v value) *Discover {
	if v.n == nil {
		return nil
	}
	d := &Discover{Type: "ip", Scheme: "http", Interval: 30 * time.Second}
	for name, to := range map[string]*string{"name": &d.Name, "type": &d.Type, "scheme": &d.Scheme, "resolver": &d.Resolver} {
		v.get(name).text(to)
	}
	v.get("interval").duration(&d.Interval)
	if port := v.get("port"); port.n != nil {
		n := 0
		if port.number(&n); n < 1 || n > 65535 {
			l.at(v.f, port.n, fmt.Sprintf("%s: %d", port.path, n), "use 1 to 65535")
		}
		d.Port = strconv.Itoa(n)
	}
	// Names of services have underscores, which host names may not have.
	if id, err := edge.ParseIdentifier(strings.ReplaceAll(strings.TrimSuffix(d.Name, "."), "_", "x")); d.Name != "" && (err != nil || id.Type != edge.DNS || id.IsWildcard()) {
		l.at(v.f, v.get("name").n, fmt.Sprintf("%s.name: %q is no name to look up", v.path, shown(d.Name)), "write it as shop.internal; addresses go to `to`")
	}
	if d.Type == "srv" && d.Port != "" {
		l.at(v.f, v.get("port").n, v.path+".port: SRV records have ports of their own", "remove it, or use type: ip")
	}
	if host, _, err := net.SplitHostPort(d.Resolver); d.Resolver != "" && (err != nil || net.ParseIP(host) == nil) {
		l.at(v.f, v.get("resolver").n, fmt.Sprintf("%s.resolver: %q is no address of a name server", v.path, shown(d.Resolver)), "write it as 127.0.0.1:53")
	}
	if d.Interval < time.Second {
		l.at(v.f, v.get("interval").n, v.path+".interval: less than a second", "name servers would take it for an attack")
	}
	return d
}

func (l *loader) decodeBalance(v value, p *Pool) {
	v.get("balance").text(&p.Balance)
	if by := v.get("hash_by"); by.n != nil {
		by.text(&p.HashBy)
		l.checkKey(by, p.HashBy, "client", "path")
		if p.Balance != "hash" {
			l.at(v.f, by.n, fmt.Sprintf("%s: balance is %s", by.path, p.Balance), "add balance: hash")
		}
	} else if p.Balance == "hash" {
		p.HashBy = "client"
	}
	s := v.get("sticky")
	if s.n == nil {
		return
	}
	p.Sticky = &Sticky{}
	s.get("cookie").text(&p.Sticky.Cookie)
	l.secret(s.get("secret"), &p.Sticky.Secret)
	s.get("ttl").duration(&p.Sticky.TTL)
	if p.Balance == "hash" {
		l.at(v.f, s.n, s.path+" beside balance: hash", "each keeps a client at one server: choose one")
	}
	if c := p.Sticky.Cookie; c == "" || strings.ContainsAny(c, " \t\"(),/:;<=>?@[\\]{}") || !isASCII(c) {
		l.at(v.f, s.n, fmt.Sprintf("%s.cookie: %q is no name of a cookie", s.path, shown(c)), "use letters, digits, - and _")
	}
	if n := len(p.Sticky.Secret); n > 0 && n < 16 {
		l.at(v.f, s.get("secret").n, s.path+".secret: shorter than 16 bytes", "make one with: openssl rand -hex 16")
	}
}

func (l *loader) decodeHealth(v value) *Health {
	if v.n == nil {
		return nil
	}
	h := defaultHealth()
	if v.n.Kind == yaml.ScalarNode {
		v.text(&h.Path)
	} else {
		if v.get("type").text(&h.Type); h.Type != "http" {
			h.Path = ""
		}
		v.get("path").text(&h.Path)
		v.get("host").text(&h.Host)
		h.Status = l.statuses(v.get("status"))
		l.positive(v, map[string]*time.Duration{"interval": &h.Interval, "timeout": &h.Timeout})
		v.get("rise").number(&h.Rise)
		v.get("fall").number(&h.Fall)
	}
	switch {
	case h.Type == "http" && !strings.HasPrefix(h.Path, "/"):
		l.at(v.f, v.n, fmt.Sprintf("%s: %q is no path", v.path, shown(h.Path)), "write it as /healthz")
	case h.Type != "http" && (h.Host != "" || h.Status != nil), h.Type == "tcp" && h.Path != "":
		l.at(v.f, v.n, fmt.Sprintf("%s: path, host and status say nothing to a check of type %s", v.path, h.Type), "remove them")
	case h.Rise < 1 || h.Fall < 1:
		l.at(v.f, v.n, v.path+": rise and fall are at least 1", "leave them out for the default")
	}
	return &h
}

// checkGRPC refuses checks that servers could not understand.
func (l *loader) checkGRPC(v value, p *Pool) {
	if p.Health == nil || p.Health.Type != "grpc" {
		return
	}
	for _, u := range p.URLs() {
		if !strings.HasPrefix(u, "h2c:") && !strings.HasPrefix(u, "https:") {
			l.at(v.f, v.n, fmt.Sprintf("%s: gRPC needs HTTP/2, and %s has none", v.path, shown(u)), "write h2c:// or https:// for every server")
			return
		}
	}
}

func (l *loader) decodeEject(v value, e *Eject) {
	if v.n == nil {
		return
	}
	if v.n.Kind == yaml.ScalarNode {
		e.Off = true
		return
	}
	v.get("failures").number(&e.Failures)
	v.get("max_percent").number(&e.MaxPercent)
	l.positive(v, map[string]*time.Duration{"for": &e.For, "max_for": &e.MaxFor})
	if e.Failures < 1 || e.MaxPercent < 1 || e.MaxPercent > 100 || e.MaxFor < e.For {
		l.at(v.f, v.n, v.path+": failures is at least 1, max_percent 1 to 100, max_for not less than for", "write eject: false to eject nobody")
	}
}

func (l *loader) decodeUpstreamTLS(v value, p *Pool) {
	if v.n == nil {
		return
	}
	v.get("server_name").text(&p.TLS.ServerName)
	p.TLS.Roots = l.readRoots(v.get("roots"))
	l.readIdentity(v, &p.TLS)
	for _, u := range p.URLs() {
		if !strings.HasPrefix(u, "https://") {
			l.at(v.f, v.n, fmt.Sprintf("%s: %s is reached without TLS", v.path, shown(u)), "use https:// for every server, or remove tls")
			return
		}
	}
}

// readIdentity reads what edge shows to servers.
func (l *loader) readIdentity(v value, t *UpstreamTLS) {
	cert, key := v.get("cert"), v.get("key")
	if cert.n == nil && key.n == nil {
		return
	}
	if cert.n == nil || key.n == nil {
		l.at(v.f, v.n, v.path+": cert and key belong together", "name both")
		return
	}
	for _, i := range []struct {
		value
		to *[]byte
	}{{cert, &t.Cert}, {key, &t.Key}} {
		var err error
		file := beside(v.f.path, i.n.Value)
		if *i.to, err = l.readFile(file); err != nil {
			l.at(v.f, i.n, fmt.Sprintf("%s: %s: %v", i.path, file, err), "")
			return
		}
	}
	if _, err := tls.X509KeyPair(t.Cert, t.Key); err != nil {
		l.at(v.f, cert.n, fmt.Sprintf("%s: %v", v.path, err), "")
	}
}

// decodePassthrough reads a site whose TLS is not ended here.
func (l *loader) decodePassthrough(v value, s *Site) {
	p := v.get("proxy")
	for i := 0; i+1 < len(v.n.Content); i += 2 {
		if k := v.n.Content[i]; !slices.Contains([]string{"hosts", "tls", "proxy", "redirect"}, k.Value) {
			l.at(v.f, k, fmt.Sprintf("%s.%s: with tls: passthrough nothing of a request can be seen", v.path, k.Value), "remove the key, or let edge end TLS")
		}
	}
	if p.n == nil {
		l.at(v.f, v.n, v.path+".proxy is missing", "say where connections go: proxy: {to: [\"10.0.0.9:443\"]}")
		return
	}
	f := Forward{ConnectTimeout: 5 * time.Second, Idle: 10 * time.Minute}
	if p.n.Kind == yaml.ScalarNode {
		f.To = []string{p.n.Value}
	} else {
		for i := 0; i+1 < len(p.n.Content); i += 2 {
			if k := p.n.Content[i]; !slices.Contains([]string{"to", "proxy_protocol", "connect_timeout"}, k.Value) {
				l.at(v.f, k, fmt.Sprintf("%s.%s: with tls: passthrough connections go as they are", p.path, k.Value), "keys here: to, proxy_protocol, connect_timeout")
			}
		}
		for _, i := range p.get("to").items(0) {
			if i.n.Kind != yaml.ScalarNode {
				l.at(v.f, i.n, i.path+": want host:port", "")
				continue
			}
			f.To = append(f.To, i.n.Value)
		}
		p.get("proxy_protocol").number(&f.ProxyProtocol)
		l.positive(p, map[string]*time.Duration{"connect_timeout": &f.ConnectTimeout})
	}
	l.checkForward(p, f.To)
	s.TLS.Forward = &f
	s.Routes = []Route{{Respond: &Respond{Status: 421, Type: "text/plain; charset=utf-8"}, Pos: s.Pos}}
}

// checkForward checks addresses of servers for connections as they are.
func (l *loader) checkForward(v value, to []string) {
	if len(to) == 0 {
		l.at(v.f, v.n, v.path+": no server", "add to: [\"10.0.0.9:443\"]")
	}
	for _, a := range to {
		if path, ok := strings.CutPrefix(a, "unix:"); ok && filepath.IsAbs(path) {
			continue
		}
		host, port, err := net.SplitHostPort(a)
		if n, ok := plainInt(port); err != nil || host == "" || !ok || n < 1 || n > 65535 || strings.Contains(a, "/") {
			l.at(v.f, v.n, fmt.Sprintf("%s: %q is not the address of a server", v.path, shown(a)), "write host:port, or unix:/path")
		}
	}
}

func (l *loader) decodeTCP(v value) TCPListener {
	t := TCPListener{Pos: v.f.pos(v.n)}
	v.get("address").text(&t.Address)
	base := Forward{ConnectTimeout: 5 * time.Second, Idle: 10 * time.Minute}
	v.get("proxy_protocol").number(&base.ProxyProtocol)
	l.positive(v, map[string]*time.Duration{"connect_timeout": &base.ConnectTimeout, "idle": &base.Idle})
	forward := func(to value) *Forward {
		f := base
		to.texts(&f.To)
		l.checkForward(to, f.To)
		return &f
	}
	if to := v.get("to"); to.n != nil {
		t.To = forward(to)
	}
	for _, p := range v.get("sni").pairs() {
		host, err := normalHost(p.name)
		if err != nil {
			l.at(v.f, p.value.n, fmt.Sprintf("%s: %v", p.value.path, err), "write a name, *.suffix or *")
			continue
		}
		if t.SNI == nil {
			t.SNI = map[string]*Forward{}
		}
		t.SNI[host] = forward(p.value)
	}
	if t.To == nil && t.SNI == nil {
		l.at(v.f, v.n, v.path+": no server", "add to, or sni")
	}
	return t
}

// checkPassthrough refuses what cannot be for a site that edge does not see into.
func (l *loader) checkPassthrough(path string, s *Site) {
	if slices.Contains(s.Hosts, "*") {
		l.bad(path, "name the hosts, or forward the whole port with listen.tcp", "passthrough for every name would leave edge no connection")
	}
}

// checkPools gives every proxy: {pool: NAME} its servers.
func (l *loader) checkPools() {
	used := map[string]bool{}
	var names []string
	for _, p := range l.cfg.Pools {
		names = append(names, p.Name)
	}
	for _, use := range l.uses {
		i := slices.Index(names, use.Name)
		if i < 0 {
			hint := "add it under pools"
			if s := suggest(use.Name, names); s != "" {
				hint = "did you mean " + s + "?"
			}
			l.atPos(use.Pos, fmt.Sprintf("there is no pool %q", shown(use.Name)), hint)
			continue
		}
		used[use.Name] = true
		*use = l.cfg.Pools[i]
	}
	for _, s := range l.cfg.Sites {
		for _, r := range s.Routes {
			if r.Proxy != nil && r.Proxy.Sticky != nil && s.TLS.Off {
				plain := *r.Proxy.Sticky // other sites may share it
				plain.Plain = true
				r.Proxy.Sticky = &plain
			}
		}
	}
	for _, p := range l.cfg.Pools {
		if !used[p.Name] {
			l.atPos(p.Pos, fmt.Sprintf("no route uses the pool %s", shown(p.Name)), "remove it, or name it: proxy: {pool: "+shown(p.Name)+"}")
		}
	}
}

package config

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// defaults is the configuration before any file is read. The table of keys
// shows the same values; a test compares them.
func defaults() Config {
	return Config{
		Listen: Listen{HTTP: []string{":80"}, HTTPS: []string{":443"}, HTTP3: true},
		ACME: ACME{
			CAs:        []CA{{Directory: LetsEncrypt}},
			Challenges: []string{"tls-alpn-01", "http-01"},
			KeyType:    "p256",
		},
		Storage: Storage{Dir: "/var/lib/edge"},
		Limits: Limits{
			HeaderBytes: 64 << 10, Headers: 100, URIBytes: 16 << 10,
			Handshake: 30 * time.Second, HeaderRead: 10 * time.Second,
			BodyRate: 240, WriteStall: 30 * time.Second, Idle: 75 * time.Second,
			Streams: 250, Drain: 30 * time.Second,
		},
		Admin: Admin{Socket: "/run/edge/admin.sock"},
		Log:   Log{Level: "info", Format: "json", Access: AccessLog{Format: "json", Sample: 1}},
	}
}

// finish decodes what was read, checks it as a whole and returns it.
func (l *loader) finish(paths []string) (*Config, error) {
	root := key{kind: kObject, fields: topKeys()}
	valid := true
	for _, f := range l.files {
		if f.root != nil {
			valid = l.valid(f, f.root, &root, "", 0) && valid
		}
	}
	if valid && len(l.errs) == 0 {
		for _, f := range l.files {
			l.decode(f, f.root)
		}
		l.requireTop(paths[0])
		l.check()
	}
	if len(l.errs) > 0 {
		return nil, l.errs.sorted(paths)
	}
	l.cfg.Files = paths
	return &l.cfg, nil
}

func (l *loader) requireTop(path string) {
	if _, ok := l.pos["version"]; !ok {
		l.errs = append(l.errs, &Error{Pos: Pos{File: path}, Message: "version is missing", Hint: "begin the file with version: 1"})
	}
	if len(l.cfg.Sites)+len(l.cfg.Certificates) == 0 {
		l.errs = append(l.errs, &Error{Pos: Pos{File: path}, Message: "no site is configured", Hint: "add one under sites, with hosts and proxy"})
	}
}

// value is a valid node and where it is: how decoding looks at a file.
type value struct {
	l    *loader
	f    *file
	n    *yaml.Node // nil: not there
	path string
}

// get returns a child. A key that only one file may set is reported when a
// second one does.
func (v value) get(name string) value {
	out := value{l: v.l, f: v.f, path: joinPath(v.path, name)}
	if v.n == nil || v.n.Kind != yaml.MappingNode {
		return out
	}
	for i := 0; i+1 < len(v.n.Content); i += 2 {
		if v.n.Content[i].Value == name {
			out.n = v.n.Content[i+1]
			v.l.pos[out.path] = v.f.pos(out.n)
		}
	}
	return out
}

// once is get for keys that are not merged over files.
func (v value) once(name string) value {
	first, set := v.l.pos[joinPath(v.path, name)]
	out := v.get(name)
	if out.n != nil && set {
		v.l.at(v.f, out.n, fmt.Sprintf("%s is set already, at %s", out.path, first), "keep one of the two")
	}
	return out
}

func (f *file) pos(n *yaml.Node) Pos { return Pos{File: f.path, Line: n.Line, Col: n.Column} }

func (v value) items(from int) []value {
	if v.n == nil {
		return nil
	}
	out := make([]value, len(v.n.Content))
	for i, c := range v.n.Content {
		out[i] = value{l: v.l, f: v.f, n: c, path: fmt.Sprintf("%s[%d]", v.path, from+i)}
		v.l.pos[out[i].path] = v.f.pos(c)
	}
	return out
}

func (v value) text(to *string) {
	if v.n != nil {
		*to = v.n.Value
	}
}

func (v value) texts(to *[]string) {
	if v.n == nil {
		return
	}
	*to = []string{}
	for _, i := range v.items(0) {
		*to = append(*to, i.n.Value)
	}
}

func (v value) flag(to *bool) {
	if v.n != nil {
		*to = strings.EqualFold(v.n.Value, "true")
	}
}

func (v value) number(to *int) {
	if v.n != nil {
		*to, _ = plainInt(v.n.Value)
	}
}

func (v value) duration(to *time.Duration) {
	if v.n != nil {
		*to, _ = parseDuration(v.n.Value)
	}
}

func (v value) size(to *int) {
	if v.n != nil {
		*to, _ = parseSize(v.n.Value)
	}
}

func (v value) rate(to *int) {
	if v.n != nil {
		*to, _ = parseRate(v.n.Value)
	}
}

// decode adds one file to the configuration.
func (l *loader) decode(f *file, root *yaml.Node) {
	v, c := value{l: l, f: f, n: root}, &l.cfg
	if ver := v.get("version"); ver.n != nil {
		ver.number(&c.Version)
		if c.Version != 1 {
			l.at(f, ver.n, fmt.Sprintf("version %d is not known", c.Version), "this build reads version 1")
		}
	}
	listen := v.get("listen")
	listen.once("http").texts(&c.Listen.HTTP)
	listen.once("https").texts(&c.Listen.HTTPS)
	listen.once("http3").flag(&c.Listen.HTTP3)
	if p := listen.once("proxy_protocol"); p.n != nil {
		c.Listen.ProxyProtocol = l.prefixes(p)
	}
	for _, t := range listen.once("tcp").items(0) {
		c.Listen.TCP = append(c.Listen.TCP, l.decodeTCP(t))
	}
	l.decodeACME(v.get("acme"))
	v.get("storage").once("dir").text(&c.Storage.Dir)
	for _, p := range v.get("pools").pairs() {
		l.decodeNamedPool(p)
	}
	for _, s := range v.get("sites").items(len(c.Sites)) {
		l.decodeSite(s)
	}
	for _, c := range v.get("certificates").items(len(c.Certificates)) {
		l.decodeCertificate(c)
	}
	for _, p := range v.get("trusted_proxies").items(len(c.TrustedProxies)) {
		l.decodePrefix(p)
	}
	l.decodeLimits(v.get("limits"))
	v.get("metrics").once("listen").text(&c.Metrics.Listen)
	v.get("metrics").once("status_page").flag(&c.Metrics.StatusPage)
	l.decodeTracing(v.once("tracing"))
	admin := v.get("admin")
	admin.once("socket").text(&c.Admin.Socket)
	for _, uid := range admin.once("allow_uids").items(0) {
		n := 0
		uid.number(&n)
		c.Admin.AllowUIDs = append(c.Admin.AllowUIDs, uint32(n))
	}
	log := v.get("log")
	log.once("level").text(&c.Log.Level)
	log.once("format").text(&c.Log.Format)
	log.once("slow").duration(&c.Log.Slow)
	l.decodeAccess(log.get("access"), &c.Log.Access)
}

func (l *loader) decodeLimits(v value) {
	m := &l.cfg.Limits
	v.once("header_bytes").size(&m.HeaderBytes)
	v.once("headers").number(&m.Headers)
	v.once("uri_bytes").size(&m.URIBytes)
	v.once("handshake").duration(&m.Handshake)
	v.once("header_read").duration(&m.HeaderRead)
	v.once("body_rate").rate(&m.BodyRate)
	v.once("write_stall").duration(&m.WriteStall)
	v.once("idle").duration(&m.Idle)
	v.once("streams").number(&m.Streams)
	v.once("connections_per_address").number(&m.ConnectionsPerAddress)
	v.once("connections").number(&m.Connections)
	v.once("requests").number(&m.Requests)
	v.once("drain").duration(&m.Drain)
}

func (l *loader) decodeACME(v value) {
	a := &l.cfg.ACME
	v.once("email").text(&a.Email)
	v.once("agree_tos").flag(&a.AgreeTOS)
	if ca := v.once("ca"); ca.n != nil {
		a.CAs = l.decodeCAs(ca)
	}
	v.once("challenges").texts(&a.Challenges)
	v.once("key_type").text(&a.KeyType)
	a.DNS = l.decodeDNS(v.once("dns"), a.DNS)
}

// decodeDNS returns what is written, or the default where nothing is.
func (l *loader) decodeDNS(v value, def *DNS) *DNS {
	if v.n == nil {
		return def
	}
	d := &DNS{KeyAlgorithm: "hmac-sha256", PropagationTimeout: 2 * time.Minute}
	v.get("provider").text(&d.Provider)
	l.secret(v.get("api_token"), &d.APIToken)
	v.get("server").text(&d.Server)
	v.get("key_name").text(&d.KeyName)
	v.get("key_algorithm").text(&d.KeyAlgorithm)
	l.secret(v.get("key_secret"), &d.KeySecret)
	v.get("override_domain").text(&d.OverrideDomain)
	v.get("resolvers").texts(&d.Resolvers)
	v.get("propagation_timeout").duration(&d.PropagationTimeout)
	return d
}

func (l *loader) decodeCAs(v value) []CA {
	if v.n.Kind == yaml.ScalarNode {
		return []CA{{Directory: v.n.Value}}
	}
	var cas []CA
	for _, i := range v.items(0) {
		var ca CA
		i.get("directory").text(&ca.Directory)
		i.get("roots").texts(&ca.Roots)
		for j := range ca.Roots {
			ca.Roots[j] = beside(v.f.path, ca.Roots[j])
		}
		if e := i.get("eab"); e.n != nil {
			ca.EAB = &EAB{}
			e.get("kid").text(&ca.EAB.KID)
			l.secret(e.get("hmac"), &ca.EAB.HMAC)
		}
		i.get("profile").text(&ca.Profile)
		i.get("preferred_chain").text(&ca.PreferredChain)
		cas = append(cas, ca)
	}
	return cas
}

func (l *loader) decodeSite(v value) {
	s := Site{Redirect: 308, Pos: v.f.pos(v.n)}
	v.get("hosts").texts(&s.Hosts)
	v.get("default").flag(&s.Default)
	if t := v.get("tls"); t.n != nil {
		l.decodeTLS(t, &s.TLS)
	}
	if r := v.get("redirect"); r.n != nil {
		if s.Redirect, _ = plainInt(r.n.Value); r.n.Tag == "!!bool" {
			s.Redirect = 0
		}
	}
	if s.TLS.Forward != nil {
		l.decodePassthrough(v, &s)
	} else {
		l.decodeRoutes(v, &s)
	}
	s.Deliver = l.decodeDeliver(v.get("deliver"))
	l.cfg.Sites = append(l.cfg.Sites, s)
}

func (l *loader) decodeTLS(v value, t *TLS) {
	if v.n.Kind == yaml.ScalarNode {
		if t.Off = v.n.Value == "off"; !t.Off {
			t.Forward = &Forward{}
		}
		return
	}
	v.get("cert").text(&t.Cert)
	v.get("key").text(&t.Key)
	if n := v.get("lineage"); n.n != nil {
		n.text(&t.Lineage)
		if t.Lineage == "" {
			l.at(n.f, n.n, n.path+": the name is empty", "name a lineage, or leave the key out")
		}
	}
	for _, p := range []*string{&t.Cert, &t.Key} {
		if *p != "" {
			*p = beside(v.f.path, *p)
		}
	}
	if d := v.get("on_demand"); d.n != nil {
		t.OnDemand = &OnDemand{MaxNewPerHour: 60, MaxConcurrent: 8}
		d.get("ask").text(&t.OnDemand.Ask)
		d.get("allow").texts(&t.OnDemand.Allow)
		d.get("max_new_per_hour").number(&t.OnDemand.MaxNewPerHour)
		d.get("max_concurrent").number(&t.OnDemand.MaxConcurrent)
		d.get("allow_ip").flag(&t.OnDemand.AllowIP)
	}
	if ca := v.get("ca"); ca.n != nil {
		t.CAs = l.decodeCAs(ca)
	}
	v.get("challenges").texts(&t.Challenges)
	v.get("key_type").text(&t.KeyType)
	v.get("profile").text(&t.Profile)
	v.get("min_version").text(&t.MinVersion)
	t.ClientAuth = l.decodeClientAuth(v.get("client_auth"))
}

func (l *loader) decodeCertificate(v value) {
	c := Certificate{Pos: v.f.pos(v.n), DNS: l.decodeDNS(v.get("dns"), nil)}
	v.get("name").text(&c.Name)
	v.get("hosts").texts(&c.Hosts)
	if ca := v.get("ca"); ca.n != nil {
		c.CAs = l.decodeCAs(ca)
	}
	v.get("challenges").texts(&c.Challenges)
	v.get("key_type").text(&c.KeyType)
	v.get("profile").text(&c.Profile)
	c.Deliver = l.decodeDeliver(v.get("deliver"))
	l.cfg.Certificates = append(l.cfg.Certificates, c)
}

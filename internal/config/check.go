package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"edge"
)

// place finds where a value was written; a value that was not is where its
// section is.
func (l *loader) place(path string) Pos {
	for p := path; p != ""; {
		if pos, ok := l.pos[p]; ok {
			return pos
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			break
		}
		p = p[:i]
	}
	if len(l.files) > 0 {
		return Pos{File: l.files[0].path}
	}
	return Pos{}
}

func (l *loader) bad(path, hint, format string, args ...any) {
	l.atPos(l.place(path), path+": "+fmt.Sprintf(format, args...), hint)
}

// check looks at the configuration as a whole. What it can, it corrects to the
// one way in which the other packages expect it.
func (l *loader) check() {
	c := &l.cfg
	l.checkListeners()
	l.checkCAs("acme.ca", c.ACME.CAs)
	l.checkChallenges("acme.challenges", c.ACME.Challenges, c.ACME.DNS)
	l.checkDNS("acme.dns", c.ACME.DNS)
	l.checkSites()
	l.checkPools()
	l.checkCertificates()
	l.checkDeliveries()
	l.checkEmail()
	if !filepath.IsAbs(c.Storage.Dir) {
		l.bad("storage.dir", "write an absolute path", "%q is relative", c.Storage.Dir)
	} else if info, err := os.Stat(c.Storage.Dir); err == nil && !info.IsDir() {
		l.bad("storage.dir", "name a folder", "%s is not a folder", c.Storage.Dir)
	}
	l.checkSocket()
	if p := c.Log.Access.Path; p != "" && !filepath.IsAbs(p) {
		l.bad("log.access.path", "write an absolute path", "%q is relative", p)
	}
	for path, n := range map[string]int{
		"limits.header_bytes": c.Limits.HeaderBytes, "limits.headers": c.Limits.Headers, "limits.uri_bytes": c.Limits.URIBytes,
		"limits.body_rate": c.Limits.BodyRate, "limits.streams": c.Limits.Streams,
		"limits.handshake": int(c.Limits.Handshake), "limits.header_read": int(c.Limits.HeaderRead),
		"limits.write_stall": int(c.Limits.WriteStall), "limits.idle": int(c.Limits.Idle), "limits.drain": int(c.Limits.Drain),
	} {
		if n <= 0 {
			l.bad(path, "leave it out for the default", "a limit of nothing would refuse everything")
		}
	}
}

func (l *loader) checkEmail() {
	e := l.cfg.ACME.Email
	if e == "" {
		return
	}
	local, domain, ok := strings.Cut(e, "@")
	if _, err := edge.ParseName(domain); !ok || local == "" || err != nil || strings.ContainsAny(e, " ,;<>") {
		l.bad("acme.email", "write one address, as in ops@example.org", "%q is not an e-mail address", shown(e))
	}
}

// checkListeners parses addresses and refuses two listeners at one place.
func (l *loader) checkListeners() {
	type bound struct {
		path string
		host string
		port string
	}
	var all []bound
	add := func(path, addr string) {
		if name, ok := strings.CutPrefix(addr, "fd:"); ok {
			if name == "" {
				l.bad(path, "write fd:NAME, with the FileDescriptorName of the .socket unit", "no name after fd:")
			}
			all = append(all, bound{path, addr, "fd"})
			return
		}
		host, port, err := net.SplitHostPort(addr)
		n, ok := plainInt(port)
		if err != nil || !ok && port != "0" || n > 65535 {
			l.bad(path, "write host:port or :port, IPv6 in brackets: [::1]:443", "%q is not an address to listen on", shown(addr))
			return
		}
		if host != "" {
			if _, err := netip.ParseAddr(host); err != nil && host != "localhost" {
				l.bad(path, "write the address itself: names may resolve to something else tomorrow", "%q is not an IP address", shown(host))
				return
			}
		}
		all = append(all, bound{path, host, port})
	}
	for i, a := range l.cfg.Listen.HTTP {
		add(fmt.Sprintf("listen.http[%d]", i), a)
	}
	for i, a := range l.cfg.Listen.HTTPS {
		add(fmt.Sprintf("listen.https[%d]", i), a)
	}
	for i, t := range l.cfg.Listen.TCP {
		add(fmt.Sprintf("listen.tcp[%d]", i), t.Address)
	}
	if m := l.cfg.Metrics.Listen; m != "" {
		if strings.HasPrefix(m, "fd:") {
			l.bad("metrics.listen", "write host:port", "fd: is for listen.http and listen.https")
		} else {
			add("metrics.listen", m)
		}
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if a.port == b.port && a.port != "0" && overlap(a.host, b.host) && (a.port != "fd" || a.host == b.host) {
				l.bad(a.path, "give each its own port, or name different addresses", "overlaps with %s (%s)", b.path, joinAddr(b.host, b.port))
				break
			}
		}
	}
	if len(l.cfg.Listen.HTTP)+len(l.cfg.Listen.HTTPS) == 0 {
		l.bad("listen", "add an address", "no listener at all")
	}
}

func joinAddr(host, port string) string {
	if port == "fd" {
		return host
	}
	return net.JoinHostPort(host, port)
}

// overlap reports whether two hosts of one port share an address. The empty
// host and :: take both families.
func overlap(a, b string) bool {
	any := func(h string) bool { return h == "" || h == "::" }
	if any(a) || any(b) || a == b {
		return true
	}
	ia, ea := netip.ParseAddr(a)
	ib, eb := netip.ParseAddr(b)
	if ea != nil || eb != nil {
		return true // localhost against an address: cannot be told apart for sure
	}
	return ia.Unmap() == ib.Unmap() || ia.Is4() && ib.Is4() && (ia.IsUnspecified() || ib.IsUnspecified())
}

func (l *loader) checkCAs(path string, cas []CA) {
	if len(cas) == 0 {
		l.bad(path, "leave it out for Let's Encrypt", "an empty list")
	}
	for i := range cas {
		p := fmt.Sprintf("%s[%d]", path, i)
		if _, list := l.pos[p]; !list {
			p = path
		}
		u, err := url.Parse(cas[i].Directory)
		switch {
		case err != nil || u.Host == "" || u.User != nil:
			l.bad(p, "write it as "+LetsEncrypt, "%q is not the URL of an ACME directory", shown(cas[i].Directory))
		case u.Scheme == "http" && !isLoopback(u.Hostname()), u.Scheme != "http" && u.Scheme != "https":
			l.bad(p, "use https", "%s: ACME needs TLS (RFC 8555 section 6.1)", shown(cas[i].Directory))
		}
		for j := range cas[i].Roots {
			l.checkRoots(fmt.Sprintf("%s.roots[%d]", p, j), cas[i].Roots[j])
		}
		if e := cas[i].EAB; e != nil {
			l.checkHMAC(p+".eab.hmac", e.HMAC)
		}
		for j := range i {
			if cas[j].Directory == cas[i].Directory && cas[j].Profile == cas[i].Profile {
				l.bad(p, "remove one", "the same directory as entry %d", j+1)
			}
		}
	}
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// publicCAs are hosts of CAs that anybody can use.
var publicCAs = []string{"letsencrypt.org", "zerossl.com", "pki.goog", "buypass.com", "ssl.com", "sectigo.com", "digicert.com"}

func publicCA(directory string) bool {
	u, err := url.Parse(directory)
	return err == nil && slices.ContainsFunc(publicCAs, func(d string) bool {
		return u.Hostname() == d || strings.HasSuffix(u.Hostname(), "."+d)
	})
}

func (l *loader) checkChallenges(path string, names []string, dns *DNS) {
	if len(names) == 0 {
		l.bad(path, "leave it out for the default", "an empty list")
	}
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			l.bad(fmt.Sprintf("%s[%d]", path, i), "remove one", "%s is named twice", n)
		}
	}
	if slices.Contains(names, "dns-01") && dns == nil {
		l.bad(path, "say in acme.dns who serves the zone", "dns-01 without acme.dns")
	}
}

func (l *loader) checkDNS(path string, d *DNS) {
	if d == nil {
		return
	}
	need := func(v, name, why string) {
		if v == "" {
			l.bad(path, "add "+name, "%s: %s is missing: %s", d.Provider, name, why)
		}
	}
	switch d.Provider {
	case "cloudflare":
		need(d.APIToken, "api_token", "a token with Zone.DNS:Edit and Zone.Zone:Read")
	case "rfc2136":
		need(d.Server, "server", "the primary name server")
		need(d.KeyName, "key_name", "the TSIG key")
		need(d.KeySecret, "key_secret", "the TSIG key")
		if d.Server != "" {
			l.hostPort(path+".server", &d.Server, "53")
		}
		l.checkBase64(path+".key_secret", d.KeySecret)
	}
	for i := range d.Resolvers {
		l.hostPort(fmt.Sprintf("%s.resolvers[%d]", path, i), &d.Resolvers[i], "53")
	}
	if d.OverrideDomain != "" {
		if _, err := edge.ParseName(strings.TrimPrefix(d.OverrideDomain, "_acme-challenge.")); err != nil {
			l.bad(path+".override_domain", "", "%v", err)
		}
	}
	if d.PropagationTimeout <= 0 {
		l.bad(path+".propagation_timeout", "leave it out for two minutes", "no time at all")
	}
}

// hostPort adds the port where it is missing.
func (l *loader) hostPort(path string, addr *string, port string) {
	host, p, err := net.SplitHostPort(*addr)
	if err != nil {
		host, p = strings.Trim(*addr, "[]"), port
	}
	if _, ok := plainInt(p); !ok || host == "" || strings.ContainsAny(host, "/ @") {
		l.bad(path, "write host:port", "%q is not an address", shown(*addr))
		return
	}
	*addr = net.JoinHostPort(host, p)
}

// maxSocketPath is what fits into sockaddr_un on Linux (107 bytes), less what
// the name of the socket has while it is made.
const maxSocketPath = 96

func (l *loader) checkSocket() {
	s := l.cfg.Admin.Socket
	switch info, err := os.Lstat(s); {
	case !filepath.IsAbs(s):
		l.bad("admin.socket", "write an absolute path", "%q is relative", shown(s))
	case len(s) > maxSocketPath:
		l.bad("admin.socket", "choose a shorter one", "a path of %d bytes; a socket's can have %d", len(s), maxSocketPath)
	case err == nil && info.Mode()&os.ModeSocket == 0:
		l.bad("admin.socket", "name a path where nothing else is", "%s is there and is no socket", s)
	}
}

// normalHost returns a host as the other packages expect it.
func normalHost(h string) (string, error) {
	if h == "*" {
		return h, nil
	}
	if a, err := netip.ParseAddr(strings.Trim(h, "[]")); err == nil {
		h = a.String()
	} else if !isASCII(h) {
		rest, wild := strings.CutPrefix(h, "*.")
		ascii, err := idna.Lookup.ToASCII(rest)
		if err != nil {
			return "", fmt.Errorf("%q is not a name: %w", shown(h), err)
		}
		if h = ascii; wild {
			h = "*." + ascii
		}
	}
	id, err := edge.ParseIdentifier(h)
	return id.Value, err
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

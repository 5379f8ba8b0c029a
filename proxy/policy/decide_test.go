package policy

import (
	"crypto/tls"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"edge"
)

func table(t testing.TB, change func(*Options)) *Table {
	o := Options{Sites: []Site{
		{Name: "exact", Hosts: []string{"example.org", "www.example.org"}, TLS: true, Redirect: 308, Pool: "a"},
		{Name: "wild", Hosts: []string{"*.example.org"}, TLS: true, Redirect: 301, Pool: "b", Host: "upstream", UpstreamHost: "b:80"},
		{Name: "plain", Hosts: []string{"plain.example.org", "192.0.2.1", "2001:db8::1"}, Pool: "c"},
		{Name: "both", Hosts: []string{"both.example.net"}, TLS: true, Pool: "d"},
	}}
	if change != nil {
		change(&o)
	}
	tab, err := NewTable(o)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func request(scheme, host, target string) *Request {
	path, query, _ := strings.Cut(target, "?")
	var version uint16
	if scheme == "https" {
		version = tls.VersionTLS12
	}
	return &Request{Method: "GET", Scheme: scheme, TLS: version, Host: host, Path: path, Query: query, Major: 1,
		Remote: netip.MustParseAddrPort("198.51.100.7:1234")}
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		scheme, host, target string
		want                 string // status, "-> location" or "pool host"
	}{
		{"https", "example.org", "/", "a example.org"},
		{"https", "WWW.Example.ORG", "/", "a WWW.Example.ORG"},
		{"https", "example.org.", "/", "a example.org."},
		{"https", "example.org:8443", "/", "a example.org:8443"},
		{"https", "x.example.org", "/", "b b:80"},
		{"https", "x.y.example.org", "/", "421"},
		{"https", "nowhere.test", "/", "421"},
		{"http", "nowhere.test", "/", "404"},
		{"http", "example.org", "/a?b=c", "308 https://example.org/a?b=c"},
		{"http", "example.org:80", "//evil.test/", "308 https://example.org//evil.test/"},
		{"http", "x.example.org", "/", "301 https://x.example.org/"},
		{"http", "example.org", "/.well-known/acme-challenge/abc", "a example.org"},
		{"http", "example.org", "/.well-known/acme-challenge/../a", "308 https://example.org/.well-known/acme-challenge/../a"},
		{"http", "example.org", "/.well-known/acme-challeng", "308 https://example.org/.well-known/acme-challeng"},
		{"http", "both.example.net", "/", "d both.example.net"},
		{"http", "plain.example.org", "/", "c plain.example.org"},
		{"http", "192.0.2.1", "/", "c 192.0.2.1"},
		{"http", "[2001:db8::1]:80", "/", "c [2001:db8::1]:80"},
		{"https", "plain.example.org", "/", "421"},
		{"https", "", "/", "400"},
		{"https", "exa mple.org", "/", "400"},
		{"https", "user@example.org", "/", "400"},
		{"https", "example.org/x", "/", "400"},
		{"https", "example.org:", "/", "400"},
		{"https", "example.org:x", "/", "400"},
		{"https", "example.org:99999", "/", "400"},
		{"https", "exämple.org", "/", "400"},
		{"https", "[::1", "/", "400"},
		{"https", "example.org, example.org", "/", "400"},
		{"https", "example.org", "/a b", "400"},
		{"https", "example.org", `/a\b`, "400"},
		{"https", "example.org", "/a#b", "400"},
		{"https", "example.org", "/a%00b", "400"},
		{"https", "example.org", "/a%zz", "400"},
		{"https", "example.org", "/a%4", "400"},
		{"https", "example.org", "/?a\x01", "400"},
		{"https", "example.org", "/\xff", "400"},
		{"https", "example.org", "a", "400"},
		{"https", "example.org", "*", "400"},
	} {
		d := table(t, nil).Decide(request(c.scheme, c.host, c.target))
		if got := show(d); got != c.want {
			t.Errorf("%s %s %s: got %q, want %q", c.scheme, c.host, c.target, got, c.want)
		}
		if d.Kind == Static && (d.Status == 404 || d.Status == 421 && d.Site != "plain" || d.Status == 400) && d.Site != edge.OtherSite {
			t.Errorf("%s %s %s: labelled %q", c.scheme, c.host, c.target, d.Site)
		}
	}
}

func show(d Decision) string {
	switch d.Kind {
	case Redirect:
		return itoa(d.Status) + " " + d.Location
	case Proxy:
		return d.Pool + " " + d.Host
	}
	return itoa(d.Status)
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}

func TestMethods(t *testing.T) {
	tab := table(t, nil)
	for method, want := range map[string]string{"CONNECT": "405", "TRACE": "405", "OPTIONS": "a example.org", "PROPFIND": "a example.org"} {
		r := request("https", "example.org", "/")
		r.Method = method
		if method == "OPTIONS" {
			r.Path = "*"
		}
		if got := show(tab.Decide(r)); got != want {
			t.Errorf("%s: got %q, want %q", method, got, want)
		}
	}
}

func TestStarAndPort(t *testing.T) {
	tab := table(t, func(o *Options) {
		o.Sites = append(o.Sites, Site{Name: "star", Hosts: []string{"*"}, TLS: true, Redirect: 308, Pool: "s"})
		o.HTTPSPort = "8443"
	})
	if got := show(tab.Decide(request("http", "[2001:db8::2]", "/"))); got != "308 https://[2001:db8::2]:8443/" {
		t.Error(got)
	}
	if got := show(tab.Decide(request("https", "a.b.c.test", "/"))); got != "s a.b.c.test" {
		t.Error(got)
	}
	if got := tab.Site("x.EXAMPLE.org:1"); got != "wild" {
		t.Error(got)
	}
}

func TestDuplicateHost(t *testing.T) {
	for _, h := range []string{"a.test", "*.a.test", "*"} {
		if _, err := NewTable(Options{Sites: []Site{{Hosts: []string{h}}, {Hosts: []string{h}}}}); err == nil {
			t.Errorf("%s twice: no error", h)
		}
	}
}

// X-Forwarded-* of strangers are dropped; those of trusted proxies are believed
// as far as the first address that is not one of them.
func TestForwarded(t *testing.T) {
	trust := func(o *Options) {
		o.Trusted = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("10.0.0.0/8")}
	}
	spoofed := []Field{{"x-forwarded-for", "203.0.113.9, 192.0.2.5"}, {"X-Forwarded-For", "10.1.2.3"},
		{"X-Forwarded-Proto", "http"}, {"X-Forwarded-Host", "other.test"}}
	for _, c := range []struct {
		name   string
		change func(*Options)
		header []Field
		client string
		want   []Field
	}{
		{"stranger", nil, spoofed, "198.51.100.7", []Field{{"X-Forwarded-For", "198.51.100.7"}, {"X-Forwarded-Proto", "https"}, {"X-Forwarded-Host", "example.org"}}},
		{"trusted", trust, spoofed, "192.0.2.5", []Field{{"X-Forwarded-For", "203.0.113.9, 192.0.2.5, 10.1.2.3, 198.51.100.7"}, {"X-Forwarded-Proto", "http"}, {"X-Forwarded-Host", "other.test"}}},
		{"trusted, garbage", trust, []Field{{"X-Forwarded-For", "192.0.2.5, junk"}, {"X-Forwarded-Proto", "gopher"}, {"X-Forwarded-Host", "a b"}}, "198.51.100.7",
			[]Field{{"X-Forwarded-For", "192.0.2.5, junk, 198.51.100.7"}, {"X-Forwarded-Proto", "https"}, {"X-Forwarded-Host", "example.org"}}},
	} {
		r := request("https", "example.org", "/")
		r.Header = c.header
		d := table(t, c.change).Decide(r)
		if d.Client.String() != c.client || !reflect.DeepEqual(d.Forwarded, c.want) {
			t.Errorf("%s: client %v, forwarded %v", c.name, d.Client, d.Forwarded)
		}
	}
}

// A proxy in front that ends TLS and speaks plain HTTP to us says so: a
// redirect would send its clients in circles. Nobody else is believed.
func TestTLSEndedInFront(t *testing.T) {
	trust := func(o *Options) { o.Trusted = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")} }
	for _, c := range []struct {
		change func(*Options)
		proto  string
		want   string
	}{
		{trust, "https", "a example.org"},
		{trust, "http", "308 https://example.org/"},
		{nil, "https", "308 https://example.org/"},
	} {
		r := request("http", "example.org", "/")
		r.Header = []Field{{"X-Forwarded-Proto", c.proto}}
		if got := show(table(t, c.change).Decide(r)); got != c.want {
			t.Errorf("trusted %v, %s: %s", c.change != nil, c.proto, got)
		}
	}
}

// A site that asks for TLS 1.3 is not reached with the handshake of another.
func TestMinTLSOfAnotherSite(t *testing.T) {
	tab := table(t, func(o *Options) { o.Sites[0].MinTLS = tls.VersionTLS13 })
	r := request("https", "example.org", "/")
	if got := show(tab.Decide(r)); got != "421" {
		t.Errorf("TLS 1.2: %s", got)
	}
	r.TLS = tls.VersionTLS13
	if got := show(tab.Decide(r)); got != "a example.org" {
		t.Errorf("TLS 1.3: %s", got)
	}
}

func TestDecideAllocations(t *testing.T) {
	tab := table(t, nil)
	for _, host := range []string{"example.org", "x.example.org"} {
		r := request("https", host, "/a/b?c=d")
		// The address as text and the list of forwarded fields.
		if n := testing.AllocsPerRun(100, func() { tab.Decide(r) }); n > 2 {
			t.Errorf("%s: %v allocations", host, n)
		}
	}
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"example.org", "a.b:80", "[::1]:443", "192.0.2.1", "a..b", "-a", "a_b", "*", "x@y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, ok := cleanHost(s)
		if !ok {
			return
		}
		if host == "" || strings.ContainsAny(host, " /@\\,*[]\"<>\r\n\x00%") || host != strings.ToLower(host) || strings.Trim(port, "0123456789") != "" {
			t.Errorf("%q was accepted as %q %q", s, host, port)
		}
		again := host
		if strings.Contains(host, ":") {
			again = "[" + host + "]"
		}
		if h2, _, ok := cleanHost(again); !ok || h2 != host {
			t.Errorf("%q is not stable: %q", host, h2)
		}
	})
}

func FuzzDecide(f *testing.F) {
	f.Add("GET", "example.org", "/a", "b=c", "X-Forwarded-For", "10.0.0.1, ::1", true)
	f.Add("TRACE", "x.example.org", "//", "", "x-forwarded-proto", "https", false)
	tab := table(f, func(o *Options) { o.Trusted = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} })
	f.Fuzz(func(t *testing.T, method, host, path, query, name, value string, secure bool) {
		version := uint16(0)
		if secure {
			version = tls.VersionTLS13
		}
		d := tab.Decide(&Request{Method: method, Host: host, Path: path, Query: query, TLS: version,
			Header: []Field{{name, value}}, Remote: netip.MustParseAddrPort("192.0.2.1:1")})
		if strings.ContainsAny(d.Location, " \r\n\x00\\") {
			t.Errorf("location %q", d.Location)
		}
		if d.Kind == Proxy && strings.ContainsAny(path+query+d.Host, " \r\n\x00\\#") {
			t.Errorf("forwarded %q %q %q", d.Host, path, query)
		}
		if d.Kind == Static && d.Status < 400 || d.Kind == Redirect && d.Location == "" {
			t.Errorf("decision %+v", d)
		}
	})
}

package policy

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func field(h []Field, name string) string {
	return strings.Join(headerValues(h, name), "|")
}

func TestMaintenanceAndAddresses(t *testing.T) {
	me, others := []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for name, c := range map[string]struct {
		route Route
		want  string
	}{
		"maintenance":                 {Route{Maintenance: &Maintenance{RetryAfter: 60, Type: "text/html", Body: []byte("back soon")}}, "503"},
		"maintenance, but not for us": {Route{Maintenance: &Maintenance{Allow: me}}, "ok"},
		"denied":                      {Route{Deny: me}, "403"},
		"allowed":                     {Route{Allow: me}, "ok"},
		"not allowed":                 {Route{Allow: others}, "403"},
		"denied among the allowed":    {Route{Allow: me, Deny: me}, "403"},
	} {
		c.route.Action = answer("ok")
		d := routed(t, c.route).Decide(request("https", "example.org", "/"))
		if got := said(d); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
		if name == "maintenance" && (d.Body != "back soon" || d.Type != "text/html" || field(d.Header, "Retry-After") != "60") {
			t.Errorf("%+v", d)
		}
	}
}

const second = int64(1e9)

func TestRateLimit(t *testing.T) {
	tab := routed(t, Route{RateLimits: []RateLimit{{By: "header:X-Key", Limiter: NewLimiter(LimiterOptions{Name: "api", Rate: 2, Burst: 3})}}, Action: answer("ok")})
	ask := func(key, client string, now int64) Decision {
		r := request("https", "example.org", "/")
		r.Now, r.Remote = now, netip.AddrPortFrom(netip.MustParseAddr(client), 1)
		if key != "" {
			r.Header = []Field{{"x-key", key}}
		}
		return tab.Decide(r)
	}
	now := 1000 * second
	for i := range 3 {
		if d := ask("a", "192.0.2.1", now); d.Status != 200 || field(d.Header, "RateLimit") != fmt.Sprintf(`"api";r=%d;t=%d`, 2-i, (i+2)/2) {
			t.Errorf("request %d: %d %v", i, d.Status, d.Header)
		}
	}
	d := ask("a", "192.0.2.1", now)
	if d.Status != 429 || d.Limited != "rate" || field(d.Header, "Retry-After") != "1" || field(d.Header, "RateLimit-Policy") != `"api";q=3;w=2` {
		t.Errorf("%d %v", d.Status, d.Header)
	}
	if d := ask("b", "192.0.2.1", now); d.Status != 200 {
		t.Error("another key is limited, too")
	}
	if d := ask("a", "192.0.2.1", now+second/2); d.Status != 200 {
		t.Error("no token after its time")
	}
	if d := ask("a", "192.0.2.1", now-3600*second); d.Status != 429 {
		t.Error("a clock that stepped back gave a token")
	}
	// Who lacks the field is counted by address, a /64 of IPv6.
	for range 3 {
		ask("", "2001:db8::1", now)
	}
	if d := ask("", "2001:db8::ffff:1", now); d.Status != 429 {
		t.Error("an address of the same /64 is another client")
	}
	if d := ask("", "2001:db8:0:1::1", now); d.Status != 200 {
		t.Error("another /64 is the same client")
	}
}

// A stranger who invents keys costs no more than the bound, and does not make
// those forgotten who are limited.
func TestLimiterMemory(t *testing.T) {
	l := NewLimiter(LimiterOptions{Rate: 1, Burst: 5, MaxKeys: 1600})
	now := 1000 * second
	for range 6 {
		l.Take("greedy", now)
	}
	for i := range 100000 {
		l.Take(fmt.Sprint("k", i), now)
	}
	if n := l.Keys(); n > 1600 {
		t.Errorf("%d keys", n)
	}
	if l.Take("greedy", now).OK {
		t.Error("who had used up its tokens was forgotten before those who had not")
	}
	if n := testing.AllocsPerRun(100, func() { l.Take("greedy", now) }); n > 0 {
		t.Errorf("%v allocations for a key that is known", n)
	}
}

func TestCORS(t *testing.T) {
	route := func(c CORS) *Table { return routed(t, Route{CORS: &c, Action: answer("ok")}) }
	strict := CORS{Origins: []string{"https://app.test", "https://*.apps.test"}, Methods: []string{"GET", "PUT"}, Credentials: true, MaxAge: 600, Expose: []string{"X-A"}}
	for _, c := range []struct {
		name, method, origin, asks string
		cors                       CORS
		want                       string // status and Access-Control-Allow-Origin
	}{
		{"allowed", "GET", "https://app.test", "", strict, "200 https://app.test"},
		{"wildcard", "GET", "https://a.apps.test", "", strict, "200 https://a.apps.test"},
		{"two labels", "GET", "https://a.b.apps.test", "", strict, "200 "},
		{"suffix only", "GET", "https://evilapps.test", "", strict, "200 "},
		{"port", "GET", "https://a.apps.test:8443", "", strict, "200 "},
		{"null", "GET", "null", "", strict, "200 "},
		{"preflight", "OPTIONS", "https://app.test", "PUT", strict, "204 https://app.test"},
		{"preflight of a stranger", "OPTIONS", "https://evil.test", "PUT", strict, "204 "},
		{"options that is none", "OPTIONS", "https://app.test", "", strict, "200 https://app.test"},
		{"anybody", "GET", "https://evil.test", "", CORS{Origins: []string{"*"}}, "200 *"},
		{"anybody with credentials", "GET", "https://evil.test", "", CORS{Origins: []string{"*"}, Credentials: true}, "200 "},
	} {
		r := request("https", "example.org", "/")
		r.Method, r.Header = c.method, []Field{{"Origin", c.origin}}
		if c.asks != "" {
			r.Header = append(r.Header, Field{"Access-Control-Request-Method", c.asks}, Field{"Access-Control-Request-Headers", "x-b"})
		}
		d := route(c.cors).Decide(r)
		if got := itoa(d.Status) + " " + field(d.Header, "Access-Control-Allow-Origin"); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
		if c.want != "200 *" && !strings.Contains(field(d.Header, "Vary"), "Origin") {
			t.Errorf("%s: Vary %q", c.name, field(d.Header, "Vary"))
		}
		if c.name == "preflight" && (field(d.Header, "Access-Control-Allow-Methods") != "GET, PUT" || field(d.Header, "Access-Control-Allow-Headers") != "x-b" ||
			field(d.Header, "Access-Control-Max-Age") != "600" || field(d.Header, "Access-Control-Allow-Credentials") != "true") {
			t.Errorf("%v", d.Header)
		}
	}
}

func TestBasicAuth(t *testing.T) {
	b, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewBasicAuth(BasicAuthOptions{Realm: `a "realm"`, Users: map[string]string{
		"ann": string(b),
		"bob": argon2Of("secret"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	tab := routed(t, Route{BasicAuth: a, Action: answer("ok")})
	ask := func(fields ...string) Decision {
		r := request("https", "example.org", "/")
		for _, f := range fields {
			r.Header = append(r.Header, Field{"authorization", f})
		}
		return tab.Decide(r)
	}
	of := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, c := range []struct{ field, user string }{
		{of("ann:secret"), "ann"}, {of("bob:secret"), "bob"}, {"basic " + of("ann:secret")[6:], "ann"}, {of("ann:secret"), "ann"},
		{of("ann:wrong"), ""}, {of("eve:secret"), ""}, {of("ann:"), ""}, {of(":secret"), ""}, {of("annsecret"), ""}, {"Bearer x", ""}, {"Basic !", ""}, {"Basic", ""},
	} {
		d := ask(c.field)
		if d.User != c.user || (d.Status == 200) != (c.user != "") {
			t.Errorf("%q: %d %q", c.field, d.Status, d.User)
		}
	}
	if d := ask(); d.Status != 401 || field(d.Header, "WWW-Authenticate") != `Basic realm="a \"realm\"", charset="UTF-8"` {
		t.Errorf("%d %v", d.Status, d.Header)
	}
	if d := ask(of("ann:secret"), of("eve:x")); d.Status != 401 {
		t.Error("two fields were accepted")
	}
	if n := len(a.known); n != 2 {
		t.Errorf("%d credentials remembered, want the two that were right", n)
	}
	for _, bad := range []string{"plain", "$1$x", "$argon2id$v=19$m=9999999999,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA", "$2y$31$abc"} {
		if _, err := NewBasicAuth(BasicAuthOptions{Users: map[string]string{"ann": bad}}); err == nil || !strings.Contains(err.Error(), "user ann") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func argon2Of(password string) string {
	h := &argon2Hash{memory: 64, time: 1, threads: 1, salt: []byte("saltsaltsalt"), sum: make([]byte, 32)}
	return fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=1$%s$%s", base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.key(password)))
}

func TestEdits(t *testing.T) {
	tab := routed(t, Route{
		Request: []HeaderEdit{{SetField, "X-Client", "{client} {scheme} {host} {tls_version}"}, {AddField, "Via", "edge"}, {DefaultField, "Accept", "*/*"}, {RemoveField, "X-Client-Cert-*", ""}, {SetField, "X-Client-Cert-Subject", "{client_cert_subject}"}},
		Action:  answer("ok")})
	r := request("https", "example.org:443", "/")
	r.Cert = &ClientCert{Verified: true, Subject: "CN=a\r\nX-Evil: 1"}
	d := tab.Decide(r)
	got := d.Rule.EditRequest([]Field{{"x-client", "spoofed"}, {"x-client-cert-serial", "1"}, {"accept", "text/html"}, {"via", "other"}, {"a", "b"}}, r, &d)
	want := []Field{{"accept", "text/html"}, {"via", "other"}, {"a", "b"}, {"X-Client", "198.51.100.7 https example.org TLS 1.2"}, {"Via", "edge"}, {"X-Client-Cert-Subject", "CN=a  X-Evil: 1"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	r.Cert.Verified = false
	if got := d.Rule.EditRequest(nil, r, &d); field(got, "X-Client-Cert-Subject") != "" {
		t.Error("an identity that was not verified is passed on")
	}
}

func TestSecurityAndErrorPages(t *testing.T) {
	edits, err := Security{HSTS: 60, Frame: "DENY", NoSniff: true}.Edits()
	if err != nil || fmt.Sprint(edits) != "[{2 Strict-Transport-Security max-age=60} {2 X-Frame-Options DENY} {2 X-Content-Type-Options nosniff}]" {
		t.Errorf("%v %v", edits, err)
	}
	r := &Route{Errors: []ErrorPage{{404, 404, "", []byte("a")}, {500, 599, "", []byte("b")}}}
	if r.ErrorPage(404) != &r.Errors[0] || r.ErrorPage(503) != &r.Errors[1] || r.ErrorPage(403) != nil || (*Route)(nil).ErrorPage(404) != nil {
		t.Error("pages")
	}
}

func TestHashKeyAndSticky(t *testing.T) {
	for by, want := range map[string]string{"client": "198.51.100.7", "path": "/a", "header:X-K": "v", "cookie:c": "1", "header:none": "198.51.100.7", "": ""} {
		tab := routed(t, Route{Action: Action{Proxy: &ProxyTo{Pool: "p", HashBy: by, Sticky: "s"}}})
		r := request("https", "example.org", "/a")
		r.Header = []Field{{"x-k", "v"}, {"cookie", "b=2; c=1; s=me"}}
		if d := tab.Decide(r); d.HashKey != want || d.Sticky != "me" {
			t.Errorf("%s: %q %q", by, d.HashKey, d.Sticky)
		}
	}
}

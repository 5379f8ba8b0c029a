package policy

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

func answer(text string) Action { return Action{Answer: &Answer{Status: 200, Body: []byte(text)}} }

func at(name string, m Match) Route { return Route{Name: name, Match: m, Action: answer(name)} }

// routed is a table of one site with routes.
func routed(t testing.TB, routes ...Route) *Table {
	t.Helper()
	tab, err := NewTable(Options{Sites: []Site{{Name: "s", Hosts: []string{"example.org", "*.example.org"}, TLS: true, Routes: routes}}})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestRoutes(t *testing.T) {
	tab := routed(t,
		at("exact", Match{Paths: []string{"/exact"}}),
		at("glob", Match{Paths: []string{"/g/*/end", "/deep/**/end"}}),
		at("post", Match{Paths: []string{"/api/*"}, Methods: []string{"POST", "PUT"}}),
		at("beta", Match{Header: []FieldMatch{{Name: "x-beta", Values: []string{"yes*"}}}}),
		at("none", Match{Paths: []string{"/no/*"}, Header: []FieldMatch{{Name: "X-Beta", Absent: true}}}),
		at("debug", Match{Query: []FieldMatch{{Name: "debug", Values: []string{"1", "true"}}}}),
		at("inside", Match{Paths: []string{"/in/*"}, Clients: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}),
		at("sub", Match{Hosts: []string{"*.example.org"}}),
		at("api", Match{Paths: []string{"/api/*"}}),
	)
	for _, c := range []struct{ method, host, target, header, want string }{
		{"GET", "example.org", "/exact", "", "exact"},
		{"GET", "example.org", "/exact/", "", "404"},
		{"GET", "example.org", "/g/a/end", "", "glob"},
		{"GET", "example.org", "/g/a/b/end", "", "404"},
		{"GET", "example.org", "/deep/end", "", "glob"},
		{"GET", "example.org", "/deep/a/b/c/end", "", "glob"},
		{"POST", "example.org", "/api/x", "", "post"},
		{"GET", "example.org", "/api/x", "", "api"},
		{"GET", "example.org", "/api/", "", "api"},
		{"GET", "example.org", "/api", "", "404"},
		{"GET", "example.org", "/API/x", "", "404"},
		{"GET", "example.org", "/", "X-Beta: yes, really", "beta"},
		{"GET", "example.org", "/", "X-Beta: no", "404"},
		{"GET", "example.org", "/no/x", "", "none"},
		{"GET", "example.org", "/?a=b&debug=1", "", "debug"},
		{"GET", "example.org", "/?d%65bug=tru%65", "", "debug"},
		{"GET", "example.org", "/?debug=2", "", "404"},
		{"GET", "example.org", "/in/x", "", "inside"},
		{"GET", "a.example.org", "/", "", "sub"},
	} {
		r := request("https", c.host, c.target)
		r.Method = c.method
		if name, value, ok := strings.Cut(c.header, ": "); ok {
			r.Header = []Field{{name, value}}
		}
		d := tab.Decide(r)
		if got := said(d); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

// said is the body of an answer of a route, or the status.
func said(d Decision) string {
	if d.Kind == Static && d.Status == 200 {
		return d.Body
	}
	return itoa(d.Status)
}

// Rules for a path cannot be got around by spelling the path in another way.
func TestVulnPathNormalisationBypass(t *testing.T) {
	tab := routed(t,
		Route{Name: "admin", Match: Match{Paths: []string{"/admin", "/admin/*"}}, Deny: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, Action: answer("admin")},
		at("rest", Match{}))
	for path, want := range map[string]string{
		"/admin": "403", "/admin/": "403", "/admin/x": "403",
		"//admin": "403", "/%61dmin": "403", "/x/../admin": "403", "/./admin": "403", "/x/%2e%2e/admin": "403", "/admin/.": "403",
		"/admin//x": "403", "/%2e/admin": "403", "/.%2E/admin": "403", "/../../admin": "403", "///admin///": "403",
		"/admin;x=1": "400", "/admin;/x": "400", "/admin%3bx": "400", "/x;a/../admin": "403", "/admin%2fx": "400", "/x/..%2fadmin": "400", "/x%2f..%2fadmin": "400", "/%5cadmin": "400",
		"/admin%5cx": "400",
		"/ADMIN":     "rest", "/admins": "rest", "/xadmin": "rest", "/a;b/c%2Fd": "rest", "/admin%252f": "rest",
	} {
		d := tab.Decide(request("https", "example.org", path))
		if got := said(d); got != want {
			t.Errorf("%s: got %s (sent as %s), want %s", path, got, d.Path, want)
		}
	}
}

// What is matched is what is sent.
func TestNormalPath(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/a/b": "/a/b", "//": "/", "/a//b": "/a/b", "/a/./b": "/a/b", "/a/../b": "/b", "/..": "/", "/a/..": "/", "/a/.": "/a/",
		"/%7euser": "/~user", "/%2fa": "/%2Fa", "/a%20b": "/a%20b", "/a%c3%a4": "/a%C3%A4", "/a;b=c": "/a;b=c", "/.well-known/x": "/.well-known/x",
		"/...": "/...", "/a/..b": "/a/..b", "/%2e%2e/a": "/a", "/a/%2e": "/a/",
	} {
		got, _ := normalPath(in)
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
		if again, _ := normalPath(got); again != got {
			t.Errorf("%s is not stable: %s", got, again)
		}
	}
}

func FuzzNormalPath(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e/x", "/a;b/..;/c", "/%2f%5c%3b", "//..//", "/%25%32%65"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !validTarget("GET", s, "") {
			return
		}
		sent, loose := normalPath(s)
		for _, p := range []string{sent, loose} {
			if p == "" || p[0] != '/' || strings.Contains(p, "//") || strings.Contains(p+"/", "/../") || strings.Contains(p+"/", "/./") || !validBytes(p) {
				t.Errorf("%q became %q", s, p)
			}
		}
		if again, _ := normalPath(sent); again != sent {
			t.Errorf("%q: %q becomes %q", s, sent, again)
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("/a*/**/b", "/ab/c/b")
	f.Add("/**/**/x", "/x")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		p, err := newPattern(pattern)
		if err != nil || len(pattern) > 60 || len(path) > 60 || !strings.HasPrefix(path, "/") {
			return
		}
		// The slow way: an expression.
		var b strings.Builder
		parts := p.parts
		if p.kind != glob {
			parts = strings.Split(p.text[1:], "/")
		}
		for i, part := range parts {
			last := i == len(parts)-1
			switch {
			case part == "**" && last && i == 0:
				b.WriteString("/.*")
			case part == "**":
				b.WriteString("(?:/[^/]*)*")
			case part == "*" && last && p.kind == below:
				b.WriteString("/.*")
			default:
				b.WriteString("/" + strings.ReplaceAll(regexp.QuoteMeta(part), `\*`, "[^/]*"))
			}
		}
		want := regexp.MustCompile(`(?s)\A` + b.String() + `\z`).MatchString(path)
		if got := p.matches(path); got != want {
			t.Errorf("%q on %q: %v, want %v by %s", pattern, path, got, want, b.String())
		}
	})
}

func TestUnreachable(t *testing.T) {
	net10 := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	net101 := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for _, c := range []struct {
		a, b    Match
		covered bool
	}{
		{Match{}, Match{}, true},
		{Match{}, Match{Paths: []string{"/x"}}, true},
		{Match{Paths: []string{"/x"}}, Match{}, false},
		{Match{Paths: []string{"/*"}}, Match{Paths: []string{"/x", "/y/*"}}, true},
		{Match{Paths: []string{"/a/*"}}, Match{Paths: []string{"/a/b/*"}}, true},
		{Match{Paths: []string{"/a/*"}}, Match{Paths: []string{"/a"}}, false},
		{Match{Paths: []string{"/a/*"}}, Match{Paths: []string{"/a/*/c"}}, true},
		{Match{Paths: []string{"/a/*/c"}}, Match{Paths: []string{"/a/b/c"}}, true},
		{Match{Paths: []string{"/a"}, Methods: []string{"GET"}}, Match{Paths: []string{"/a"}}, false},
		{Match{Paths: []string{"/a"}, Methods: []string{"GET", "POST"}}, Match{Paths: []string{"/a"}, Methods: []string{"POST"}}, true},
		{Match{Clients: net10}, Match{Clients: net101}, true},
		{Match{Clients: net101}, Match{Clients: net10}, false},
		{Match{Header: []FieldMatch{{Name: "A"}}}, Match{Header: []FieldMatch{{Name: "a", Values: []string{"1"}}, {Name: "B"}}}, true},
		{Match{Header: []FieldMatch{{Name: "A", Values: []string{"1"}}}}, Match{Header: []FieldMatch{{Name: "A"}}}, false},
		{Match{Header: []FieldMatch{{Name: "A", Absent: true}}}, Match{Header: []FieldMatch{{Name: "A"}}}, false},
		{Match{Hosts: []string{"*.example.org"}}, Match{Hosts: []string{"a.example.org"}}, true},
	} {
		_, err := NewTable(Options{Sites: []Site{{Name: "s", Hosts: []string{"example.org"}, Routes: []Route{at("a", c.a), at("b", c.b)}}}})
		var ue *UnreachableError
		if got := errors.As(err, &ue); got != c.covered || got && (ue.Route != 1 || ue.By != 0 || !strings.Contains(err.Error(), "can never be reached")) {
			t.Errorf("%+v before %+v: %v", c.a, c.b, err)
		}
	}
}

func TestBadRoutes(t *testing.T) {
	for want, r := range map[string]Route{
		"does not begin":      at("x", Match{Paths: []string{"a"}}),
		`write "/b"`:          at("x", Match{Paths: []string{"/a/../b"}}),
		"whole segments":      at("x", Match{Paths: []string{"/a**/b"}}),
		"question mark":       at("x", Match{Paths: []string{"/a?b=c"}}),
		"0 actions":           {Name: "x"},
		"2 actions":           {Name: "x", Action: Action{Proxy: &ProxyTo{}, Answer: &Answer{}}},
		"placeholders are":    {Name: "x", Action: answer(""), Request: []HeaderEdit{{SetField, "A", "{nothing}"}}},
		"is no token":         {Name: "x", Action: answer(""), Response: []HeaderEdit{{SetField, "A b", "x"}}},
		"frames the message":  {Name: "x", Action: answer(""), Response: []HeaderEdit{{SetField, "content-length", "1"}}},
		"a control character": {Name: "x", Action: answer(""), Response: []HeaderEdit{{SetField, "A", "x\r\ny"}}},
	} {
		_, err := NewTable(Options{Sites: []Site{{Name: "s", Hosts: []string{"example.org"}, Routes: []Route{r}}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestRewriteAndRedirect(t *testing.T) {
	for _, c := range []struct {
		rewrite  Rewrite
		in, want string
	}{
		{Rewrite{Strip: "/api"}, "/api/x", "/x"},
		{Rewrite{Strip: "/api"}, "/api", "/"},
		{Rewrite{Strip: "/api"}, "/apix", "/apix"},
		{Rewrite{Strip: "/api", Add: "/v1"}, "/api/x", "/v1/x"},
		{Rewrite{Add: "/v1/"}, "/x", "/v1/x"},
		{Rewrite{Path: "/index"}, "/x", "/index"},
		{Rewrite{Replace: []Replace{{regexp.MustCompile("^/a/(.*)$"), "/b/$1"}}}, "/a/x", "/b/x"},
		{Rewrite{Replace: []Replace{{regexp.MustCompile("^/a/"), "/../"}}}, "/a/x", "/x"},
		{Rewrite{Replace: []Replace{{regexp.MustCompile("%20"), " "}}}, "/a%20b", "/a%20b"},
		{Rewrite{Replace: []Replace{{regexp.MustCompile("^.*$"), ""}}}, "/a", "/"},
	} {
		tab := routed(t, Route{Rewrite: c.rewrite, Action: Action{Proxy: &ProxyTo{Pool: "p"}}})
		if d := tab.Decide(request("https", "example.org", c.in)); d.Kind != Proxy || d.Path != c.want {
			t.Errorf("%+v: %s", c, d.Path)
		}
	}
	tab := routed(t, Route{Action: Action{Redirect: &RedirectTo{308, "https://b.test{path}?{query}"}}})
	for in, want := range map[string]string{"/a?b=c": "https://b.test/a?b=c", "/a": "https://b.test/a", "//evil.test/": "https://b.test/evil.test/"} {
		if d := tab.Decide(request("https", "example.org", in)); d.Kind != Redirect || d.Location != want {
			t.Errorf("%s: %+v", in, d)
		}
	}
}

func TestClientAuthNeedsItsOwnConnection(t *testing.T) {
	tab, err := NewTable(Options{Sites: []Site{
		{Name: "a", Hosts: []string{"a.test"}, TLS: true, ClientAuth: true, Pool: "a"},
		{Name: "b", Hosts: []string{"b.test"}, TLS: true, Pool: "b"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ sni, host, want string }{
		{"a.test", "a.test", "a a.test"}, {"b.test", "a.test", "421"}, {"", "a.test", "421"}, {"b.test", "b.test", "b b.test"}, {"a.test", "b.test", "b b.test"},
		{"a.test", "a.test.", "a a.test."}, {"b.test", "A.TEST", "421"},
	} {
		r := request("https", c.host, "/")
		r.SNI = c.sni
		if got := show(tab.Decide(r)); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	var routes []Route
	for i := range 100 {
		routes = append(routes, at("", Match{Paths: []string{"/r" + itoa(i+100) + "/*"}}))
	}
	tab := routed(b, append(routes, at("last", Match{}))...)
	r := request("https", "example.org", "/other/path?x=y")
	b.ReportAllocs()
	for b.Loop() {
		tab.Decide(r)
	}
}

// A trusted proxy that says https over plain HTTP brings no certificate.
func TestNeedCertBehindATrustedProxy(t *testing.T) {
	tab, err := NewTable(Options{Trusted: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
		Sites: []Site{{Name: "a", Hosts: []string{"a.test"}, TLS: true, Redirect: 308, ClientAuth: true, NeedCert: true, Pool: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/": "421", "/.well-known/acme-challenge/abc": "a a.test"} {
		r := request("http", "a.test", path)
		r.Header = []Field{{"X-Forwarded-Proto", "https"}}
		if got := show(tab.Decide(r)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

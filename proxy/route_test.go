package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"edge/proxy/policy"
	"edge/proxy/pool"
	"edge/proxy/upstream"
)

// routed starts a rig whose one site has routes; pool "a" goes to backend, "b" to another.
func routed(t *testing.T, backend, other http.Handler, routes ...policy.Route) *rig {
	t.Helper()
	return rigWith(t, backend, func(_ *Options, s *Settings) {
		s.Table = tableOf(t, policy.Site{Name: "example.org", Hosts: []string{"example.org"}, TLS: true, Routes: routes})
		if other != nil {
			b := httptest.NewServer(other)
			t.Cleanup(b.Close)
			s.Pools["b"] = pool.Of(upstream.Options{Scheme: "http", Address: b.Listener.Addr().String()})
		}
	})
}

// echo tells what arrived.
func echo(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for name, v := range r.Header {
		w.Header()["Got-"+name] = v
	}
	w.Header().Set("X-Powered-By", "php")
	fmt.Fprintf(w, "%s %s %d", r.Method, r.RequestURI, n)
}

func toA() policy.Action { return policy.Action{Proxy: &policy.ProxyTo{Pool: "a"}} }

func eachDialect(t *testing.T, r *rig, run func(t *testing.T, c *http.Client)) {
	t.Helper()
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) { run(t, d.client(r)) })
	}
}

func TestRouteSendsWhatWasMatched(t *testing.T) {
	r := routed(t, http.HandlerFunc(echo), nil,
		policy.Route{Name: "api", Match: policy.Match{Paths: []string{"/api/*"}}, Rewrite: policy.Rewrite{Strip: "/api", Add: "/v1"}, Action: toA()},
		policy.Route{Name: "rest", Action: toA()})
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		for in, want := range map[string]string{
			"/api/x?q=1": "GET /v1/x?q=1 0", "/api//y": "GET /v1/y 0", "/x/../api/z": "GET /v1/z 0", "/%61pi/u": "GET /v1/u 0", "/other%2fx": "GET /other%2Fx 0",
		} {
			req := requestTo(t, "GET", site, nil)
			req.URL.Opaque = "//example.org" + in
			if a := ask(c, req); a.status != 200 || a.body != want {
				t.Errorf("%s: %d %q %v, want %q", in, a.status, a.body, a.err, want)
			}
		}
		if a := ask(c, requestTo(t, "GET", site+"/x%2f..%2fapi%2fx", nil)); a.status != 400 {
			t.Errorf("a path that can be read in two ways: %d", a.status)
		}
	})
	if ev := r.events.last(t, 1); ev.Route != "api" && ev.Route != "rest" || ev.Pool != "a" {
		t.Errorf("event %+v", ev)
	}
}

func TestRouteAnswers(t *testing.T) {
	pages := []policy.ErrorPage{{From: 400, To: 499, Type: "text/html", Body: []byte("<h1>{status}</h1>")}, {From: 500, To: 599, Type: "text/html", Body: []byte("oops")}}
	security := []policy.HeaderEdit{{Op: policy.SetField, Name: "X-A", Value: "{scheme}"}, {Op: policy.RemoveField, Name: "X-Powered-By"}, {Op: policy.DefaultField, Name: "X-Frame-Options", Value: "DENY"}}
	r := routed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/bad") {
			http.Error(w, "stack trace", 500)
			return
		}
		echo(w, r)
	}), nil,
		policy.Route{Name: "text", Match: policy.Match{Paths: []string{"/text"}}, Response: security, Action: policy.Action{Answer: &policy.Answer{Status: 418, Type: "text/x", Body: []byte("tea")}}, Errors: pages},
		policy.Route{Name: "to", Match: policy.Match{Paths: []string{"/to/*"}}, Response: security, Action: policy.Action{Redirect: &policy.RedirectTo{Status: 307, Location: "https://b.test{path}?{query}"}}},
		policy.Route{Name: "deny", Match: policy.Match{Paths: []string{"/deny"}}, Deny: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Errors: pages, Response: security, Action: toA()},
		policy.Route{Name: "bad", Match: policy.Match{Paths: []string{"/bad"}}, Errors: pages, Intercept: true, Action: toA()},
		policy.Route{Name: "bad2", Match: policy.Match{Paths: []string{"/bad2"}}, Errors: pages, Action: toA()},
		policy.Route{Name: "echo", Match: policy.Match{Paths: []string{"/echo"}}, Response: security, Action: toA()},
	)
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		for _, tc := range []struct {
			path   string
			status int
			body   string
			header string // "Name: value" that must be there
		}{
			{"/text", 418, "tea", "Content-Type: text/x"},
			{"/text", 418, "tea", "X-A: https"},
			{"/to/x?y=z", 307, "", "Location: https://b.test/to/x?y=z"},
			{"/to/x", 307, "", "X-A: https"},
			{"/deny", 403, "<h1>403</h1>", "X-Frame-Options: DENY"},
			{"/bad", 500, "oops", "Content-Type: text/html"},
			{"/bad2", 500, "stack trace\n", "Content-Type: text/plain; charset=utf-8"},
			{"/echo", 200, "GET /echo 0", "X-A: https"},
			{"/nothing", 404, "not found\n", "Content-Type: text/plain; charset=utf-8"},
		} {
			a := ask(c, requestTo(t, "GET", site+tc.path, nil))
			name, want, _ := strings.Cut(tc.header, ": ")
			if a.status != tc.status || a.body != tc.body || a.header.Get(name) != want || a.header.Get("X-Powered-By") != "" && tc.path == "/echo" {
				t.Errorf("%s: %d %q %v", tc.path, a.status, a.body, a.header)
			}
		}
		if a := ask(c, requestTo(t, "HEAD", site+"/text", nil)); a.status != 418 || a.body != "" || a.header.Get("Content-Length") != "3" {
			t.Errorf("HEAD: %+v", a)
		}
	})
}

func TestRouteEditsRequests(t *testing.T) {
	r := routed(t, http.HandlerFunc(echo), nil, policy.Route{Action: toA(), Request: []policy.HeaderEdit{
		{Op: policy.SetField, Name: "X-Client", Value: "{client}"}, {Op: policy.RemoveField, Name: "X-Secret-*"}}})
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		a := ask(c, requestTo(t, "GET", site+"/", nil, "X-Client", "spoofed", "X-Secret-A", "1", "X-Request-ID", "mine"))
		if a.header.Get("Got-X-Client") != "127.0.0.1" || a.header["Got-X-Secret-A"] != nil {
			t.Errorf("%v", a.header)
		}
		if id := a.header.Get("Got-X-Request-Id"); id == "" || id == "mine" {
			t.Errorf("request id %q: a stranger's is not believed", id)
		}
	})
}

func TestRouteBodyLimits(t *testing.T) {
	r := routed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			w.Header().Set("Content-Length", "2000")
			w.Write(make([]byte, 2000))
		case "/stream":
			for range 10 {
				w.Write(make([]byte, 500))
				w.(http.Flusher).Flush()
			}
		default:
			echo(w, r)
		}
	}), nil, policy.Route{BodyBytes: 1000, ResponseBytes: 1000, Action: toA()})
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		if a := ask(c, requestTo(t, "POST", site+"/", strings.NewReader(strings.Repeat("a", 1000)))); a.status != 200 || a.body != "POST / 1000" {
			t.Errorf("at the limit: %+v", a)
		}
		if a := ask(c, requestTo(t, "POST", site+"/", strings.NewReader(strings.Repeat("a", 1001)))); a.status != 413 {
			t.Errorf("known to be too long: %+v", a)
		}
		if a := ask(c, requestTo(t, "POST", site+"/", io.MultiReader(strings.NewReader(strings.Repeat("a", 200000))))); a.status != 413 && a.err == nil {
			t.Errorf("turns out to be too long: %+v", a)
		}
		if a := ask(c, requestTo(t, "GET", site+"/long", nil)); a.status != 502 {
			t.Errorf("a long answer: %+v", a)
		}
		if a := ask(c, requestTo(t, "GET", site+"/stream", nil)); a.err == nil {
			t.Errorf("a long stream looks whole: %d, %d bytes", a.status, len(a.body))
		}
	})
}

func TestForwardAuth(t *testing.T) {
	auth := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.RequestURI != "/verify?x=1" || r.ContentLength > 0 || r.Header.Get("X-Forwarded-Host") != "example.org" {
			http.Error(w, "unexpected question", 500)
			return
		}
		if r.Header.Get("Cookie") != "session=ann" {
			w.Header().Set("Location", "https://login.test/?to="+r.Header.Get("X-Forwarded-Uri")+"&by="+r.Header.Get("X-Forwarded-Method"))
			w.WriteHeader(302)
			return
		}
		w.Header().Set("X-User", "ann")
		w.Header().Set("X-Other", "no")
	})
	r := routed(t, http.HandlerFunc(echo), auth, policy.Route{Action: toA(),
		ForwardAuth: &policy.ForwardAuth{Pool: "b", Path: "/verify?x=1", Copy: []string{"X-User"}}})
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		if a := ask(c, requestTo(t, "POST", site+"/a?b=c", strings.NewReader("body"))); a.status != 302 || a.header.Get("Location") != "https://login.test/?to=/a?b=c&by=POST" {
			t.Errorf("a stranger: %+v", a)
		}
		req := requestTo(t, "POST", site+"/a", strings.NewReader("body"), "Cookie", "session=ann", "X-User", "root")
		req.Header["X_user"] = []string{"root"}
		a := ask(c, req)
		if a.status != 200 || a.body != "POST /a 4" || fmt.Sprint(a.header["Got-X-User"]) != "[ann]" || a.header["Got-X_user"] != nil || a.header["Got-X-Other"] != nil {
			t.Errorf("ann: %+v", a)
		}
	})
	gone := routed(t, http.HandlerFunc(echo), nil, policy.Route{Action: toA(), ForwardAuth: &policy.ForwardAuth{Pool: "b", Path: "/"}})
	if status, _ := gone.get(false, site+"/"); status != 502 {
		t.Errorf("without the server that is asked: %d", status)
	}
}

// A caller's trace goes on with a span of ours; who brings none begins one.
func TestTraceContext(t *testing.T) {
	const theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	all := 1.0
	r := rigWith(t, http.HandlerFunc(echo), func(_ *Options, s *Settings) { s.Tracing = &all })
	plain := rigWith(t, http.HandlerFunc(echo))
	for _, d := range dialects() {
		c := d.client(r)
		got := ask(c, requestTo(t, "GET", site+"/", nil, "Traceparent", theirs, "Tracestate", "a=b")).header
		if p := got.Get("Got-Traceparent"); !strings.HasPrefix(p, theirs[:36]) || p == theirs || got.Get("Got-Tracestate") != "a=b" {
			t.Errorf("%s: %v", d.name, got)
		}
		got = ask(c, requestTo(t, "GET", site+"/", nil, "Traceparent", "nonsense", "Tracestate", "a=b")).header
		if p := got["Got-Traceparent"]; len(p) != 1 || len(p[0]) != 55 || p[0][53:] != "01" || got.Get("Got-Tracestate") != "" {
			t.Errorf("%s: %v", d.name, got)
		}
		if got = ask(d.client(plain), requestTo(t, "GET", site+"/", nil, "Traceparent", theirs)).header; got.Get("Got-Traceparent") != theirs {
			t.Errorf("%s, without tracing: %v", d.name, got)
		}
	}
	if ev := r.events.last(t, 1); ev.TraceID != theirs[3:35] || ev.ParentID != theirs[36:52] || len(ev.SpanID) != 16 || !ev.Sampled {
		t.Errorf("event %+v", ev)
	}
}

package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"edge/proxy/policy"
)

// dialect is a protocol that clients speak. Whatever edge promises, it promises
// for each of them: a limit that only one has is a hole.
type dialect struct {
	name   string
	major  int
	client func(*rig) *http.Client
}

func dialects() []dialect {
	return []dialect{
		{"HTTP/1.1", 1, func(r *rig) *http.Client { return r.client(false) }},
		{"HTTP/2", 2, func(r *rig) *http.Client { return r.client(true) }},
		{"HTTP/3", 3, (*rig).client3},
	}
}

// outcome is what one request of a case came to.
type outcome struct {
	status int
	header http.Header
	body   string
	err    error // of the request, or of reading the answer
}

func ask(c *http.Client, req *http.Request) (a outcome) {
	res, err := c.Do(req)
	if err != nil {
		a.err = err
		return a
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return outcome{res.StatusCode, res.Header, string(b), err}
}

func requestTo(t *testing.T, method, url string, body io.Reader, fields ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	return req
}

const site = "https://example.org"

// conformance are the cases, the same for every protocol. A case that wants a
// rig of its own changes the settings.
func conformance() []struct {
	name   string
	limits Limits
	run    func(t *testing.T, r *rig, c *http.Client)
} {
	type testCase = struct {
		name   string
		limits Limits
		run    func(t *testing.T, r *rig, c *http.Client)
	}
	status := func(want int, method, url string, fields ...string) func(*testing.T, *rig, *http.Client) {
		return func(t *testing.T, _ *rig, c *http.Client) {
			if a := ask(c, requestTo(t, method, url, nil, fields...)); a.status != want {
				t.Errorf("%d %v, want %d", a.status, a.err, want)
			}
		}
	}
	many := func(n int) (fields []string) {
		for i := range n {
			fields = append(fields, "X-"+strconv.Itoa(i), "b")
		}
		return fields
	}
	return []testCase{
		{name: "an ordinary request", run: func(t *testing.T, _ *rig, c *http.Client) {
			a := ask(c, requestTo(t, "GET", site+"/path?query=1", nil, "X-A", "b"))
			if a.status != 200 || a.body != "GET /path?query=1 0" || a.header.Get("X-A") != "b" {
				t.Errorf("%+v", a)
			}
		}},
		{name: "HEAD has no body", run: func(t *testing.T, _ *rig, c *http.Client) {
			if a := ask(c, requestTo(t, "HEAD", site+"/", nil)); a.status != 200 || a.body != "" || a.header.Get("Content-Length") != "8" {
				t.Errorf("%+v", a)
			}
		}},
		{name: "a body with a length", run: func(t *testing.T, _ *rig, c *http.Client) {
			if a := ask(c, requestTo(t, "POST", site+"/", strings.NewReader("12345"))); a.body != "POST / 5" {
				t.Errorf("%+v", a)
			}
		}},
		{name: "a body without a length", run: func(t *testing.T, _ *rig, c *http.Client) {
			if a := ask(c, requestTo(t, "POST", site+"/", io.MultiReader(strings.NewReader("123"), strings.NewReader("45")))); a.body != "POST / 5" {
				t.Errorf("%+v", a)
			}
		}},
		{name: "a megabyte up", run: func(t *testing.T, _ *rig, c *http.Client) {
			if a := ask(c, requestTo(t, "PUT", site+"/", bytes.NewReader(make([]byte, 1<<20)))); a.body != "PUT / 1048576" {
				t.Errorf("%+v", a)
			}
		}},
		{name: "a megabyte down", run: func(t *testing.T, _ *rig, c *http.Client) {
			if a := ask(c, requestTo(t, "GET", site+"/large", nil)); len(a.body) != 1<<20 || a.err != nil {
				t.Errorf("%d bytes, %v", len(a.body), a.err)
			}
		}},
		{name: "several cookies arrive as one field", run: func(t *testing.T, _ *rig, c *http.Client) {
			if a := ask(c, requestTo(t, "GET", site+"/", nil, "Cookie", "a=1; b=2")); a.header.Get("X-Cookie") != "[a=1; b=2]" {
				t.Errorf("%v", a.header["X-Cookie"])
			}
		}},
		{name: "a stranger's X-Forwarded-For is not believed", run: func(t *testing.T, _ *rig, c *http.Client) {
			if a := ask(c, requestTo(t, "GET", site+"/", nil, "X-Forwarded-For", "203.0.113.1")); a.header.Get("X-For") != "[127.0.0.1]" {
				t.Errorf("%v", a.header["X-For"])
			}
		}},
		{name: "underscores are dropped", run: func(t *testing.T, _ *rig, c *http.Client) {
			req := requestTo(t, "GET", site+"/", nil)
			req.Header["X_a"] = []string{"b"}
			if a := ask(c, req); a.status != 200 || a.header.Get("X-Names") == "" || strings.Contains(strings.ToLower(a.header.Get("X-Names")), "x_a") {
				t.Errorf("%d %v", a.status, a.header["X-Names"])
			}
		}},
		{name: "trailers both ways", run: func(t *testing.T, _ *rig, c *http.Client) {
			req := requestTo(t, "POST", site+"/trailers", io.MultiReader(strings.NewReader("x")))
			req.Trailer = http.Header{"X-Sum": {"1"}}
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			io.Copy(io.Discard, res.Body)
			if res.Trailer.Get("X-Back") != "1" {
				t.Errorf("trailer %v", res.Trailer)
			}
		}},
		{name: "an answer that comes in parts is passed on in parts", run: func(t *testing.T, _ *rig, c *http.Client) {
			res, err := c.Get(site + "/parts")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			b := make([]byte, 5)
			if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != "first" {
				t.Fatalf("%q %v", b, err)
			}
			ask(c, requestTo(t, "GET", site+"/go-on", nil))
			if rest, err := io.ReadAll(res.Body); err != nil || string(rest) != "second" {
				t.Errorf("%q %v", rest, err)
			}
		}},
		{name: "who leaves cancels the request upstream", run: func(t *testing.T, r *rig, c *http.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			req := requestTo(t, "GET", site+"/hang", nil).WithContext(ctx)
			time.AfterFunc(50*time.Millisecond, cancel)
			if a := ask(c, req); !errors.Is(a.err, context.Canceled) {
				t.Errorf("%+v", a)
			}
			if ev := r.events.last(t, 1); ev.Status != 499 {
				t.Errorf("status %d in the event, want 499", ev.Status)
			}
		}},
		{name: "TRACE", run: status(405, "TRACE", site+"/")},
		{name: "an unknown host", run: status(421, "GET", "https://other.example.org/")},
		{name: "an encoded NUL", run: status(400, "GET", site+"/a%00b")},
		{name: "a backslash", run: func(t *testing.T, _ *rig, c *http.Client) {
			req := requestTo(t, "GET", site+"/", nil)
			req.URL.Opaque = `//example.org/a\b`
			if a := ask(c, req); a.status != 400 {
				t.Errorf("%d %v", a.status, a.err)
			}
		}},
		{name: "a target that is too long", limits: Limits{URIBytes: 1000}, run: status(414, "GET", site+"/"+strings.Repeat("a", 2000))},
		{name: "too many fields", limits: Limits{Headers: 20}, run: status(431, "GET", site+"/", many(40)...)},
		{name: "too many bytes of fields", limits: Limits{HeaderBytes: 8 << 10}, run: status(431, "GET", site+"/", "X-A", strings.Repeat("a", 12<<10))},
		{name: "a body that comes too slowly", limits: Limits{BodyRate: 1000, BodyGrace: 100 * time.Millisecond}, run: func(t *testing.T, r *rig, c *http.Client) {
			pr, pw := io.Pipe()
			defer pw.Close()
			go pw.Write([]byte("a"))
			start := time.Now()
			a := ask(c, requestTo(t, "POST", site+"/", pr))
			if a.status != 408 && a.err == nil || time.Since(start) > 5*time.Second {
				t.Errorf("%+v after %v", a, time.Since(start))
			}
			if ev := r.events.last(t, 1); ev.Status != 408 {
				t.Errorf("status %d in the event", ev.Status)
			}
		}},
		{name: "a client that takes nothing", limits: Limits{WriteStall: 150 * time.Millisecond}, run: func(t *testing.T, r *rig, c *http.Client) {
			res, err := c.Get(site + "/endless")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if ev := r.events.last(t, 1); ev.Err == nil {
				t.Errorf("event %+v", ev)
			}
			if _, err := io.Copy(io.Discard, res.Body); err == nil {
				t.Error("a cut answer looks whole")
			}
		}},
	}
}

func TestConformance(t *testing.T) {
	for _, d := range dialects() {
		for _, tc := range conformance() {
			t.Run(d.name+"/"+tc.name, func(t *testing.T) {
				t.Parallel()
				r := rigWith(t, newConformanceBackend(), limited(tc.limits), func(_ *Options, s *Settings) {
					s.Table = tableOf(t, policy.Site{Name: "example.org", Hosts: []string{"example.org"}, TLS: true, Pool: "a"})
				})
				tc.run(t, r, d.client(r))
			})
		}
	}
}

// newConformanceBackend tells in its answer what it saw of the request.
func newConformanceBackend() http.Handler {
	goOn := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		h := w.Header()
		h.Set("X-A", r.Header.Get("X-A"))
		h.Set("X-Cookie", "["+strings.Join(r.Header["Cookie"], "|")+"]")
		h.Set("X-For", "["+strings.Join(r.Header["X-Forwarded-For"], "|")+"]")
		for name := range r.Header {
			h.Set("X-Names", h.Get("X-Names")+" "+name)
		}
		text := r.Method + " " + r.RequestURI + " " + strconv.FormatInt(n, 10)
		h.Set("Content-Length", strconv.Itoa(len(text)))
		io.WriteString(w, text)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20)) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for b := make([]byte, 64<<10); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/parts", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first")
		http.NewResponseController(w).Flush()
		select {
		case <-goOn:
		case <-r.Context().Done():
		}
		io.WriteString(w, "second")
	})
	mux.HandleFunc("/go-on", func(http.ResponseWriter, *http.Request) { close(goOn) })
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Back")
		io.WriteString(w, "body")
		w.Header().Set("X-Back", r.Trailer.Get("X-Sum"))
	})
	return mux
}

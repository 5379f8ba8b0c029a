package proxy

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

var h2get = []string{":method", "GET", ":path", "/", ":scheme", "https", ":authority", "example.org"}

// h2with is h2get with changes: fields of the same name are replaced, others added.
func h2with(changes ...string) []string {
	out := slices.Clone(h2get)
	for i := 0; i < len(changes); i += 2 {
		at := -1
		for j := 0; j < len(h2get); j += 2 {
			if h2get[j] == changes[i] {
				at = j
			}
		}
		if at >= 0 {
			out[at+1] = changes[i+1]
			continue
		}
		out = append(out, changes[i], changes[i+1])
	}
	return out
}

func h2many(n, size int) []string {
	var kv []string
	for i := range n {
		kv = append(kv, fmt.Sprintf("a-%d", i), strings.Repeat("b", size))
	}
	return kv
}

// refusedOnHTTP2 are requests as lists of fields, with what they get: a status,
// or "RST" for an error of the stream.
var refusedOnHTTP2 = []struct {
	class string
	send  []string
	want  string
}{
	{"connection", h2with("connection", "close"), "RST"},
	{"keep-alive", h2with("keep-alive", "timeout=5"), "RST"},
	{"proxy-connection", h2with("proxy-connection", "close"), "RST"},
	{"transfer-encoding", h2with("transfer-encoding", "chunked"), "RST"},
	{"upgrade", h2with("upgrade", "h2c"), "RST"},
	{"te: gzip", h2with("te", "gzip"), "RST"},
	{"te: more than trailers", h2with("te", "trailers, gzip"), "RST"},
	{"upper case in a name", h2with("X-A", "b"), "RST"},
	{"space in a name", h2with("a b", "c"), "RST"},
	{"colon in a name", h2with("a:b", "c"), "RST"},
	{"empty name", h2with("", "c"), "RST"},
	{"CR and LF in a value", h2with("a", "b\r\nc: d"), "RST"},
	{"LF in a value", h2with("a", "b\nc"), "RST"},
	{"NUL in a value", h2with("a", "b\x00"), "RST"},
	{"DEL in a value", h2with("a", "b\x7f"), "RST"},
	{"pseudo-header last", append([]string{"a", "b"}, h2get...), "RST"},
	{"pseudo-header twice", append(slices.Clone(h2get), ":path", "/b"), "RST"},
	{"pseudo-header unknown", append([]string{":a", "b"}, h2get...), "RST"},
	{"pseudo-header of answers", append([]string{":status", "200"}, h2get...), "RST"},
	{"no :method", h2get[2:], "RST"},
	{"no :path", append(slices.Clone(h2get[:2]), h2get[4:]...), "RST"},
	{"no :scheme", append(slices.Clone(h2get[:4]), h2get[6:]...), "RST"},
	{"no :authority", h2get[:6], "400"},
	{":authority empty", h2with(":authority", ""), "400"},
	{":authority with user-info", h2with(":authority", "a@example.org"), "RST"},
	{":authority with a path", h2with(":authority", "example.org/a"), "400"},
	{":authority with a space", h2with(":authority", "example.org a"), "400"},
	{":authority not ASCII", h2with(":authority", "ex\xc3\xa4mple.org"), "400"},
	{"host differs from :authority", h2with("host", "evil.example"), "400"},
	{"two hosts", append(h2with("host", "example.org"), "host", "example.org"), "400"},
	{"content-length: duplicate, equal", append(h2with("content-length", "0"), "content-length", "0"), "400"},
	{"content-length: duplicate, different", append(h2with("content-length", "0"), "content-length", "1"), "400"},
	{"content-length: list", h2with("content-length", "0, 0"), "400"},
	{"content-length: plus", h2with("content-length", "+0"), "400"},
	{"content-length: leading zero", h2with("content-length", "00"), "400"},
	{"content-length: empty", h2with("content-length", ""), "400"},
	{"content-length: overflow", h2with("content-length", "99999999999999999999"), "400"},
	{"content-length: without a body", h2with("content-length", "3"), "400"},
	{"target: fragment", h2with(":path", "/#a"), "400"},
	{"target: backslash", h2with(":path", "/a\\b"), "400"},
	{"target: space", h2with(":path", "/a b"), "400"},
	{"target: tab", h2with(":path", "/a\tb"), "RST"},
	{"target: encoded NUL", h2with(":path", "/a%00"), "400"},
	{"target: bad escape", h2with(":path", "/%zz"), "RST"},
	{"target: non-ASCII", h2with(":path", "/\xc3\xa4"), "400"},
	{"target: absolute", h2with(":path", "http://evil.example/"), "400"},
	{"target: relative", h2with(":path", "a"), "RST"},
	{"target: star with GET", h2with(":path", "*"), "400"},
	{"scheme: not http or https", h2with(":scheme", "ftp"), "RST"},
	{"method: CONNECT", []string{":method", "CONNECT", ":authority", "example.org:443"}, "405"},
	{"method: TRACE", h2with(":method", "TRACE"), "405"},
	{"method: no token", h2with(":method", "GE(T"), "400"},
	{"method: a request line", h2with(":method", "GET /admin HTTP/1.1"), "400"},
	{"method: empty", h2with(":method", ""), "RST"},
	{"limit: target", h2with(":path", "/"+strings.Repeat("a", 9<<10)), "414"},
	{"limit: fields", h2with(h2many(101, 1)...), "431"},
	{"limit: head bytes", h2with(h2many(33, 1<<10)...), "431"},
}

func TestStrictHTTP2(t *testing.T) {
	b := newCountingBackend(t)
	r := rigWith(t, nil, func(_ *Options, s *Settings) { s.Table, s.Pools = everythingTo(t, b.Addr().String()) })
	for _, tc := range refusedOnHTTP2 {
		t.Run(tc.class, func(t *testing.T) {
			before := b.bytes.Load()
			h := r.h2()
			h.headers(1, true, tc.send...)
			got, _ := h.answer(1)
			if !strings.HasPrefix(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
			if sent := b.bytes.Load() - before; sent != 0 {
				t.Errorf("%d bytes reached the backend", sent)
			}
		})
	}
}

// What is odd on HTTP/2, and yet allowed or cured.
func TestAcceptedHTTP2(t *testing.T) {
	b := newCountingBackend(t)
	r := rigWith(t, nil, func(_ *Options, s *Settings) { s.Table, s.Pools = everythingTo(t, b.Addr().String()) })
	for _, tc := range []struct {
		class  string
		send   []string
		absent string // field that must not reach the backend
	}{
		{"plain", h2get, ""},
		{"te: trailers", h2with("te", "trailers"), ""},
		{"host as :authority", h2with("host", "example.org"), ""},
		{"host in other case", h2with("host", "Example.ORG"), ""},
		{"underscore in a name", h2with("x_forwarded_for", "1"), "X_forwarded_for"},
		{"proxy-authorization", h2with("proxy-authorization", "x"), "Proxy-Authorization"},
		{"http2-settings", h2with("http2-settings", "AAMAAABkAAQAAP__"), "Http2-Settings"},
		{"obs-text in a value", h2with("a", "\xe9"), ""},
	} {
		t.Run(tc.class, func(t *testing.T) {
			h := r.h2()
			h.headers(1, true, tc.send...)
			if got, body := h.answer(1); got != "200" || body != "backend" {
				t.Fatalf("%q %q", got, body)
			}
			if q := b.seen.Load(); tc.absent != "" && q.Header[tc.absent] != nil {
				t.Errorf("%s reached the backend", tc.absent)
			}
		})
	}
}

// A trailer cannot say what only a header may.
func TestForbiddenTrailersOnHTTP2(t *testing.T) {
	got := make(chan http.Header, 1)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = drained(r)
		got <- r.Trailer
	}))
	h := r.h2()
	h.headers(1, false, ":method", "POST", ":path", "/", ":scheme", "https", ":authority", "example.org", "trailer", "x-sum, x-forwarded-for, cookie")
	h.fr.WriteData(1, false, []byte("abc"))
	h.headers(1, true, "x-sum", "6", "x-forwarded-for", "1.2.3.4", "cookie", "a=b")
	if trailer := <-got; len(trailer) != 1 || trailer.Get("X-Sum") != "6" {
		t.Errorf("the backend got %v", trailer)
	}
}

// A fault in a body whose head has gone through resets the stream, and the
// backend never sees the body's end.
func TestFaultLaterInBodyHTTP2(t *testing.T) {
	began, result := make(chan bool), make(chan error, 1)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 3))
		began <- true
		result <- drained(r)
	}))
	post := []string{":method", "POST", ":path", "/", ":scheme", "https", ":authority", "example.org"}
	for name, tc := range map[string]struct {
		length string
		fault  func(*h2conn)
	}{
		"more than content-length": {"5", func(h *h2conn) { h.fr.WriteData(1, true, []byte("defg")) }},
		"less than content-length": {"5", func(h *h2conn) { h.fr.WriteData(1, true, []byte("d")) }},
		"forbidden trailer":        {"", func(h *h2conn) { h.headers(1, true, "transfer-encoding", "chunked") }},
		"pseudo-header in trailer": {"", func(h *h2conn) { h.headers(1, true, ":path", "/") }},
		"trailer without an end":   {"", func(h *h2conn) { h.headers(1, false, "a", "b") }},
		"reset":                    {"", func(h *h2conn) { h.fr.WriteRSTStream(1, http2.ErrCodeCancel) }},
	} {
		t.Run(name, func(t *testing.T) {
			h := r.h2()
			fields := post
			if tc.length != "" {
				fields = append(slices.Clone(post), "content-length", tc.length)
			}
			h.headers(1, false, fields...)
			h.fr.WriteData(1, false, []byte("abc"))
			<-began
			tc.fault(h)
			if err := <-result; err == nil {
				t.Error("the backend saw a complete body")
			}
		})
	}
}

func drained(r *http.Request) error {
	_, err := io.Copy(io.Discard, r.Body)
	return err
}

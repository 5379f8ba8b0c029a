package proxy

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
)

// What HTTP/2 refuses, HTTP/3 refuses, and nothing of it reaches the backend. Where one
// has an answer and the other resets the stream, both are right.
func TestStrictHTTP3(t *testing.T) {
	b := newCountingBackend(t)
	r := rigWith(t, nil, func(_ *Options, s *Settings) { s.Table, s.Pools = everythingTo(t, b.Addr().String()) })
	for _, tc := range refusedOnHTTP2 {
		t.Run(tc.class, func(t *testing.T) {
			before := b.bytes.Load()
			got, _ := answer3(r.h3().stream(true, fields3(tc.send...)))
			if !strings.HasPrefix(got, "RST 0x10e") && got[0] != '4' || tc.want[0] == '4' && got[0] == '4' && got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
			if sent := b.bytes.Load() - before; sent != 0 {
				t.Errorf("%d bytes reached the backend", sent)
			}
		})
	}
}

// Streams and frames that RFC 9114 does not allow.
func TestStrictFramesHTTP3(t *testing.T) {
	r := rigWith(t, hello)
	get := fields3(h2get...)
	post := fields3(h2with(":method", "POST")...)
	data := frame3(h3Data, []byte("abc"))
	long := bytes.Repeat([]byte("x"), 100<<10)
	for class, tc := range map[string]struct {
		send [][]byte
		want string
	}{
		"plain":                         {[][]byte{get}, "200"},
		"unknown frames around":         {[][]byte{frame3(0x21, []byte("x")), post, frame3(0x40, nil), data, frame3(0x21, []byte("y"))}, "200"},
		"DATA first":                    {[][]byte{data}, "CLOSE 0x105"},
		"SETTINGS on a request":         {[][]byte{frame3(h3Settings, nil), get}, "CLOSE 0x105"},
		"GOAWAY on a request":           {[][]byte{frame3(h3GoAway, []byte{0}), get}, "CLOSE 0x105"},
		"PUSH_PROMISE":                  {[][]byte{frame3(0x5, nil), get}, "CLOSE 0x105"},
		"a frame of HTTP/2":             {[][]byte{frame3(0x8, nil), get}, "CLOSE 0x105"},
		"a frame of HTTP/2 in the body": {[][]byte{post, frame3(0x6, nil)}, "CLOSE 0x105"},
		"too much of unknown types":     {[][]byte{frame3(0x21, long), get}, "RST 0x107"},
		"nothing":                       {nil, "RST 0x10d"},
		"half a HEADERS frame":          {[][]byte{get[:len(get)-2]}, "RST 0x10d"},
		"a head that is too large":      {[][]byte{{h3Headers, 0x80, 0x10, 0, 0}}, "431"},
		"a section that is no QPACK":    {[][]byte{frame3(h3Headers, []byte{0, 0, 0xff, 0xff, 0xff, 0xff})}, "CLOSE 0x200"},
		"the dynamic table":             {[][]byte{frame3(h3Headers, []byte{2, 0, 0x80})}, "CLOSE 0x200"},
		"a frame after the trailers":    {[][]byte{post, data, fields3("a", "b"), data}, "CLOSE 0x105"},
		"a pseudo-header in trailers":   {[][]byte{post, data, fields3(":path", "/")}, "RST 0x10e"},
		"a forbidden field in trailers": {[][]byte{post, data, fields3("connection", "close")}, "RST 0x10e"},
		"half a DATA frame":             {[][]byte{post, data[:3]}, "RST 0x102"},
		"more than Content-Length":      {[][]byte{fields3(append(h2with(":method", "POST"), "content-length", "2")...), data}, "400"},
		"less than Content-Length":      {[][]byte{fields3(append(h2with(":method", "POST"), "content-length", "4")...), data}, "400"},
		"extended CONNECT of another":   {[][]byte{fields3(h2with(":method", "CONNECT", ":protocol", "connect-udp")...)}, "405"},
		":protocol with GET":            {[][]byte{fields3(append([]string{":protocol", "websocket"}, h2get...)...)}, "RST 0x10e"},
	} {
		t.Run(class, func(t *testing.T) {
			if got, _ := answer3(r.h3().stream(true, tc.send...)); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// The streams beside requests.
func TestStrictStreamsHTTP3(t *testing.T) {
	r := rigWith(t, hello)
	settings := frame3(h3Settings, nil)
	for class, tc := range map[string]struct {
		run  func(h *h3client)
		want string
	}{
		"plain":          {func(h *h3client) { h.uni(h3StreamControl, settings) }, "200"},
		"unknown stream": {func(h *h3client) { h.uni(h3StreamControl, settings); h.uni(0x21, []byte("x")) }, "200"},
		"streams of QPACK": {func(h *h3client) {
			h.uni(h3StreamControl, settings)
			h.uni(h3StreamEncoder, nil)
			h.uni(h3StreamDecoder, nil)
		}, "200"},
		"two control streams":     {func(h *h3client) { h.uni(h3StreamControl, settings); h.uni(h3StreamControl, settings) }, "CLOSE 0x103"},
		"two encoder streams":     {func(h *h3client) { h.uni(h3StreamEncoder, nil); h.uni(h3StreamEncoder, nil) }, "CLOSE 0x103"},
		"a push stream":           {func(h *h3client) { h.uni(h3StreamPush, nil) }, "CLOSE 0x103"},
		"no SETTINGS":             {func(h *h3client) { h.uni(h3StreamControl, frame3(h3GoAway, []byte{0})) }, "CLOSE 0x10a"},
		"SETTINGS twice":          {func(h *h3client) { h.uni(h3StreamControl, append(settings, settings...)) }, "CLOSE 0x105"},
		"a setting twice":         {func(h *h3client) { h.uni(h3StreamControl, frame3(h3Settings, []byte{6, 1, 6, 1})) }, "CLOSE 0x109"},
		"a setting of HTTP/2":     {func(h *h3client) { h.uni(h3StreamControl, frame3(h3Settings, []byte{2, 0})) }, "CLOSE 0x109"},
		"a setting cut short":     {func(h *h3client) { h.uni(h3StreamControl, frame3(h3Settings, []byte{6})) }, "CLOSE 0x106"},
		"DATA on control":         {func(h *h3client) { h.uni(h3StreamControl, append(settings, frame3(h3Data, nil)...)) }, "CLOSE 0x105"},
		"a control stream closed": {func(h *h3client) { h.uni(h3StreamControl, settings).Close() }, "CLOSE 0x104"},
		"endless control":         {func(h *h3client) { h.uni(h3StreamControl, append(settings, bytes.Repeat([]byte{0x21, 0}, 2000)...)) }, "CLOSE 0x107"},
	} {
		t.Run(class, func(t *testing.T) {
			h := &h3client{t, r.dial3(nil)}
			waiting := h.stream(false) // opened first: the connection may end at once
			tc.run(h)
			if tc.want == "200" {
				if got, body := answer3(h.stream(true, fields3(h2get...))); got != "200" || body != "hello" {
					t.Errorf("%q %q", got, body)
				}
				return
			}
			if got, _ := answer3(waiting); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// What is odd on HTTP/3, and yet allowed or cured.
func TestAcceptedHTTP3(t *testing.T) {
	b := newCountingBackend(t)
	r := rigWith(t, nil, func(_ *Options, s *Settings) { s.Table, s.Pools = everythingTo(t, b.Addr().String()) })
	noAuthority := append(slices.Clone(h2get[:6]), "host", "example.org")
	for _, tc := range []struct {
		class         string
		send          []string
		field, absent string
	}{
		{class: "plain", send: h2get},
		{class: "te: trailers", send: h2with("te", "trailers"), field: "Te: trailers"},
		{class: "host as :authority", send: h2with("host", "example.org")},
		{class: "host in place of :authority", send: noAuthority},
		{class: "cookies in parts", send: append(h2with("cookie", "a=1"), "cookie", "b=2"), field: "Cookie: a=1; b=2"},
		{class: "underscore in a name", send: h2with("x_forwarded_for", "1"), absent: "X_forwarded_for"},
		{class: "content-length of nothing", send: h2with("content-length", "0")},
	} {
		t.Run(tc.class, func(t *testing.T) {
			if got, body := answer3(r.h3().stream(true, fields3(tc.send...))); got != "200" || body != "backend" {
				t.Fatalf("%q %q", got, body)
			}
			q := b.seen.Load()
			if name, value, _ := strings.Cut(tc.field, ": "); name != "" && (len(q.Header[name]) != 1 || q.Header[name][0] != value) {
				t.Errorf("%v, want %s", q.Header[name], tc.field)
			}
			if tc.absent != "" && q.Header[tc.absent] != nil || q.Host != "example.org" || len(q.TransferEncoding) > 0 {
				t.Errorf("%+v reached the backend", q)
			}
		})
	}
}

// A trailer cannot say what only a header may.
func TestForbiddenTrailersOnHTTP3(t *testing.T) {
	got := make(chan http.Header, 1)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = drained(r)
		got <- r.Trailer
	}))
	r.h3().stream(true, fields3(h2with(":method", "POST", "trailer", "x-sum, x-forwarded-for, cookie")...), frame3(h3Data, []byte("abc")),
		fields3("x-sum", "6", "x-forwarded-for", "1.2.3.4", "cookie", "a=b", "x-more", "1"))
	if trailer := <-got; len(trailer) != 1 || trailer.Get("X-Sum") != "6" {
		t.Errorf("the backend got %v", trailer)
	}
}

// After a fault in a body whose head has gone through, the backend never sees the body's end.
func TestFaultLaterInBodyHTTP3(t *testing.T) {
	began, result := make(chan bool), make(chan error, 1)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 3))
		began <- true
		result <- drained(r)
	}))
	post := h2with(":method", "POST")
	for name, tc := range map[string]struct {
		length string
		fault  func(*quic.Stream)
	}{
		"more than content-length": {"5", func(s *quic.Stream) { s.Write(frame3(h3Data, []byte("defg"))); s.Close() }},
		"less than content-length": {"5", func(s *quic.Stream) { s.Write(frame3(h3Data, []byte("d"))); s.Close() }},
		"forbidden trailer":        {"", func(s *quic.Stream) { s.Write(fields3("transfer-encoding", "chunked")); s.Close() }},
		"pseudo-header in trailer": {"", func(s *quic.Stream) { s.Write(fields3(":path", "/")); s.Close() }},
		"half a frame":             {"", func(s *quic.Stream) { s.Write([]byte{h3Data, 10, 'a'}); s.Close() }},
		"a frame of HTTP/2":        {"", func(s *quic.Stream) { s.Write(frame3(0x6, nil)) }},
		"reset":                    {"", func(s *quic.Stream) { s.CancelWrite(h3RequestCancelled) }},
		"reset and stop":           {"", func(s *quic.Stream) { s.CancelWrite(h3RequestCancelled); s.CancelRead(h3RequestCancelled) }},
	} {
		t.Run(name, func(t *testing.T) {
			fields := post
			if tc.length != "" {
				fields = append(slices.Clone(post), "content-length", tc.length)
			}
			s := r.h3().stream(false, fields3(fields...), frame3(h3Data, []byte("abc")))
			<-began
			tc.fault(s)
			if err := <-result; err == nil {
				t.Error("the backend saw a complete body")
			}
		})
	}
}

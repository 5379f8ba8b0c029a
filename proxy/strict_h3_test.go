package proxy

import (
	"bytes"
	"strings"
	"testing"
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
			tc.run(h)
			if tc.want == "200" {
				if got, body := answer3(h.stream(true, fields3(h2get...))); got != "200" || body != "hello" {
					t.Errorf("%q %q", got, body)
				}
				return
			}
			if got, _ := answer3(h.stream(false)); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

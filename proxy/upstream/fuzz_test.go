package upstream

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"edge/proxy/policy"
)

// FuzzAnswer parses answers from the wire. What is accepted must mean the same
// to net/http, an independent reader: status, fields, body and whether it is whole.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10000000000000000\r\n",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nto the end",
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 304\r\nContent-Length: 9\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		f.Add(s, "GET")
		f.Add(s, "HEAD")
	}
	f.Fuzz(func(t *testing.T, raw, method string) {
		if method != "GET" && method != "HEAD" {
			method = "GET"
		}
		h, body, trailer, whole, ok := parseAnswer(raw, method)
		if !ok || h.status < 200 {
			return
		}
		res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("accepted what net/http refuses: %v\n%q", err, raw)
		}
		defer res.Body.Close()
		if res.StatusCode != h.status {
			t.Errorf("status %d, net/http %d: %q", h.status, res.StatusCode, raw)
		}
		theirs, err := io.ReadAll(res.Body)
		if whole && (err != nil || !bytes.Equal(theirs, body)) {
			t.Errorf("body %q, net/http %q, %v: %q", body, theirs, err, raw)
		}
		for _, f := range append(h.fields, trailer...) {
			if strings.ContainsAny(f.Name, " \t\r\n:\x00") || strings.ContainsAny(f.Value, "\r\n\x00") {
				t.Errorf("field %q %q: %q", f.Name, f.Value, raw)
			}
		}
	})
}

// parseAnswer runs the reader of a connection over raw bytes.
func parseAnswer(raw, method string) (h head, b []byte, trailer []policy.Field, whole, ok bool) {
	p := New(Options{Scheme: "http", Address: "192.0.2.1:80"})
	c := &conn{p: p, in: input{r: strings.NewReader(raw), buf: make([]byte, 64), limit: 4 << 10}}
	c.body = body{c: c, ctx: context.Background(), watched: true}
	h, err := c.in.head(nil)
	if err != nil {
		return h, nil, nil, false, false
	}
	length, chunked, err := h.framing(method)
	if err != nil {
		return h, nil, nil, false, false
	}
	if h.bodiless(method) {
		length = 0
	}
	c.body.start(length, chunked, h.keepAlive)
	b, err = io.ReadAll(&c.body)
	return h, b, c.body.trailer, err == nil, true
}

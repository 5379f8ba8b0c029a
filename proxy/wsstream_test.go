package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// echoWebSocket accepts WebSockets on HTTP/1.1, as RFC 6455 wants it, and sends
// back what comes. At the client's end it says goodbye.
func echoWebSocket(t testing.TB, accept func(key string) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		key := r.Header.Get("Sec-WebSocket-Key")
		if r.Method != "GET" || r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" || len(key) != 24 ||
			r.Header.Get("Sec-WebSocket-Version") != "13" || r.Header[":protocol"] != nil || r.Host != "example.org" {
			t.Errorf("%s %s %v", r.Method, r.Host, r.Header)
		}
		nc, br, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\n"+
			"Sec-WebSocket-Accept: "+accept(key)+"\r\n\r\n")
		for {
			line, err := br.ReadString('\n')
			if _, werr := io.WriteString(nc, line); err != nil || werr != nil {
				io.WriteString(nc, "bye")
				return
			}
		}
	})
}

// wsClient is an open stream.
type wsClient struct {
	io.ReadWriter
	close  func() error // of the client's direction
	status string
	header http.Header
}

var wsProtocols = map[string]func(*rig, string) *wsClient{"h2": (*rig).webSocket2, "h3": (*rig).webSocket3}

func (r *rig) webSocket3(path string) *wsClient {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	r.t.Cleanup(cancel)
	cc := r.transport3().NewClientConn(r.dial3(nil))
	select {
	case <-cc.ReceivedSettings():
	case <-ctx.Done():
		r.t.Fatal("no SETTINGS")
	}
	if !cc.Settings().EnableExtendedConnect {
		r.t.Fatal("extended CONNECT is not announced")
	}
	s, err := cc.OpenRequestStream(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(ctx, "CONNECT", "https://example.org"+path, nil)
	req.Proto, req.Header = "websocket", http.Header{"Sec-Websocket-Version": {"13"}}
	if err := s.SendRequestHeader(req); err != nil {
		r.t.Fatal(err)
	}
	res, err := s.ReadResponse()
	if err != nil {
		r.t.Fatal(err)
	}
	return &wsClient{s, s.Close, res.Status[:3], res.Header}
}

func (r *rig) webSocket2(path string) *wsClient {
	r.t.Helper()
	h := r.h2(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	h.fr.WriteWindowUpdate(0, 1<<20)
	announced := false
	h.until(func(f http2.Frame) bool {
		s, ok := f.(*http2.SettingsFrame)
		if ok {
			v, _ := s.Value(http2.SettingEnableConnectProtocol)
			announced = v == 1
		}
		return ok
	})
	if !announced {
		r.t.Fatal("extended CONNECT is not announced")
	}
	h.fr.WriteSettingsAck()
	h.headers(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", path, ":authority", "example.org", "sec-websocket-version", "13")
	c := &wsClient{header: http.Header{}}
	h.until(func(f http2.Frame) bool {
		m, ok := f.(*http2.MetaHeadersFrame)
		if ok {
			c.status = m.PseudoValue("status")
			for _, f := range m.RegularFields() {
				c.header.Add(f.Name, f.Value)
			}
		}
		return ok
	})
	s := &h2stream{h: h}
	c.ReadWriter, c.close = s, func() error { return h.fr.WriteData(1, true, nil) }
	return c
}

// h2stream is stream 1 of a connection by hand.
type h2stream struct {
	h   *h2conn
	got []byte
	end bool
}

func (s *h2stream) Write(p []byte) (n int, err error) {
	for part := range slices.Chunk(p, 16<<10) {
		if err = s.h.fr.WriteData(1, false, part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

func (s *h2stream) Read(p []byte) (int, error) {
	for len(s.got) == 0 {
		if s.end {
			return 0, io.EOF
		}
		f, err := s.h.fr.ReadFrame()
		if err != nil {
			return 0, err
		}
		switch f := f.(type) {
		case *http2.DataFrame:
			s.got, s.end = slices.Clone(f.Data()), f.StreamEnded()
		case *http2.RSTStreamFrame:
			return 0, fmt.Errorf("RST %v", f.ErrCode)
		}
	}
	n := copy(p, s.got)
	s.got = s.got[n:]
	return n, nil
}

// RFC 8441 and RFC 9220: a WebSocket on a stream reaches a backend that knows HTTP/1.1 alone.
func TestWebSocketOnStreams(t *testing.T) {
	for name, open := range wsProtocols {
		t.Run(name, func(t *testing.T) {
			r := rigWith(t, echoWebSocket(t, acceptOf), overHTTP3)
			c := open(r, "/")
			if c.status != "200" || c.header.Get("Sec-WebSocket-Protocol") != "chat" || c.header.Get("Sec-WebSocket-Accept") != "" || c.header.Get("Upgrade") != "" {
				t.Fatalf("%s %v", c.status, c.header)
			}
			if n := r.Tunnels(); n != 1 {
				t.Errorf("%d tunnels", n)
			}
			br := bufio.NewReader(c)
			for _, line := range []string{"one\n", strings.Repeat("x", 100<<10) + "\n"} {
				written := make(chan error, 1)
				go func() { _, err := io.WriteString(c, line); written <- err }()
				if got, err := br.ReadString('\n'); err != nil || got != line {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				if err := <-written; err != nil {
					t.Fatal(err)
				}
			}
			if err := c.close(); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(br); err != nil || string(rest) != "bye" {
				t.Errorf("at the end: %q, %v", rest, err)
			}
			ev := r.events.last(t, 1)
			if ev.Status != 200 || ev.BytesIn != 100<<10+5 || ev.BytesOut != 100<<10+8 || ev.Method != "CONNECT" {
				t.Errorf("event %+v", ev)
			}
			eventually(t, "no tunnel is left", func() bool { return r.Tunnels() == 0 })
		})
	}
}

// What is set while the process starts is not left to programs that it starts.
func TestNoSettingIsLeft(t *testing.T) {
	if v := os.Getenv("GODEBUG"); strings.Contains(v, "http2xconnect") {
		t.Errorf("GODEBUG=%s", v)
	}
}

// What a backend refuses is refused, and what is no WebSocket is none.
func TestWebSocketOnStreamsRefused(t *testing.T) {
	for name, open := range wsProtocols {
		for path, want := range map[string]string{"/no": "403", "/": "502"} {
			r := rigWith(t, echoWebSocket(t, func(string) string { return "wrong" }), overHTTP3)
			if c := open(r, path); c.status != want {
				t.Errorf("%s %s: %s, want %s", name, path, c.status, want)
			}
		}
	}
}

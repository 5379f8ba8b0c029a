package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

func limited(l Limits) func(*Options, *Settings) {
	return func(_ *Options, s *Settings) { s.Limits = l }
}

// dripping sends s in pieces with a pause after each, until the server closes.
func dripping(c net.Conn, s string, piece int, pause time.Duration) {
	for len(s) > 0 {
		n := min(piece, len(s))
		if _, err := io.WriteString(c, s[:n]); err != nil {
			return
		}
		s = s[n:]
		time.Sleep(pause)
	}
}

func TestSlowHead(t *testing.T) {
	r := rigWith(t, hello, limited(Limits{HeaderRead: 100 * time.Millisecond}))
	c := r.dial()
	go dripping(c, get+"\r\n", 1, 0)
	if res, body := readResponse(t, bufio.NewReader(c), "GET"); res.StatusCode != 200 || body != "hello" {
		t.Errorf("byte by byte, in time: %s %q", res.Status, body)
	}
	c = r.dial()
	go dripping(c, get+"\r\n", 1, 10*time.Millisecond)
	start := time.Now()
	b, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(b), "HTTP/1.1 408 ") {
		t.Errorf("byte by byte, too slow: %q", b)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestSlowBody(t *testing.T) {
	l := Limits{BodyRate: 1000, BodyGrace: 100 * time.Millisecond}
	gone := make(chan error, 4)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		gone <- err
		fmt.Fprint(w, n)
	}), limited(l))

	c := r.dial()
	// Long enough that the upstream is asked before the body is complete.
	io.WriteString(c, post+"Content-Length: 100000\r\n\r\n")
	go dripping(c, strings.Repeat("a", 1000), 1, 20*time.Millisecond) // 50 bytes a second
	b, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(b), "HTTP/1.1 408 ") {
		t.Errorf("HTTP/1.1, too slow: %q", b)
	}
	if err := <-gone; err == nil {
		t.Error("the backend saw a complete body")
	}

	c = r.dial()
	io.WriteString(c, post+"Content-Length: 1000\r\n\r\n")
	go dripping(c, strings.Repeat("a", 1000), 100, 20*time.Millisecond) // 5000 bytes a second
	if res, body := readResponse(t, bufio.NewReader(c), "POST"); res.StatusCode != 200 || body != "1000" {
		t.Errorf("HTTP/1.1, fast enough: %s %q", res.Status, body)
	}
	<-gone

	h := r.h2()
	h.headers(1, false, ":method", "POST", ":path", "/", ":scheme", "https", ":authority", "example.org")
	h.fr.WriteData(1, false, []byte("a"))
	if status, _ := h.answer(1); status != "408" && !strings.HasPrefix(status, "RST") {
		t.Errorf("HTTP/2, too slow: %q", status)
	}
	if err := <-gone; err == nil {
		t.Error("the backend saw a complete body")
	}
}

func TestUnreadBodyDoesNotHoldTheConnection(t *testing.T) {
	l := mustListen(t)
	l.Close()
	r := rigWith(t, nil, limited(Limits{BodyGrace: 50 * time.Millisecond}), func(_ *Options, s *Settings) {
		s.Table, s.Pools = everythingTo(t, l.Addr().String())
	})
	start := time.Now()
	got := r.raw(post + "Content-Length: 1000\r\n\r\na")
	if !strings.HasPrefix(got, "HTTP/1.1 502 ") || time.Since(start) > 3*time.Second {
		t.Errorf("after %v: %q", time.Since(start), got)
	}
}

// A body that is cut off is never taken for the next request, whatever comes
// after the answer.
func TestRestOfABodyIsNoRequest(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "early")
		http.NewResponseController(w).Flush()
	}),
		limited(Limits{BodyGrace: 50 * time.Millisecond}))
	c := r.dial()
	io.WriteString(c, post+"Content-Length: 1000\r\n\r\na")
	br := bufio.NewReader(c)
	if _, body := readResponse(t, br, "POST"); body != "early" {
		t.Fatalf("%q", body)
	}
	go dripping(c, strings.Repeat(get+"\r\n", 10), 40, 20*time.Millisecond)
	rest, err := io.ReadAll(br)
	if strings.Contains(string(rest), "HTTP/1.1") {
		t.Errorf("%q", rest)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays open for a body that nobody reads")
	}
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	if n := len(r.events.requests); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// A client that takes nothing ends its connection, or its stream.
func TestClientThatDoesNotRead(t *testing.T) {
	gone := make(chan bool, 1)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 64<<10)
		for {
			if _, err := w.Write(b); err != nil {
				break
			}
		}
		gone <- true
	}), limited(Limits{WriteStall: 100 * time.Millisecond}))
	wait := func(what string) {
		t.Helper()
		select {
		case <-gone:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the backend still sends", what)
		}
	}
	c := r.dial()
	io.WriteString(c, get+"\r\n")
	wait("HTTP/1.1")

	h := r.h2(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
	h.headers(1, true, ":method", "GET", ":path", "/", ":scheme", "https", ":authority", "example.org")
	wait("HTTP/2")
	// The connection lives on.
	h.fr.WritePing(false, [8]byte{1})
	h.until(func(f http2.Frame) bool { p, ok := f.(*http2.PingFrame); return ok && p.IsAck() })
}

// A small answer is written after the handler returned: it may not wait for
// window for ever either.
func TestZeroWindowForASmallAnswer(t *testing.T) {
	r := rigWith(t, hello, limited(Limits{WriteStall: 100 * time.Millisecond}))
	h := r.h2(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	h.headers(1, true, ":method", "GET", ":path", "/", ":scheme", "https", ":authority", "example.org")
	h.until(func(f http2.Frame) bool { _, ok := f.(*http2.RSTStreamFrame); return ok })
}

func TestSlowReaderIsServed(t *testing.T) {
	const size = 4 << 20
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, size))
	}), limited(Limits{WriteStall: 300 * time.Millisecond}))
	c := r.dial()
	c.(*net.TCPConn).SetReadBuffer(32 << 10)
	io.WriteString(c, "GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")
	n, buf := 0, make([]byte, 256<<10)
	for {
		m, err := c.Read(buf)
		n += m
		if err != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n < size {
		t.Errorf("%d bytes of %d", n, size)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	r := rigWith(t, hello, limited(Limits{Idle: 50 * time.Millisecond, HeaderRead: 50 * time.Millisecond}))
	c := r.dial()
	io.WriteString(c, get+"\r\n")
	br := bufio.NewReader(c)
	readResponse(t, br, "GET")
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("HTTP/1.1: %v", err)
	}
	if _, err := r.dial().Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection that never said anything: %v", err)
	}
	h := r.h2()
	for {
		if _, err := h.fr.ReadFrame(); err != nil {
			break
		}
	}
	eventually(t, "all connections are counted out", func() bool {
		r.events.mu.Lock()
		defer r.events.mu.Unlock()
		for _, n := range r.events.open {
			if n != 0 {
				return false
			}
		}
		return true
	})
}

func TestStreamsPerConnection(t *testing.T) {
	const limit = 5
	begun, goOn := make(chan bool, 2*limit), make(chan bool)
	r := rigWith(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun <- true
		<-goOn
	}), limited(Limits{Streams: limit}))
	h := r.h2()
	for i := range limit {
		h.headers(uint32(2*i+1), true, h2get...)
		<-begun
	}
	h.headers(2*limit+1, true, h2get...)
	if status, _ := h.answer(2*limit + 1); !strings.HasPrefix(status, "RST") {
		t.Errorf("one stream too many: %q", status)
	}
	close(goOn)
	for range limit {
		if status, _ := h.answer(0); status != "200" {
			t.Errorf("a stream within the limit: %q", status)
		}
	}
	if len(begun) > 0 {
		t.Error("the backend was asked for more than the limit")
	}
}

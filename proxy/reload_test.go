package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Reloads under load lose no request, and leave a WebSocket and an event
// stream alone, even when the limits change each time.
func TestReloadUnderLoad(t *testing.T) {
	r := rigWith(t, backendWithTunnel(t))
	ws := r.dial()
	wsr := openTunnel(t, ws)
	sse := r.dial()
	io.WriteString(sse, "GET /events HTTP/1.1\r\nHost: example.org\r\n\r\n")
	events := bufio.NewReader(sse)
	expectLine(t, events, "data: 0")

	var stop atomic.Bool
	var done, failed atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		c := r.client(i%2 == 0)
		url := "https://example.org/"
		if i == 3 {
			url = "http://example.org/"
		}
		wg.Go(func() {
			for !stop.Load() {
				res, err := c.Get(url)
				if err != nil {
					t.Log(err)
					failed.Add(1)
					continue
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(b) != "hello" {
					failed.Add(1)
				}
				done.Add(1)
			}
		})
	}
	for i := range 100 {
		set := r.set
		set.Limits.Streams = 100 + i%3
		if err := r.Apply(set); err != nil {
			t.Fatal(err)
		}
		for n := done.Load(); done.Load() == n && failed.Load() == 0; {
			time.Sleep(100 * time.Microsecond)
		}
	}
	stop.Store(true)
	wg.Wait()
	if failed.Load() != 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), done.Load())
	}
	io.WriteString(ws, "ping\n")
	expectLine(t, wsr, "ping")
	expectLine(t, events, "data: 1")
	t.Logf("%d requests during 100 reloads", done.Load())
}

// Old engines go when their last connection has gone.
func TestEnginesArePruned(t *testing.T) {
	r := rigWith(t, hello)
	c := r.dial()
	io.WriteString(c, get+"\r\n")
	readResponse(t, bufio.NewReader(c), "GET")
	for i := range 5 {
		set := r.set
		set.Limits.Streams = 10 + i
		r.Apply(set)
	}
	if n := len(r.engines); n != 2 {
		t.Errorf("%d engines, want the live one and one with a connection", n)
	}
	c.Close()
	eventually(t, "the old engine is gone", func() bool { r.Apply(r.set); return len(r.engines) == 1 })
}

func TestShutdownDrains(t *testing.T) {
	inside, release := make(chan bool), make(chan bool)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inside <- true
		<-release
		io.WriteString(w, "late")
	}))
	idle := r.dial()
	c := r.dial()
	io.WriteString(c, get+"\r\n")
	<-inside
	result := make(chan error)
	go func() { result <- r.Shutdown(context.Background()) }()
	eventually(t, "the listener is closed", func() bool {
		c, err := net.Dial("tcp", r.http)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	released := time.Now()
	close(release)
	if _, body := readResponse(t, bufio.NewReader(c), "GET"); body != "late" {
		t.Errorf("%q", body)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	if d := time.Since(released); d > 3*time.Second {
		t.Errorf("waited %v for a connection that never said anything", d)
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("an idle connection was left open")
	}
	if err := r.Apply(r.set); !errors.Is(err, ErrStopped) {
		t.Errorf("Apply after Shutdown: %v", err)
	}
}

func TestShutdownCutsAfterTheLimit(t *testing.T) {
	r := rigWith(t, backendWithTunnel(t), func(_ *Options, s *Settings) { s.Limits.Drain = 50 * time.Millisecond })
	ws := r.dial()
	openTunnel(t, ws)
	sse := r.dial()
	io.WriteString(sse, "GET /events HTTP/1.1\r\nHost: example.org\r\n\r\n")
	expectLine(t, bufio.NewReader(sse), "data: 0")
	err := r.Shutdown(context.Background())
	if err == nil || !strings.Contains(err.Error(), "closed: 2") {
		t.Errorf("error %v, want two connections", err)
	}
	if r.Tunnels() != 0 {
		t.Errorf("%d tunnels left", r.Tunnels())
	}
}

// backendWithTunnel answers "hello", echoes lines on an upgrade, and sends an
// event a second, the first one at once, under /events; the second one comes
// when anything else was asked for 20 times.
func backendWithTunnel(t testing.TB) http.Handler {
	var asked atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Upgrade") != "":
			nc, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer nc.Close()
			fmt.Fprintf(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nX-Tunnel: yes\r\n\r\n", r.Header.Get("Upgrade"))
			io.Copy(nc, rw.Reader)
		case r.URL.Path == "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: 0\n\n")
			http.NewResponseController(w).Flush()
			for asked.Load() < 20 {
				select {
				case <-r.Context().Done():
					return
				case <-time.After(time.Millisecond):
				}
			}
			io.WriteString(w, "data: 1\n\n")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		default:
			asked.Add(1)
			io.WriteString(w, "hello")
		}
	})
}

func openTunnel(t testing.TB, c net.Conn) *bufio.Reader {
	t.Helper()
	io.WriteString(c, get+"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" || res.Header.Get("X-Tunnel") != "yes" {
		t.Fatalf("%v %v", res, err)
	}
	return br
}

func expectLine(t testing.TB, br *bufio.Reader, want string) {
	t.Helper()
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			t.Fatalf("waiting for %q: %v", want, err)
		}
		if strings.TrimSpace(line) == want {
			return
		}
	}
}

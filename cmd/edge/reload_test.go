package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edge/internal/admin"
	"edge/internal/edgetest"
)

// lively is a backend with a WebSocket echo, an endless stream of events, and
// plain answers.
func lively() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		io.Copy(c, rw)
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n := 0; r.Context().Err() == nil; n++ {
			fmt.Fprintf(w, "data: %d\n\n", n)
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	return mux
}

// webSocket opens a tunnel through the door and returns it after one echo.
func (r *rig) webSocket(host string) *tls.Conn {
	r.t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", r.https, &tls.Config{ServerName: host, RootCAs: r.ca.IssuedPool(), NextProtos: []string{"http/1.1"}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", host)
	res, err := http.ReadResponse(bufio.NewReaderSize(onlyByte{c}, 1), nil)
	if err != nil || res.StatusCode != 101 {
		r.t.Fatalf("upgrade: %v %v", res, err)
	}
	r.echo(c, "first")
	return c
}

// onlyByte reads single bytes, so that nothing beyond the head is taken.
type onlyByte struct{ r io.Reader }

func (o onlyByte) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

func (r *rig) echo(c *tls.Conn, word string) {
	r.t.Helper()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, word); err != nil {
		r.t.Fatal(err)
	}
	b := make([]byte, len(word))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != word {
		r.t.Fatalf("echo of %q: %q %v", word, b, err)
	}
}

// Reloads under load: no request fails on HTTP/1.1 or HTTP/2, a WebSocket and a
// stream of events that were open before are open after.
func TestReloadsUnderLoad(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, lively())
	site := "  - hosts: [www.example.test]\n    proxy: BACKEND\n"
	r.configure(site)
	r.start()
	r.eventually(func() error { _, err := r.handshake("www.example.test"); return err })
	ws := r.webSocket("www.example.test")

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var events, requests, failures atomic.Int64
	var firstFailure atomic.Value
	fail := func(format string, args ...any) {
		failures.Add(1)
		firstFailure.CompareAndSwap(nil, fmt.Sprintf(format, args...))
	}
	stream := r.client(true)
	stream.Timeout = 0
	req, err := http.NewRequestWithContext(ctx, "GET", "https://www.example.test/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := stream.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() {
			events.Add(1)
		}
		if ctx.Err() == nil {
			fail("the stream of events ended: %v", lines.Err())
		}
	})
	for i := range 4 {
		c := r.client(i%2 == 0)
		wg.Go(func() {
			for ctx.Err() == nil {
				res, err := c.Get("https://www.example.test/")
				if err != nil {
					fail("%v", err)
					continue
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != 200 || string(b) != "ok" {
					fail("%s %q %v", res.Status, b, err)
				}
				requests.Add(1)
			}
		})
	}
	client := admin.NewClient(r.dir + "/admin.sock")
	defer client.Close()
	reloads := 20
	if os.Getenv("EDGE_SOAK") != "" { // make soak
		reloads = 100
	}
	for n := range reloads {
		extra := ""
		if n%2 == 0 {
			extra = fmt.Sprintf("  - hosts: [extra%d.example.test]\n    tls: off\n    proxy: BACKEND\n", n)
		}
		r.configure(site + extra)
		before := requests.Load()
		if err := client.Reload(ctx); err != nil {
			t.Fatal(err)
		}
		r.eventually(func() error {
			if requests.Load() < before+8 {
				return fmt.Errorf("%d requests since the reload", requests.Load()-before)
			}
			return nil
		})
	}
	seen := events.Load()
	r.eventually(func() error {
		if events.Load() <= seen {
			return fmt.Errorf("no event after the reloads")
		}
		return nil
	})
	r.echo(ws, "last")
	t.Logf("%d reloads, %d requests, %d events, %d failures", reloads, requests.Load(), events.Load(), failures.Load())
	if n := failures.Load(); n > 0 {
		t.Errorf("%d failures with %d requests; first: %v", n, requests.Load(), firstFailure.Load())
	}
}

// A reload with a bad file changes nothing, says why, and is seen in status and
// metrics; so is one that cannot bind.
func TestBadReload(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	good := "  - hosts: [www.example.test]\n    proxy: BACKEND\n"
	r.configure(good)
	r.start()
	r.eventually(func() error { _, err := r.handshake("www.example.test"); return err })
	client := admin.NewClient(r.dir + "/admin.sock")
	defer client.Close()
	ctx := context.Background()

	r.configure(good + "    prox: x\n")
	if err := client.Reload(ctx); err == nil || !strings.Contains(err.Error(), "did you mean proxy?") || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("got %v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := r.configure(good)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r.write("edge.yaml", strings.Replace(string(b), `https: ["`, `https: ["`+taken.Addr().String()+`", "`, 1))
	err = client.Reload(ctx)
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(err.Error(), fmt.Sprintf("%d", os.Getpid())) {
		t.Errorf("a port in use: got %v, want the address and who holds it", err)
	}
	if status, _ := r.get(r.client(false), "https://www.example.test/"); status != 200 {
		t.Errorf("after bad reloads: status %d", status)
	}
	s, err := client.Status(ctx)
	if err != nil || s.LastReload == nil || !strings.Contains(s.LastReload.Error, "listen on") || len(s.Listeners) != 2 {
		t.Errorf("status %+v %v", s, err)
	}
	if _, body := r.get(http.DefaultClient, "http://"+r.metrics+"/metrics"); !strings.Contains(body, "edge_config_last_reload_successful 0") ||
		!strings.Contains(body, `edge_config_reloads_total{result="failure"} 2`) {
		t.Error("the metrics do not show the failed reloads")
	}
	r.configure(good)
	if err := client.Reload(ctx); err != nil {
		t.Error(err)
	}
}

// TERM finishes what is in flight; what does not end in time is cut, and a
// second signal does not wait.
func TestDrain(t *testing.T) {
	inFlight, release := make(chan struct{}), make(chan struct{})
	r := newRig(t, edgetest.CAOptions{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(inFlight)
		<-release
		io.WriteString(w, "finished")
	}))
	r.configure("  - hosts: [www.example.test]\n    proxy: BACKEND\n")
	r.start()
	r.eventually(func() error { _, err := r.handshake("www.example.test"); return err })
	got := make(chan string, 1)
	c := r.client(true)
	go func() {
		res, err := c.Get("https://www.example.test/")
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		got <- string(b)
	}()
	<-inFlight
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	r.eventually(func() error {
		if _, err := net.Dial("tcp", r.https); err == nil {
			return fmt.Errorf("still accepting")
		}
		return nil
	})
	close(release)
	if b := <-got; b != "finished" {
		t.Errorf("the request in flight got %q", b)
	}
	<-stopped
}

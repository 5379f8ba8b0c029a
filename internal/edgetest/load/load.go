// Package load asks a front door without a pause, over HTTP/1.1, HTTP/2 and HTTP/3,
// and checks what comes back. It is for tests.
package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// Load is clients that ask all the time. A request that fails in whatever way is a
// failure.
type Load struct {
	t     testing.TB
	https string
	roots *x509.CertPool
	host  string

	stop     context.CancelFunc
	ctx      context.Context
	wg       sync.WaitGroup
	asked    map[string]*atomic.Int64 // by protocol
	mu       sync.Mutex
	failures []string
	failed   int
}

// Backend answers what a Load asks for.
func Backend() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.RawQuery) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n := 0; r.Context().Err() == nil; n++ {
			fmt.Fprintf(w, "data: %d\n\n", n)
			http.NewResponseController(w).Flush()
			select {
			case <-time.After(20 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(c, rw)
	})
	return mux
}

// New begins to ask host at the address https, by so many clients of each protocol. The
// end of the test ends it.
func New(t testing.TB, https string, roots *x509.CertPool, host string, clients int) *Load {
	l := &Load{t: t, https: https, roots: roots, host: host, asked: map[string]*atomic.Int64{}}
	l.ctx, l.stop = context.WithCancel(context.Background())
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"} {
		l.asked[protocol] = new(atomic.Int64)
		for range clients {
			l.wg.Go(func() { l.client(protocol) })
		}
	}
	t.Cleanup(l.End)
	return l
}

// transport is a client's connections; the second closes them.
func (l *Load) transport(protocol string) (http.RoundTripper, func()) {
	cfg := &tls.Config{RootCAs: l.roots, ServerName: l.host}
	if protocol == "HTTP/3.0" {
		cfg.NextProtos = []string{"h3"}
		t := &http3.Transport{TLSClientConfig: cfg, Dial: func(ctx context.Context, _ string, c *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, l.https, c, q)
		}}
		return t, func() { t.Close() }
	}
	t := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: protocol == "HTTP/2.0", DialContext: l.dial}
	return t, t.CloseIdleConnections
}

func (l *Load) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", l.https)
}

// Counts lists the requests of each protocol.
func (l *Load) Counts() map[string]int64 {
	counts := map[string]int64{}
	for protocol, n := range l.asked {
		counts[protocol] = n.Load()
	}
	return counts
}

// client asks until the load ends, one request after the other: most on a connection
// that is kept, some on a new one; every fourth has a body.
func (l *Load) client(protocol string) {
	t, shut := l.transport(protocol)
	defer func() { shut() }()
	for n := 0; l.ctx.Err() == nil; n++ {
		if n%100 == 99 {
			shut()
			t, shut = l.transport(protocol)
		}
		start := time.Now()
		if err := l.ask(t, protocol, n); err != nil {
			l.fail(protocol, start, err)
		}
		l.asked[protocol].Add(1)
	}
}

func (l *Load) ask(t http.RoundTripper, protocol string, n int) error {
	// Requests that have begun end by themselves: a load that was stopped fails nothing.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	want := strconv.Itoa(n)
	method, url, body := "GET", "https://"+l.host+"/get?"+want, io.Reader(nil)
	if n%4 == 3 {
		want = strings.Repeat(want+".", 1000)
		method, url, body = "POST", "https://"+l.host+"/echo", strings.NewReader(want)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	res, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %d bytes of the body: %w", method, url, len(b), err)
	case res.StatusCode != 200 || string(b) != want:
		return fmt.Errorf("%s %s: status %d, %d bytes of %d: %.60q", method, url, res.StatusCode, len(b), len(want), b)
	case res.Proto != protocol:
		return fmt.Errorf("%s %s: over %s", method, url, res.Proto)
	}
	return nil
}

func (l *Load) fail(what string, start time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed++; len(l.failures) < 20 {
		l.failures = append(l.failures, fmt.Sprintf("%s, begun %s, after %v: %v", what, start.Format("05.000"), time.Since(start).Round(time.Millisecond), err))
	}
}

// End stops all clients and reports what failed.
func (l *Load) End() {
	l.stop()
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed > 0 {
		l.t.Errorf("%d of %d requests failed:\n%s", l.failed, l.Count(), strings.Join(l.failures, "\n"))
	}
	l.failed = 0
}

// Count is how many requests have been answered.
func (l *Load) Count() (n int64) {
	for _, a := range l.asked {
		n += a.Load()
	}
	return n
}

// More waits until so many requests more have been answered.
func (l *Load) More(n int64) {
	l.t.Helper()
	want := l.Count() + n
	for end := time.Now().Add(2 * time.Minute); l.Count() < want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatal("the load stands still")
		}
	}
}

// Stream is something that stays open: an event stream or a WebSocket. Each Step
// brings what is due, or an error.
type Stream struct {
	Name  string
	Step  func() error
	Close func()
}

// Streams opens one of each kind that HTTP/1.1 has, and an event stream over the others.
func (l *Load) Streams() []Stream {
	l.t.Helper()
	all := []Stream{l.webSocket()}
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"} {
		all = append(all, l.events(protocol))
	}
	for _, s := range all {
		l.t.Cleanup(s.Close)
	}
	return all
}

func (l *Load) webSocket() Stream {
	l.t.Helper()
	c, err := tls.Dial("tcp", l.https, &tls.Config{RootCAs: l.roots, ServerName: l.host})
	if err != nil {
		l.t.Fatal(err)
	}
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", l.host)
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		l.t.Fatalf("WebSocket: %v %v", res, err)
	}
	n := 0
	return Stream{"WebSocket", func() error {
		n++
		c.SetDeadline(time.Now().Add(10 * time.Second))
		said := fmt.Sprintf("message %d\n", n)
		if _, err := io.WriteString(c, said); err != nil {
			return err
		}
		if heard, err := br.ReadString('\n'); err != nil || heard != said {
			return fmt.Errorf("%q %w", heard, err)
		}
		return nil
	}, func() { c.Close() }}
}

func (l *Load) events(protocol string) Stream {
	l.t.Helper()
	t, shut := l.transport(protocol)
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", "https://"+l.host+"/events", nil)
	if err != nil {
		l.t.Fatal(err)
	}
	res, err := t.RoundTrip(req)
	if err != nil || res.StatusCode != 200 {
		l.t.Fatalf("events over %s: %v %v", protocol, res, err)
	}
	lines := bufio.NewScanner(res.Body)
	n := 0
	return Stream{"events over " + protocol, func() error {
		for lines.Scan() {
			if b, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
				if string(b) != strconv.Itoa(n) {
					return fmt.Errorf("event %s, want %d", b, n)
				}
				n++
				return nil
			}
		}
		return fmt.Errorf("the stream ended: %w", lines.Err())
	}, func() { cancel(); res.Body.Close(); shut() }}
}

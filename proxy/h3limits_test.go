package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// The class of CVE-2026-88012: on HTTP/3, too, a head that does not come to its end is
// not waited for, wherever it stops, and the connection serves other requests.
func TestSlowHeadHTTP3(t *testing.T) {
	r := rigWith(t, hello, limited(Limits{HeaderRead: 100 * time.Millisecond}))
	whole := fields3(h2get...)
	for name, part := range map[string][]byte{
		"a byte":          whole[:1],
		"half a head":     whole[:len(whole)/2],
		"all but the end": whole,
	} {
		h := r.h3()
		s := h.stream(false, part)
		if got, _ := answer3(s); got != "408" {
			t.Errorf("%s: %q, want 408", name, got)
		}
		if got, body := answer3(h.stream(true, whole)); got != "200" || body != "hello" {
			t.Errorf("%s, afterwards: %q %q", name, got, body)
		}
	}
	if n := r.reported(408); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}

// A body that stops is not waited for, and the backend sees no end of it.
func TestSlowBodyHTTP3(t *testing.T) {
	gone := make(chan error, 1)
	r := rigWith(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { gone <- drained(r) }),
		limited(Limits{BodyRate: 1000, BodyGrace: 100 * time.Millisecond}))
	s := r.h3().stream(false, fields3(h2with(":method", "POST")...), frame3(h3Data, []byte("abc")), []byte{h3Data, 10})
	if got, _ := answer3(s); got != "408" {
		t.Errorf("%q, want 408", got)
	}
	if err := <-gone; err == nil {
		t.Error("the backend saw a complete body")
	}
}

// A client that takes nothing of one stream loses that stream alone.
func TestClientThatDoesNotReadHTTP3(t *testing.T) {
	gone := make(chan bool, 1)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			io.WriteString(w, "hello")
			return
		}
		for b := make([]byte, 64<<10); ; {
			if _, err := w.Write(b); err != nil {
				gone <- true
				return
			}
		}
	}), limited(Limits{WriteStall: 100 * time.Millisecond}))
	h := r.h3()
	s := h.stream(true, fields3(h2with(":path", "/endless")...))
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the backend still sends")
	}
	if got, body := answer3(h.stream(true, fields3(h2get...))); got != "200" || body != "hello" {
		t.Errorf("another stream: %q %q", got, body)
	}
	if _, err := io.Copy(io.Discard, s); err == nil {
		t.Error("a cut answer looks whole")
	}
}

func TestIdleHTTP3(t *testing.T) {
	r := rigWith(t, hello, limited(Limits{Idle: 50 * time.Millisecond}))
	h := r.h3()
	answer3(h.stream(true, fields3(h2get...)))
	select {
	case <-h.q.Context().Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the connection stays open")
	}
	if ae, ok := errors.AsType[*quic.ApplicationError](context.Cause(h.q.Context())); !ok || ae.ErrorCode != h3NoError {
		t.Errorf("%v", context.Cause(h.q.Context()))
	}
	eventually(t, "the connection is counted out", func() bool {
		r.events.mu.Lock()
		defer r.events.mu.Unlock()
		return r.events.open["https h3"] == 0
	})
}

// Streams that a client resets count until their requests are over: a client cannot
// have more at work than its limit by taking them back (CVE-2023-44487).
func TestStreamsHTTP3(t *testing.T) {
	const limit = 4
	busy := &busyResponder{begun: make(chan bool, 100), goOn: make(chan bool)}
	r := rigWith(t, hello, limited(Limits{Streams: limit}), func(o *Options, _ *Settings) { o.Challenges = busy })
	h := r.h3()
	for range limit {
		s := h.stream(true, fields3(h2with(":path", "/.well-known/acme-challenge/"+strings.Repeat("a", 43))...))
		<-busy.begun
		s.CancelRead(h3RequestCancelled)
		s.CancelWrite(h3RequestCancelled)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := h.q.OpenStreamSync(ctx); err == nil {
		t.Error("one stream too many")
	}
	close(busy.goOn)
	if _, err := h.q.OpenStreamSync(t.Context()); err != nil {
		t.Error(err)
	}
}

// busyResponder takes its time, whatever becomes of the request.
type busyResponder struct {
	answers
	begun, goOn chan bool
}

func (b *busyResponder) HTTP01(string, string) (string, bool) {
	b.begun <- true
	<-b.goOn
	return "", false
}

// A small answer that a client does not take does not keep the server.
func TestZeroWindowHTTP3(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 3500)) }),
		limited(Limits{WriteStall: 100 * time.Millisecond, Drain: 20 * time.Second}))
	h := &h3client{t, r.dial3(&quic.Config{InitialStreamReceiveWindow: 100, MaxStreamReceiveWindow: 100})}
	h.stream(true, fields3(h2get...))
	r.events.last(t, 1)
	start := time.Now()
	if err := r.Shutdown(t.Context()); err != nil || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

// An answer that is shorter than it announced does not look whole.
func TestShortAnswerHTTP3(t *testing.T) {
	w := &h3writer{header: http.Header{"Content-Length": {"5"}}}
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write([]byte("four")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("toomuch")); !errors.Is(err, http.ErrContentLength) {
		t.Errorf("more than announced: %v", err)
	}
	if err := w.finish(); !errors.Is(err, errBodyLength) {
		t.Errorf("less than announced: %v", err)
	}
}

// Requests that are malformed end the connection when nothing else comes.
func TestRefusedAgainAndAgainHTTP3(t *testing.T) {
	r := rigWith(t, hello)
	h := r.h3()
	bad := fields3(h2with("connection", "close")...)
	for range 2 * maxBadBlocks {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		s, err := h.q.OpenStreamSync(ctx)
		cancel()
		if err != nil {
			break
		}
		s.Write(bad)
		s.Close()
	}
	select {
	case <-h.q.Context().Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the connection stays open")
	}
	if ae, ok := errors.AsType[*quic.ApplicationError](context.Cause(h.q.Context())); !ok || ae.ErrorCode != h3ExcessiveLoad {
		t.Errorf("%v", context.Cause(h.q.Context()))
	}
}

func TestConnectionsPerAddressHTTP3(t *testing.T) {
	r := rigWith(t, hello, limited(Limits{ConnectionsPerAddress: 2}))
	a := r.h3()
	r.h3()
	if _, err := r.tryDial3(r.clientTLS3("example.org"), nil); err == nil {
		t.Error("a third connection was taken")
	} else if te, ok := errors.AsType[*quic.TransportError](err); !ok || te.ErrorCode != quic.ConnectionRefused {
		t.Errorf("%v", err)
	}
	a.q.CloseWithError(h3NoError, "")
	eventually(t, "a connection is counted out", func() bool {
		_, err := r.tryDial3(r.clientTLS3("example.org"), nil)
		return err == nil
	})
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	if !slices.Contains(r.events.refused, "connections_per_address") {
		t.Errorf("refusals %v", r.events.refused)
	}
}

func (r *rig) clientTLS3(name string, protos ...string) *tls.Config {
	if len(protos) == 0 {
		protos = []string{"h3"}
	}
	return &tls.Config{RootCAs: r.roots, ServerName: name, NextProtos: protos}
}

// While many shake hands, whoever comes must show that its address is its own.
func TestRetryUnderLoad(t *testing.T) {
	r := rigWith(t, hello)
	l := r.quic.listeners[r.https]
	r.quic.shaking.Add(retryFrom)
	defer r.quic.shaking.Add(-retryFrom)
	if !l.doubts(l.pc.LocalAddr()) {
		t.Error("an address is not doubted")
	}
	if got, _ := answer3(r.h3().stream(true, fields3(h2get...))); got != "200" {
		t.Errorf("after a retry: %q", got)
	}
}

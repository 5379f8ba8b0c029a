package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// successor is a server that takes the sockets of r over.
func (r *rig) successor(backend http.Handler) *rig {
	r.t.Helper()
	in := r.copied()
	ss, err := r.PacketSockets()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range ss {
		f := duplicate(r.t, s.Socket)
		if err := in.Add(s.Name, f); err != nil {
			r.t.Fatal(err)
		}
		f.Close()
		if way, ok := s.Socket.(*os.File); ok {
			way.Close()
		}
	}
	next := rigWith(r.t, backend, overHTTP3, func(o *Options, s *Settings) {
		o.Inherited = func() (Inherited, error) { return in, nil }
		s.HTTP, s.HTTPS, s.Certificates = r.set.HTTP, r.set.HTTPS, r.certs
	})
	next.certs, next.roots = r.certs, r.roots
	if next.https != r.https {
		r.t.Fatalf("the successor listens on %s, not on %s", next.https, r.https)
	}
	return next
}

// A request that is in progress goes on while a successor reads the UDP socket; new
// connections are the successor's, and no request fails, over two generations.
func TestQUICHandover(t *testing.T) {
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	named := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/wait" {
				io.WriteString(w, "begun ")
				w.(http.Flusher).Flush()
				<-release
				w.Write(make([]byte, 256<<10)) // more than a window: needs the client's datagrams
			}
			io.WriteString(w, name)
		})
	}
	defer free()
	r := rigWith(t, named("one"), overHTTP3, limited(Limits{Drain: 20 * time.Second}))
	waiting, err := r.client3().Get("https://example.org/wait")
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Body.Close()

	var stop atomic.Bool
	var failed, done atomic.Int64
	var seen sync.Map
	var wg sync.WaitGroup
	client := r.client3()
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				res, err := client.Get("https://example.org/")
				if err != nil {
					failed.Add(1)
					t.Log(err)
					return
				}
				b, _ := io.ReadAll(res.Body)
				res.Body.Close()
				seen.Store(string(b), true)
				done.Add(1)
			}
		})
	}
	retired := make(chan error, 2)
	for _, name := range []string{"two", "three"} {
		next := r.successor(named(name))
		old := r
		go func() { retired <- old.Retire(context.Background()) }()
		eventually(t, name+" answers", func() bool { _, ok := seen.Load(name); return ok })
		for n := done.Load(); done.Load() < n+20 && failed.Load() == 0; {
			time.Sleep(time.Millisecond)
		}
		r = next
	}
	free()
	if b, err := io.ReadAll(waiting.Body); err != nil || len(b) != len("begun ")+256<<10+len("one") {
		t.Errorf("the request that spanned the handovers: %d bytes, %v", len(b), err)
	}
	stop.Store(true)
	wg.Wait()
	if failed.Load() > 0 || done.Load() < 40 {
		t.Errorf("%d requests failed, %d did not", failed.Load(), done.Load())
	}
	waiting.Body.Close()
	for range 2 {
		if err := <-retired; err != nil {
			t.Error(err)
		}
	}
}

// A successor that comes to nothing takes nothing with it: the server goes on with the
// socket, also when it was about to end.
func TestQUICHandoverFails(t *testing.T) {
	inside, release := make(chan bool), make(chan bool)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/wait" {
			inside <- true
			<-release
			w.Write(make([]byte, 256<<10))
		}
	}), limited(Limits{Drain: 20 * time.Second}))
	get := fields3(h2get...)
	pc := r.quic.listeners[r.https].pc
	for range 2 {
		next := r.successor(hello)
		eventually(t, "the successor has said hello", func() bool { return pc.newer.Load().known() })
		if err := next.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the successor has gone", func() bool { return pc.newer.Load() == nil })
		if got, _ := answer3(r.h3().stream(true, get)); got != "200" {
			t.Fatalf("after a successor that failed: %q", got)
		}
	}
	s := r.h3().stream(true, fields3(h2with(":path", "/wait")...))
	<-inside
	next := r.successor(hello)
	eventually(t, "the successor has said hello", func() bool { return pc.newer.Load().known() })
	result := make(chan error, 1)
	go func() { result <- r.Retire(context.Background()) }()
	eventually(t, "the socket is given away", pc.given.Load)
	next.Shutdown(t.Context())
	close(release)
	if got, body := answer3(s); got != "200" || len(body) != 256<<10 {
		t.Errorf("%q, %d bytes", got, len(body))
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// A client of a process that has gone without a word learns so from the next one, with
// the first datagram that it sends, where both have the same key.
func TestStatelessReset(t *testing.T) {
	for _, same := range []bool{true, false} {
		r := rigWith(t, hello, func(o *Options, _ *Settings) { o.QUICKey = [32]byte{1} })
		q := r.dial3(&quic.Config{MaxIdleTimeout: time.Minute})
		h := &h3client{t, q}
		if got, _ := answer3(h.stream(true, fields3(h2get...))); got != "200" { // the handshake is confirmed
			t.Fatal(got)
		}
		old := r.quic.listeners[r.https].pc
		in := r.copied()
		f := duplicate(t, old.UDPConn)
		if err := in.Add("udp:"+r.https, f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		old.given.Store(true) // as if it had gone: it reads no more, and says nothing
		old.wake()
		rigWith(t, hello, func(o *Options, s *Settings) {
			o.Inherited = func() (Inherited, error) { return in, nil }
			s.HTTP, s.HTTPS = r.set.HTTP, r.set.HTTPS
			if same {
				o.QUICKey = [32]byte{1}
			}
		})
		s := h.stream(false, fields3(h2with(":method", "POST")...), []byte{h3Data, 0x80, 1, 0, 0})
		end := time.Now().Add(5 * time.Second)
		if !same {
			end = time.Now().Add(300 * time.Millisecond)
		}
		for q.Context().Err() == nil && time.Now().Before(end) {
			s.Write(make([]byte, 100))
			time.Sleep(2 * time.Millisecond)
		}
		_, reset := errors.AsType[*quic.StatelessResetError](context.Cause(q.Context()))
		if reset != same {
			t.Errorf("the same key %v: %v", same, context.Cause(q.Context()))
		}
	}
}

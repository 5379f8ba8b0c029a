package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edge/proxy/upstream"
)

// What is known of a server, and its connections, outlive the pool.
func TestNextKeepsServers(t *testing.T) {
	var conns sync.Map
	var refuse atomic.Bool
	a, b := newBackend(t, func(_ http.ResponseWriter, r *http.Request) { conns.Store(r.RemoteAddr, true) }), newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		if refuse.Load() {
			w.WriteHeader(503)
		}
	})
	c := httptest.NewUnstartedServer(http.NotFoundHandler())
	c.Start()
	defer c.Close()
	now := time.Unix(1e9, 0)
	o := Options{Balance: RoundRobin, SlowStart: time.Minute, Eject: Ejection{Failures: 1, MaxPercent: 50}, Now: func() time.Time { return now }}
	p := newPool(t, o, a, b)
	refuse.Store(true)
	for range 4 {
		get(p, nil)
	}
	o.Name, o.Servers = "test", []Server{a.server(3), b.server(1), {Options: upstream.Options{Scheme: "http", Address: c.Listener.Addr().String()}}}
	q, err := p.Next(o)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	p.Retire()
	s := q.Status()
	if s[0].State != "up" || s[0].Requests < 1 || s[0].Weight != 3 || s[1].State != "ejected" || s[1].Ejections != 1 || s[2].State != "starting" {
		t.Errorf("%+v", s)
	}
	for range 10 {
		get(q, nil)
	}
	n := 0
	conns.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d connections to a server that stayed", n)
	}
	p.Close()
	if status, err := get(q, nil); status == 0 {
		t.Errorf("after the old pool was closed: %v", err)
	}
}

// Requests that wait at a pool are served although another has taken its place, and
// before those that come later.
func TestNextServesWhoWaits(t *testing.T) {
	begun, goOn := make(chan string, 10), make(chan bool)
	b := newBackend(t, func(_ http.ResponseWriter, r *http.Request) { begun <- r.URL.Path; <-goOn })
	o := Options{MaxConnections: 1, Queue: 10, QueueTimeout: 20 * time.Second}
	p := newPool(t, o, b)
	results := make(chan error, 10)
	ask := func(p *Pool, path string) {
		queued := p.queue.len()
		go func() {
			res, err := p.RoundTrip(context.Background(), &upstream.Request{Method: "GET", Target: path, Host: "x", Replayable: true})
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			results <- err
		}()
		if path != "/1" {
			eventually(t, path+" waits", func() bool { return p.queue.len() == queued+1 })
		}
	}
	ask(p, "/1")
	first := <-begun
	ask(p, "/2")
	ask(p, "/3")
	o.Name, o.Servers = "test", []Server{b.server(2)}
	q, err := p.Next(o)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	p.Retire()
	ask(q, "/4")
	ask(p, "/5") // which was on its way to it
	order := first
	for n := range 5 {
		goOn <- true
		if err := <-results; err != nil {
			t.Error(err)
		}
		if n < 4 {
			order += <-begun
		}
	}
	if order != "/1/2/3/4/5" {
		t.Errorf("served in the order %s", order)
	}
}

// A server that was taken out is closed after its time, and not before.
func TestRetire(t *testing.T) {
	b, other := newBackend(t, nil), newBackend(t, nil)
	p := newPool(t, Options{Drain: 200 * time.Millisecond, QueueTimeout: time.Millisecond}, b)
	if _, err := get(p, nil); err != nil {
		t.Fatal(err)
	}
	q, err := p.Next(Options{Name: "test", Servers: []Server{other.server(1)}})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	p.Retire()
	if _, err := get(p, nil); err != nil { // it was on its way
		t.Error(err)
	}
	eventually(t, "it is closed", p.Closed)
	if _, err := get(p, nil); !errors.Is(err, upstream.ErrClosed) {
		t.Errorf("after its time: %v", err)
	}
}

// A pool that did not come into force after all takes nothing with it.
func TestNextThatIsDropped(t *testing.T) {
	b := newBackend(t, nil)
	p := newPool(t, Options{}, b)
	q, err := p.Next(Options{Name: "test", Servers: []Server{b.server(1)}})
	if err != nil {
		t.Fatal(err)
	}
	q.Close()
	if _, err := get(p, nil); err != nil {
		t.Error(err)
	}
	if _, err := p.Next(Options{Name: "test", Servers: []Server{b.server(1)}, Balance: "nosuch"}); err == nil {
		t.Error("no error")
	}
	if _, err := get(p, nil); err != nil {
		t.Error(err)
	}
}

// The answer of a server that is well is not thrown away when there is no other.
func TestNoOtherServer(t *testing.T) {
	fails := newBackend(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	dead := newBackend(t, nil)
	dead.Close()
	p := newPool(t, Options{Retry: Retry{Status: []int{500}}, Health: &Health{Type: "tcp", Interval: time.Hour}}, fails, dead)
	eventually(t, "one is down", func() bool { return p.Status()[1].State == "down" })
	for range 20 {
		if status, err := get(p, nil); status != 500 {
			t.Fatal(status, err)
		}
	}
}

// A server that starts slowly is asked when the others have no room.
func TestSlowStartRefusesNobody(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	begun := make(chan bool, 10)
	wait := func(http.ResponseWriter, *http.Request) { begun <- true; <-hold }
	a, b := newBackend(t, wait), newBackend(t, wait)
	now := time.Unix(1e9, 0)
	p := newPool(t, Options{MaxConnections: 1, SlowStart: time.Hour, Now: func() time.Time { return now }}, a, b)
	p.members[1].since = now
	for range 2 {
		go get(p, nil)
		select {
		case <-begun:
		case <-time.After(10 * time.Second):
			t.Fatal("refused")
		}
	}
}

// Without what is hashed, all servers get requests.
func TestEmptyHashKey(t *testing.T) {
	a, b := newBackend(t, nil), newBackend(t, nil)
	p := newPool(t, Options{Balance: Hash}, a, b)
	for range 100 {
		get(p, &upstream.Request{Method: "GET", Target: "/", Host: "x"})
	}
	if a.hits.Load() == 0 || b.hits.Load() == 0 {
		t.Errorf("%d and %d requests", a.hits.Load(), b.hits.Load())
	}
}

// Pools that follow each other under load, with servers that come and go: nothing fails,
// nobody waits in vain, nothing is left over.
func TestNextUnderLoad(t *testing.T) {
	var all []*backend
	for range 4 {
		all = append(all, newBackend(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, strings.NewReader(r.URL.RawQuery)) }))
	}
	some := func() Options {
		o := Options{Name: "test", MaxConnections: 1 + rand.IntN(3), Queue: 100, QueueTimeout: 20 * time.Second, Balance: []Balance{LeastRequests, RoundRobin, Random, Hash}[rand.IntN(4)]}
		for _, i := range rand.Perm(len(all))[:1+rand.IntN(len(all))] {
			o.Servers = append(o.Servers, all[i].server(1+rand.IntN(3)))
		}
		return o
	}
	first, err := New(some())
	if err != nil {
		t.Fatal(err)
	}
	var current atomic.Pointer[Pool]
	current.Store(first)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	var served atomic.Int64
	for range 12 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				want := fmt.Sprint(n)
				rctx, stop := context.WithCancel(context.Background())
				if n%50 == 49 {
					time.AfterFunc(time.Duration(rand.IntN(2000))*time.Microsecond, stop)
				}
				res, err := current.Load().RoundTrip(rctx, &upstream.Request{Method: "GET", Target: "/?" + want, Host: "x", HashKey: want, Replayable: true})
				if err == nil {
					var b []byte
					b, err = io.ReadAll(res.Body)
					res.Body.Close()
					if err == nil && string(b) != want {
						err = fmt.Errorf("%q, want %q", b, want)
					}
				}
				if err != nil && rctx.Err() == nil {
					t.Error(err)
				}
				stop()
				served.Add(1)
			}
		})
	}
	var old []*Pool
	for range 60 {
		at := served.Load()
		eventually(t, "requests", func() bool { return served.Load() > at+40 })
		p := current.Load()
		q, err := p.Next(some())
		if err != nil {
			t.Fatal(err)
		}
		current.Store(q)
		p.Retire()
		old = append(old, p)
	}
	cancel()
	wg.Wait()
	current.Load().Close()
	for _, p := range old {
		p.Close() // which waits for nobody
	}
	for _, p := range old {
		for _, m := range p.members {
			if m.load.Load() != 0 || m.pools.Load() != 0 {
				t.Errorf("%s: %d requests, %d pools", m.address, m.load.Load(), m.pools.Load())
			}
		}
	}
}

package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"edge/proxy/upstream"
)

func TestMain(m *testing.M) {
	// net/http waits half a second after it has refused a request, whatever is closed meanwhile.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// backend is a server whose answers a test decides.
type backend struct {
	*httptest.Server
	hits   atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

func newBackend(t testing.TB, answer http.HandlerFunc) *backend {
	b := &backend{}
	if answer == nil {
		answer = func(http.ResponseWriter, *http.Request) {}
	}
	b.answer.Store(&answer)
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.hits.Add(1)
		(*b.answer.Load())(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) become(answer http.HandlerFunc) { b.answer.Store(&answer) }

func (b *backend) server(weight int) Server {
	return Server{Options: upstream.Options{Scheme: "http", Address: b.Listener.Addr().String()}, Weight: weight}
}

func newPool(t testing.TB, o Options, backends ...*backend) *Pool {
	t.Helper()
	o.Name = "test"
	for _, b := range backends {
		o.Servers = append(o.Servers, b.server(1))
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func get(p *Pool, r *upstream.Request) (int, error) {
	if r == nil {
		r = &upstream.Request{}
	}
	r.Method, r.Target, r.Host = "GET", "/", "x"
	r.Replayable = true
	res, err := p.RoundTrip(context.Background(), r)
	if err != nil {
		return 0, err
	}
	status := res.Status // the Response belongs to somebody else once it is closed
	io.Copy(io.Discard, res.Body)
	return status, res.Body.Close()
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("timed out waiting until %s", what)
}

// Over servers that are equal, shares differ by less than 5 %.
func TestEvenOverEqualServers(t *testing.T) {
	const n, servers = 40000, 4
	for _, b := range []Balance{LeastRequests, RoundRobin, Random} {
		var all []*member
		for i := range servers {
			all = append(all, &member{server: new(server), address: fmt.Sprint("s", i), weight: 1})
		}
		choose := newChooser(b, all)
		count := map[*member]int{}
		var held []*member // a constant number of requests in progress, each as long as the others
		for range n {
			m := choose(all, "")
			count[m]++
			m.load.Add(1)
			if held = append(held, m); len(held) > 32 {
				held[0].load.Add(-1)
				held = held[1:]
			}
		}
		for m, c := range count {
			if share := float64(c) * servers / n; share < 0.95 || share > 1.05 {
				t.Errorf("%s: %s got %.3f of its share", b, m.address, share)
			}
		}
	}
}

func TestWeights(t *testing.T) {
	const n = 60000
	for _, b := range []Balance{LeastRequests, RoundRobin, Random} {
		all := []*member{{server: new(server), address: "a", weight: 1}, {server: new(server), address: "b", weight: 2}, {server: new(server), address: "c", weight: 3}}
		choose := newChooser(b, all)
		count := map[*member]int{}
		var held []*member
		for range n {
			m := choose(all, "")
			count[m]++
			m.load.Add(1)
			if held = append(held, m); len(held) > 60 {
				held[0].load.Add(-1)
				held = held[1:]
			}
		}
		for _, m := range all {
			if share := float64(count[m]) * 6 / float64(n*m.weight); share < 0.93 || share > 1.07 {
				t.Errorf("%s: %s got %.3f of its share", b, m.address, share)
			}
		}
	}
	all := []*member{{server: new(server), address: "a", weight: 5}, {server: new(server), address: "b", weight: 1}, {server: new(server), address: "c", weight: 1}}
	choose, order := newRoundRobin(), ""
	for range 7 {
		order += choose(all, "").address
	}
	if order != "aabacaa" {
		t.Errorf("round robin goes %s", order)
	}
}

// A slow server gets fewer requests, without anybody configuring it.
func TestSlowServerGetsLess(t *testing.T) {
	quick := newBackend(t, func(http.ResponseWriter, *http.Request) { time.Sleep(2 * time.Millisecond) })
	slow := newBackend(t, func(http.ResponseWriter, *http.Request) { time.Sleep(40 * time.Millisecond) })
	p := newPool(t, Options{}, quick, slow)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 15 {
				if _, err := get(p, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if q, s := quick.hits.Load(), slow.hits.Load(); s*3 > q*2 || q+s != 240 {
		t.Errorf("the quick server got %d, the slow one %d", q, s)
	}
}

// Keys stay at their server; when one goes, only its keys move.
func TestMaglev(t *testing.T) {
	all := make([]*member, 10)
	for i := range all {
		all[i] = &member{server: new(server), address: fmt.Sprintf("10.0.0.%d:80", i), weight: 1}
	}
	choose := newMaglev(all)
	const keys = 20000
	before, count := map[string]*member{}, map[*member]int{}
	for i := range keys {
		k := fmt.Sprint("client", i)
		before[k] = choose(all, k)
		count[before[k]]++
	}
	for m, c := range count {
		if share := float64(c) * 10 / keys; share < 0.85 || share > 1.15 {
			t.Errorf("%s has %.2f of its share of keys", m.address, share)
		}
	}
	moved := 0
	for k, m := range before {
		if now := choose(all[1:], k); now != m && m != all[0] {
			moved++
		}
	}
	if moved > 0 {
		t.Errorf("one server does not answer for a while: %d keys of others moved", moved)
	}
	other := newMaglev(all[1:])
	moved = 0
	for k, m := range before {
		if other(all[1:], k) != m && m != all[0] {
			moved++
		}
	}
	if moved > keys/20 {
		t.Errorf("without one of ten servers %d of %d keys of others moved", moved, keys)
	}
}

// After failures in a row a server is left alone for a while, then it comes back.
func TestEjectionAndReturn(t *testing.T) {
	var now atomic.Int64
	now.Store(1e18)
	good, bad := newBackend(t, nil), newBackend(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	p := newPool(t, Options{Balance: RoundRobin, Eject: Ejection{Failures: 3, For: 10 * time.Second}, Now: func() time.Time { return time.Unix(0, now.Load()) }}, good, bad)
	errs := 0
	for range 100 {
		if status, err := get(p, nil); err != nil || status != 200 {
			errs++
		}
	}
	if errs != 3 || bad.hits.Load() != 3 {
		t.Errorf("%d answers of the bad server reached clients, it was asked %d times; want 3", errs, bad.hits.Load())
	}
	if s := p.Status()[1]; s.State != "ejected" || s.Healthy || s.Ejections != 1 {
		t.Errorf("status %+v", s)
	}
	// Still bad when it may come back: twice as long.
	now.Add(int64(11 * time.Second))
	for range 100 {
		get(p, nil)
	}
	now.Add(int64(15 * time.Second))
	if s := p.Status()[1]; s.State != "ejected" || s.Ejections != 2 {
		t.Errorf("status %+v", s)
	}
	now.Add(int64(6 * time.Second))
	bad.become(func(http.ResponseWriter, *http.Request) {})
	before := bad.hits.Load()
	for range 100 {
		if status, err := get(p, nil); err != nil || status != 200 {
			t.Fatal(status, err)
		}
	}
	if n := bad.hits.Load() - before; n != 50 {
		t.Errorf("back in the rotation it got %d of 100", n)
	}
}

// Not more than a part of a pool is taken out, and a pool that is bad as a whole
// is still asked.
func TestNotAllAreEjected(t *testing.T) {
	fail := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }
	a, b, c, d := newBackend(t, fail), newBackend(t, fail), newBackend(t, fail), newBackend(t, fail)
	p := newPool(t, Options{Eject: Ejection{Failures: 1}}, a, b, c, d)
	for range 50 {
		if status, err := get(p, nil); status != 502 {
			t.Fatal(status, err)
		}
	}
	out := 0
	for _, s := range p.Status() {
		if s.State == "ejected" {
			out++
		}
	}
	if out != 2 {
		t.Errorf("%d of 4 are out, want 50 %%", out)
	}
}

// A server that cannot be reached costs the client nothing.
func TestRetryElsewhere(t *testing.T) {
	dead := newBackend(t, nil)
	dead.Close()
	alive := newBackend(t, nil)
	p := newPool(t, Options{Balance: RoundRobin, Eject: Ejection{Off: true}}, dead, alive)
	for i := range 20 {
		r := &upstream.Request{Method: "POST", Target: "/", Host: "x", Body: strings.NewReader("x"), ContentLength: 1}
		res, err := p.RoundTrip(context.Background(), r)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if i == 0 && res.Attempts != 2 {
			t.Errorf("%d attempts", res.Attempts)
		}
		res.Body.Close()
	}
	if s := p.Status(); s[1].Retries == 0 {
		t.Errorf("retries are not counted: %+v", s)
	}
}

// What a server may have begun to do is not done again.
func TestNoRetryOfWhatWasSent(t *testing.T) {
	hang := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	a, b := newBackend(t, hang), newBackend(t, hang)
	p := newPool(t, Options{Eject: Ejection{Off: true}}, a, b)
	r := &upstream.Request{Method: "POST", Target: "/", Host: "x", Body: strings.NewReader("x"), ContentLength: 1}
	if _, err := p.RoundTrip(context.Background(), r); err == nil {
		t.Fatal("no error")
	}
	if n := a.hits.Load() + b.hits.Load(); n != 1 {
		t.Errorf("a POST was sent %d times", n)
	}
	if _, err := get(p, nil); err == nil {
		t.Fatal("no error")
	}
	if n := a.hits.Load() + b.hits.Load(); n < 3 {
		t.Errorf("a GET was not tried elsewhere: %d requests", n)
	}
}

// A pool that is down is not asked several times as often.
func TestRetryBudget(t *testing.T) {
	busy := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
	a, b, c := newBackend(t, busy), newBackend(t, busy), newBackend(t, busy)
	p := newPool(t, Options{Eject: Ejection{Off: true}, Retry: Retry{Attempts: 3, Budget: 0.1, Status: []int{503}}, Now: func() time.Time { return time.Unix(1e9, 0) }}, a, b, c)
	const n = 500
	for range n {
		if status, err := get(p, nil); status != 503 {
			t.Fatal(status, err)
		}
	}
	if sent := a.hits.Load() + b.hits.Load() + c.hits.Load(); sent < n+budgetFree || sent > n+n/10+1 {
		t.Errorf("%d requests became %d", n, sent)
	}
}

func TestQueue(t *testing.T) {
	begun, goOn := make(chan bool, 10), make(chan bool)
	b := newBackend(t, func(http.ResponseWriter, *http.Request) { begun <- true; <-goOn })
	p := newPool(t, Options{MaxConnections: 1, Queue: 2, QueueTimeout: 2 * time.Second}, b)
	results := make(chan error, 10)
	start := func() { go func() { _, err := get(p, nil); results <- err }() }
	start()
	<-begun
	start()
	start()
	eventually(t, "two wait", func() bool { return p.Status()[0].Queued == 2 })
	// One more is refused at once.
	_, err := get(p, nil)
	var ue *upstream.Error
	if !errors.As(err, &ue) || ue.Status() != 503 || ue.Op != "queue" || !errors.Is(err, ErrBusy) {
		t.Errorf("with a full queue: %v", err)
	}
	// Who leaves makes room.
	ctx, cancel := context.WithCancel(context.Background())
	for range 3 {
		goOn <- true
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	cancel()
	asked := b.hits.Load()
	if _, err := p.RoundTrip(ctx, &upstream.Request{Method: "GET", Target: "/", Host: "x"}); err == nil || b.hits.Load() != asked {
		t.Error("a request of nobody was sent")
	}
	eventually(t, "the pool is idle", func() bool { return p.members[0].load.Load() == 0 && p.queue.len() == 0 })
}

func TestQueueTimeout(t *testing.T) {
	begun, goOn := make(chan bool, 1), make(chan bool)
	b := newBackend(t, func(http.ResponseWriter, *http.Request) { begun <- true; <-goOn })
	p := newPool(t, Options{MaxConnections: 1, Queue: 2, QueueTimeout: 30 * time.Millisecond}, b)
	done := make(chan error)
	go func() { _, err := get(p, nil); done <- err }()
	<-begun
	if _, err := get(p, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	goOn <- true
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStickyCookie(t *testing.T) {
	a, b := newBackend(t, nil), newBackend(t, nil)
	p := newPool(t, Options{Sticky: &Sticky{Cookie: "srv", Secret: []byte("0123456789abcdef"), TTL: time.Hour, Secure: true}}, a, b)
	res, err := p.RoundTrip(context.Background(), &upstream.Request{Method: "GET", Target: "/", Host: "x"})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	c, err := http.ParseSetCookie(res.SetSticky)
	if err != nil || c.Name != "srv" || !c.HttpOnly || !c.Secure || c.MaxAge != 3600 || strings.Contains(c.Value, "127") {
		t.Fatalf("%q %v", res.SetSticky, err)
	}
	mine, other := a, b
	if b.hits.Load() == 1 {
		mine, other = b, a
	}
	for range 20 {
		r := &upstream.Request{Sticky: c.Value}
		if _, err := get(p, r); err != nil {
			t.Fatal(err)
		}
	}
	if other.hits.Load() != 0 || mine.hits.Load() != 21 {
		t.Errorf("%d and %d", mine.hits.Load(), other.hits.Load())
	}
	// A made-up value chooses nothing, and gets a right one.
	res, err = p.RoundTrip(context.Background(), &upstream.Request{Method: "GET", Target: "/", Host: "x", Sticky: "forged"})
	if err != nil || res.SetSticky == "" {
		t.Errorf("%v %+v", err, res)
	}
	res.Body.Close()
	// A server that is gone is replaced.
	mine.CloseClientConnections()
	mine.Close()
	if status, err := get(p, &upstream.Request{Sticky: c.Value}); status != 200 {
		t.Error(status, err)
	}
}

func TestHealthChecks(t *testing.T) {
	var sick atomic.Bool
	look := func(w http.ResponseWriter, r *http.Request) {
		if sick.Load() && r.URL.Path == "/healthz" {
			w.WriteHeader(500)
		}
	}
	a, b := newBackend(t, look), newBackend(t, nil)
	p := newPool(t, Options{Balance: RoundRobin, Health: &Health{Path: "/healthz", Interval: 5 * time.Millisecond, Rise: 2, Fall: 2}}, a, b)
	state := func() string { return p.Status()[0].State }
	eventually(t, "both were looked at", func() bool { return a.hits.Load() > 0 && b.hits.Load() > 0 })
	sick.Store(true)
	eventually(t, "the sick server is out", func() bool { return state() == "down" })
	for range 10 {
		if m, err := p.pick(&upstream.Request{}, nil); err != nil || m != p.members[1] {
			t.Fatal("the sick server is asked")
		}
		p.put(p.members[1])
	}
	sick.Store(false)
	eventually(t, "it is back", func() bool { return state() == "up" })
	// All down: nobody is asked.
	a.Close()
	b.Close()
	eventually(t, "all are out", func() bool { return state() == "down" && p.Status()[1].State == "down" })
	_, err := get(p, nil)
	var ue *upstream.Error
	if !errors.As(err, &ue) || ue.Status() != 503 || !errors.Is(err, ErrNoServer) {
		t.Errorf("got %v", err)
	}
}

func TestTCPCheck(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Options{Name: "x", Servers: []Server{{Options: upstream.Options{Scheme: "http", Address: l.Addr().String()}}},
		Health: &Health{Type: "tcp", Interval: 5 * time.Millisecond, Fall: 1, Rise: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	l.Close()
	eventually(t, "it is down", func() bool { return p.Status()[0].State == "down" })
}

func TestBackup(t *testing.T) {
	main, spare := newBackend(t, nil), newBackend(t, nil)
	o := Options{Name: "x", Servers: []Server{main.server(1), spare.server(1)}, Eject: Ejection{Failures: 1}}
	o.Servers[1].Backup = true
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 20 {
		get(p, nil)
	}
	if spare.hits.Load() != 0 {
		t.Error("a backup was asked while the server was well")
	}
	main.CloseClientConnections()
	main.Close()
	for range 20 {
		if status, err := get(p, nil); status != 200 {
			t.Fatal(status, err)
		}
	}
}

func TestSlowStart(t *testing.T) {
	now := time.Unix(1e9, 0)
	p := &Pool{o: Options{SlowStart: 10 * time.Second}}
	m := &member{server: &server{since: now}}
	for after, want := range map[time.Duration]float64{0: 0.1, 5 * time.Second: 0.5, 10 * time.Second: 1, time.Hour: 1} {
		if got := p.share(m, now.Add(after)); got != want {
			t.Errorf("after %v: %v, want %v", after, got, want)
		}
	}
}

func TestTotal(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	p := newPool(t, Options{Total: 50 * time.Millisecond}, b)
	start := time.Now()
	_, err := get(p, nil)
	var ue *upstream.Error
	if !errors.As(err, &ue) || ue.Status() != 504 || time.Since(start) > 3*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

// Clients take no server out, however many bodies they break off.
func TestClientsEjectNobody(t *testing.T) {
	a, b := newBackend(t, nil), newBackend(t, nil)
	swallow := func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }
	a.become(swallow)
	b.become(swallow)
	p := newPool(t, Options{}, a, b)
	for range 30 {
		_, err := p.RoundTrip(t.Context(), &upstream.Request{Method: "POST", Target: "/", Host: "x", Body: io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(io.ErrUnexpectedEOF)), ContentLength: 100})
		if err == nil {
			t.Fatal("no error")
		}
	}
	for _, s := range p.Status() {
		if s.State != "up" || s.Ejections > 0 || s.Failures > 0 {
			t.Errorf("%+v", s)
		}
	}
}

// A server that is too slow has used up the time: nobody waits for it twice.
func TestNoRetryAfterTimeout(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	wait := func(http.ResponseWriter, *http.Request) { <-hang }
	a, b := newBackend(t, wait), newBackend(t, wait)
	var servers []Server
	for _, s := range []*backend{a, b} {
		c := s.server(1)
		c.Options.HeaderTimeout = 50 * time.Millisecond
		servers = append(servers, c)
	}
	p := newPool(t, Options{Servers: servers})
	res, err := p.RoundTrip(t.Context(), &upstream.Request{Method: "GET", Target: "/", Host: "x", Replayable: true})
	ue, ok := err.(*upstream.Error)
	if !ok || !ue.Timeout || p.Status()[0].Requests+p.Status()[1].Requests != 1 {
		t.Errorf("%v %v %+v", res, err, p.Status())
	}
}

package acmeglue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edge"
)

// permission is an endpoint that permits what ends in ".customer.test".
type permission struct {
	*httptest.Server
	asked  atomic.Int64
	status atomic.Int64 // answered to everything where it is not 0
	hang   atomic.Pointer[chan struct{}]

	mu    sync.Mutex
	names map[string]int
}

func newPermission(t testing.TB) *permission {
	p := &permission{names: make(map[string]int)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		name := r.URL.Query().Get("domain")
		p.mu.Lock()
		p.names[name]++
		p.mu.Unlock()
		if c := p.hang.Load(); c != nil {
			select {
			case <-*c:
			case <-r.Context().Done():
			}
			return
		}
		switch s := p.status.Load(); {
		case s != 0:
			w.Header().Set("Location", "/yes")
			w.WriteHeader(int(s))
		case r.URL.Path == "/yes" || r.URL.Query().Get("token") != "s3cret":
			w.WriteHeader(http.StatusOK) // a redirect was followed, or the query lost
		case !strings.HasSuffix(name, ".customer.test"):
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *permission) most() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	most := 0
	for _, n := range p.names {
		most = max(most, n)
	}
	return most
}

func (p *permission) rule(ca ...CA) OnDemandRule {
	return OnDemandRule{Hosts: []string{"*"}, Ask: p.URL + "/allowed?token=s3cret", Plan: Plan{CAs: ca}}
}

func TestAskDecides(t *testing.T) {
	ca, p, obs := newFakeCA(t, "ca.test", time.Now), newPermission(t), &events{}
	m := NewManager(ManagerOptions{Storage: openStorage(t), Observer: obs})
	running(t, m, Settings{OnDemand: []OnDemandRule{p.rule(ca)}})
	serial(t, m, "a.customer.test")
	for range 3 {
		if _, err := m.Certificate("stranger.test", nil); !errors.Is(err, edge.ErrNotPermitted) || !errors.Is(err, edge.ErrNoCertificate) {
			t.Errorf("refused name: %v", err)
		}
	}
	p.status.Store(http.StatusFound)
	if _, err := m.Certificate("redirected.test", nil); !errors.Is(err, edge.ErrNotPermitted) {
		t.Errorf("redirect: %v", err)
	}
	if n := p.asked.Load(); n != 3 {
		t.Errorf("asked %d times, want once a name", n)
	}
	if n := ca.orders.Load(); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
	if a, d, c := obs.count("allow"), obs.count("deny"), obs.count("cached_deny"); a != 1 || d != 2 || c != 2 {
		t.Errorf("allow %d deny %d cached_deny %d, want 1 2 2", a, d, c)
	}
	if got := m.OnDemandCounts(); got["allow"] != 1 || got["cached_deny"] != 2 {
		t.Errorf("counts %v", got)
	}
}

func TestNamesThatNobodyIsAskedAbout(t *testing.T) {
	ca, p := newFakeCA(t, "ca.test", time.Now), newPermission(t)
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, Settings{
		OnDemand: []OnDemandRule{p.rule(ca), {Hosts: []string{"*.allowed.internal"}, Allow: []string{"*.allowed.internal"}, Plan: Plan{CAs: []CA{ca}}}},
		Off:      []string{"off.customer.test", "*.off.customer.test"},
	})
	for _, name := range []string{"", "localhost", "single", "x.localhost", "printer.local", "db.internal", "abc.def.acme.invalid",
		"192.0.2.1", "2001:db8::1", "a..customer.test", "under_score.customer.test", "1.2.0.192.in-addr.arpa", "router.home.arpa",
		"off.customer.test", "x.off.customer.test", strings.Repeat("a", 64) + ".customer.test"} {
		if _, err := m.Certificate(name, nil); !errors.Is(err, edge.ErrNoCertificate) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if n := p.asked.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
	serial(t, m, "x.allowed.internal") // said so in so many words
}

func TestAllowPatterns(t *testing.T) {
	r := newRule(OnDemandRule{Allow: []string{"exact.test", "*.one.test", "**.deep.test"}}, time.Now)
	for name, want := range map[string]bool{
		"exact.test": true, "x.exact.test": false, "notexact.test": false,
		"a.one.test": true, "a.b.one.test": false, "one.test": false, "aone.test": false,
		"a.deep.test": true, "a.b.deep.test": true, "deep.test": false, "xdeep.test": false, ".deep.test": false,
	} {
		if got := r.allows(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// Strangers who make up names cost no order, no file, no memory and one
// question each, and do not keep permitted names from their certificates.
func TestTenThousandUnknownNames(t *testing.T) {
	ca, p := newFakeCA(t, "ca.test", time.Now), newPermission(t)
	storage := openStorage(t)
	m := NewManager(ManagerOptions{Storage: storage})
	running(t, m, Settings{OnDemand: []OnDemandRule{p.rule(ca)}})
	serial(t, m, "first.customer.test")
	before, files := liveHeap(), countFiles(t, storage)

	var wg sync.WaitGroup
	names := make(chan string)
	for range 16 {
		wg.Go(func() {
			for name := range names {
				if _, err := m.Certificate(name, nil); !errors.Is(err, edge.ErrNoCertificate) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	for round := range 2 {
		for i := range 10_000 {
			names <- fmt.Sprintf("name-%d.of-a-stranger.test", i)
			if i%1000 == 500 {
				began := time.Now()
				serial(t, m, fmt.Sprintf("shop-%d-%d.customer.test", round, i))
				if d := time.Since(began); d > 3*time.Second {
					t.Errorf("a permitted name took %v meanwhile", d)
				}
			}
		}
	}
	close(names)
	wg.Wait()
	if n := ca.orders.Load(); n != 21 {
		t.Errorf("%d orders, want 21", n)
	}
	if n := p.most(); n != 1 {
		t.Errorf("the same name was asked about %d times", n)
	}
	// Each certificate has three files and a folder, and left its lock behind for at most a moment.
	if n := countFiles(t, storage) - files; n != 20*3 {
		t.Errorf("%d files more, want %d", n, 20*3)
	}
	grown := int64(liveHeap()) - int64(before)
	t.Logf("heap grew by %.1f MB", float64(grown)/(1<<20))
	if grown > 32<<20 {
		t.Errorf("heap grew by %d bytes", grown)
	}
	runtime.KeepAlive(m)
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return ms.HeapAlloc
}

func countFiles(t testing.TB, s *FileStorage) (n int) {
	t.Helper()
	err := filepath.WalkDir(s.Path, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPermissionEndpointInTrouble(t *testing.T) {
	for name, trouble := range map[string]func(*permission){
		"down": func(p *permission) { p.Close() },
		"500":  func(p *permission) { p.status.Store(500) },
		"slow": func(p *permission) { c := make(chan struct{}); p.hang.Store(&c) },
	} {
		t.Run(name, func(t *testing.T) {
			ca, p := newFakeCA(t, "ca.test", time.Now), newPermission(t)
			storage := openStorage(t)
			m := NewManager(ManagerOptions{Storage: storage})
			set := Settings{OnDemand: []OnDemandRule{p.rule(ca)}}
			stop := running(t, m, set)
			own := serial(t, m, "a.customer.test")
			trouble(p)
			look := func() {
				if got := serial(t, m, "a.customer.test"); got != own {
					t.Errorf("serial %s, want %s", got, own)
				}
				for i := range 3 {
					began := time.Now()
					_, err := m.Certificate("b.customer.test", nil)
					if d := time.Since(began); d > 3*time.Second || i > 0 && d > time.Second {
						t.Errorf("try %d: refused after %v", i, d)
					}
					if err == nil {
						t.Error("a certificate without consent")
					}
				}
			}
			look()
			stop()
			m = NewManager(ManagerOptions{Storage: storage})
			running(t, m, set)
			look()
			if n := p.most(); n > 2 { // once by each process
				t.Errorf("asked %d times about one name", n)
			}
			if n := ca.orders.Load(); n != 1 {
				t.Errorf("%d orders, want 1", n)
			}
		})
	}
}

func TestCADownForANewName(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	ca.fail(unreachableErr(ca))
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.test"}, Plan: Plan{CAs: []CA{ca}}, MaxNewPerHour: 3}}})
	for i := range 20 {
		began := time.Now()
		_, err := m.Certificate(fmt.Sprintf("new-%d.test", i%2), nil)
		if d := time.Since(began); d > time.Second || err == nil {
			t.Errorf("try %d: %v after %v", i, err, d)
		}
	}
	if n := ca.orders.Load(); n > 2 {
		t.Errorf("the dead CA was tried %d times for two names", n)
	}
}

// What no CA was asked for does not count against the quota.
func TestOutageCostsNoQuota(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		ca.fail(unreachableErr(ca))
		m := NewManager(ManagerOptions{Storage: openStorage(t)})
		stop := running(t, m, Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.test"}, Plan: Plan{CAs: []CA{ca}}, MaxNewPerHour: 2}}})
		for i := range 10 {
			if _, err := m.Certificate(fmt.Sprintf("n%d.test", i), nil); err == nil {
				t.Fatal("a certificate from a dead CA")
			}
		}
		ca.fail(nil)
		time.Sleep(time.Minute)
		serial(t, m, "last.test")
		stop()
	})
}

func TestNewNamesAtATime(t *testing.T) {
	ca, p := newFakeCA(t, "ca.test", time.Now), newPermission(t)
	hang := make(chan struct{})
	p.hang.Store(&hang)
	obs := &events{}
	m := NewManager(ManagerOptions{Storage: openStorage(t), Observer: obs})
	running(t, m, Settings{OnDemand: []OnDemandRule{p.rule(ca)}})
	var wg sync.WaitGroup
	for i := range maxFlights + 100 {
		wg.Go(func() {
			// Some are permitted in the end; this is about who has to wait for it.
			_, _ = m.Certificate(fmt.Sprintf("n%d.test", i), nil)
		})
	}
	eventually(t, "the last hundred are turned away at once", func() bool { return obs.count("throttled") == 100 })
	close(hang)
	wg.Wait()
}

// hungCA takes connections and says nothing.
type hungCA struct{ *fakeCA }

func (h hungCA) Probe(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestCAHangsForANewName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		m := NewManager(ManagerOptions{Storage: openStorage(t)})
		stop := running(t, m, Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.test"}, Plan: Plan{CAs: []CA{hungCA{ca}}}, MaxNewPerHour: 1}}})
		for i, most := range []time.Duration{3 * time.Second, 10 * time.Millisecond, 10 * time.Millisecond} {
			began := time.Now()
			if _, err := m.Certificate(fmt.Sprintf("n%d.test", i), nil); err == nil || time.Since(began) > most {
				t.Errorf("try %d: %v after %v", i, err, time.Since(began))
			}
		}
		if n := ca.orders.Load(); n != 0 {
			t.Errorf("%d orders", n)
		}
		stop()
	})
}

func TestNewNamesAnHour(t *testing.T) {
	ca, obs := newFakeCA(t, "ca.test", time.Now), &events{}
	m := NewManager(ManagerOptions{Storage: openStorage(t), Observer: obs})
	set := Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.test"}, Plan: Plan{CAs: []CA{ca}}, MaxNewPerHour: 3}}}
	running(t, m, set)
	for i := range 3 {
		serial(t, m, fmt.Sprintf("n%d.test", i))
	}
	if err := m.Apply(set); err != nil { // a reload is no way around it
		t.Fatal(err)
	}
	if _, err := m.Certificate("n4.test", nil); err == nil {
		t.Error("a fourth name within the hour")
	}
	if n := obs.count("throttled"); n != 1 {
		t.Errorf("%d throttled events, want 1", n)
	}
	serial(t, m, "n1.test")
}

func TestConcurrentOrders(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	ca.hold = make(chan struct{})
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.test"}, Plan: Plan{CAs: []CA{ca}}, MaxConcurrent: 2}}})
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() { serial(t, m, fmt.Sprintf("n%d.test", i)) })
	}
	eventually(t, "two orders", func() bool { return ca.orders.Load() == 2 })
	for range 6 {
		if n := ca.orders.Load() - int64(len(m.Statuses())); n > 2 {
			t.Errorf("%d orders at a time", n)
		}
		ca.hold <- struct{}{}
	}
	wg.Wait()
}

func TestAddressOnDemand(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	for _, allow := range []bool{true, false} {
		m := NewManager(ManagerOptions{Storage: openStorage(t)})
		running(t, m, Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"127.0.0.1"}, AllowIP: allow, Plan: Plan{CAs: []CA{ca}}}}})
		got := dialTLS(t, m, "")
		if (got != nil) != allow {
			t.Errorf("allow_ip %v: %v", allow, got)
		}
	}
}

func TestClientGoesAwayOrderGoesOn(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	ca.hold = make(chan struct{})
	m := NewManager(ManagerOptions{Storage: openStorage(t), HandshakeWait: 50 * time.Millisecond})
	running(t, m, Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.test"}, Plan: Plan{CAs: []CA{ca}}}}})
	if _, err := m.Certificate("new.test", nil); err == nil || errors.Is(err, edge.ErrNoCertificate) {
		t.Fatalf("error %v, want one of its own for an order that takes long", err)
	}
	close(ca.hold)
	eventually(t, "the certificate is there all the same", func() bool { return len(valid(m)) == 1 })
	serial(t, m, "new.test")
	if n := ca.orders.Load(); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

func TestRenewedWhileUsed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		storage := openStorage(t)
		set := Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.test"}, Plan: Plan{CAs: []CA{ca}}}}}
		m := NewManager(ManagerOptions{Storage: storage})
		stop := running(t, m, set)
		first := serial(t, m, "used.test")
		serial(t, m, "unused.test")
		for range 50 {
			time.Sleep(days)
			serial(t, m, "used.test")
		}
		stop()
		// The next process knows who was used.
		m = NewManager(ManagerOptions{Storage: storage})
		stop = running(t, m, set)
		time.Sleep(12 * days)
		if got := serial(t, m, "used.test"); got == first {
			t.Error("a used name was not renewed")
		}
		if n := ca.orders.Load(); n != 3 {
			t.Errorf("%d orders, want 3: %v", n, ca.names())
		}
		time.Sleep(40 * days)
		for _, st := range m.Statuses() {
			if st.Name == "unused.test" {
				t.Errorf("unused and expired, but still there: %+v", st)
			}
		}
		if names, err := m.store.names(context.Background(), "ca.test"); err != nil || len(names) != 1 {
			t.Errorf("storage has %v, %v", names, err)
		}
		serial(t, m, "unused.test") // as new
		stop()
	})
}

func TestPermissionWithdrawn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		m := NewManager(ManagerOptions{Storage: openStorage(t)})
		rule := OnDemandRule{Hosts: []string{"*"}, Ask: "http://127.0.0.1:1/", Plan: Plan{CAs: []CA{ca}}}
		stop := running(t, m, Settings{OnDemand: []OnDemandRule{rule}})
		// The endpoint is played by a transport: a real one would stop the clock.
		var mu sync.Mutex
		status := 200
		set := func(s int) {
			mu.Lock()
			defer mu.Unlock()
			status = s
		}
		m.view.Load().rules["*"].asker.client.Transport = transport(func(*http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if status == 0 {
				return nil, errors.New("down")
			}
			return &http.Response{StatusCode: status, Body: http.NoBody}, nil
		})
		use := func(names ...string) {
			for _, n := range names {
				serial(t, m, n)
			}
		}
		use("a.test", "b.test")
		set(0)
		for range 75 {
			time.Sleep(days)
			use("a.test", "b.test")
		}
		if n := ca.orders.Load(); n != 2 {
			t.Errorf("%d orders while nobody could be asked and there was time, want 2", n)
		}
		time.Sleep(9 * days) // near the end the consent that was given holds
		if n := ca.orders.Load(); n != 4 {
			t.Errorf("%d orders near the end, want 4", n)
		}
		set(403)
		for range 80 {
			time.Sleep(days)
			use("a.test")
		}
		if n := ca.orders.Load(); n != 4 {
			t.Errorf("%d orders after consent was withdrawn, want 4", n)
		}
		if st := statusOf(t, m, "a.test"); st.LastReason != edge.ReasonPermission {
			t.Errorf("status %+v", st)
		}
		stop()
	})
}

func TestAnswersAreForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		status, asked := 403, 0
		a := newAsker("http://permission.test/?a=b", time.Now)
		a.client.Transport = transport(func(r *http.Request) (*http.Response, error) {
			asked++
			if got := r.URL.Query(); got.Get("domain") != "x.test" || got.Get("a") != "b" {
				t.Errorf("asked %s", r.URL)
			}
			if status == 0 {
				return nil, errors.New("down")
			}
			return &http.Response{StatusCode: status, Body: http.NoBody}, nil
		})
		for _, c := range []struct {
			status  int
			consent bool
			err     bool
			keep    time.Duration
		}{{403, false, false, keepRefusal}, {404, false, false, keepRefusal}, {301, false, false, keepRefusal}, {204, true, false, keepConsent},
			{500, false, true, keepTrouble}, {429, false, true, keepTrouble}, {0, false, true, keepTrouble}} {
			status = c.status
			if ans := a.ask(t.Context(), "x.test"); ans.consent != c.consent || (ans.err != nil) != c.err {
				t.Errorf("%d: %+v", c.status, ans)
			}
			time.Sleep(c.keep - time.Millisecond)
			if _, ok := a.known("x.test"); !ok {
				t.Errorf("%d: forgotten too early", c.status)
			}
			time.Sleep(2 * time.Millisecond)
			if _, ok := a.known("x.test"); ok {
				t.Errorf("%d: remembered too long", c.status)
			}
		}
		if asked != 7 {
			t.Errorf("asked %d times, want 7", asked)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	var m memory
	for i := range 10 * generation {
		m.put(fmt.Sprint(i), answer{})
	}
	if n := len(m.young) + len(m.old); n > 2*generation {
		t.Errorf("%d names are remembered", n)
	}
	if _, ok := m.get(fmt.Sprint(10*generation - 1)); !ok {
		t.Error("the latest name is forgotten")
	}
	if _, ok := m.get("0"); ok {
		t.Error("the first name is remembered")
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

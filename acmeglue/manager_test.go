package acmeglue

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"edge"
)

func TestManagedNamesAreObtainedAndServed(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	obs := &events{}
	storage := openStorage(t)
	m := NewManager(ManagerOptions{Storage: storage, Observer: obs})
	stop := running(t, m, Settings{
		Sites:   []Site{{Hosts: ids(t, "example.org", "*.example.org", "192.0.2.7"), Plan: Plan{CAs: []CA{ca}}}},
		Default: []string{"example.org"},
	})
	eventually(t, "three certificates", func() bool { return ca.orders.Load() == 3 && len(valid(m)) == 3 })

	own := serial(t, m, "example.org")
	serial(t, m, "a.example.org")
	if got := serial(t, m, "example.org"); got != own {
		t.Errorf("another certificate: %s, then %s", own, got)
	}
	// What nobody has goes to the default site.
	c, err := m.Certificate("elsewhere.test", nil)
	if d, _ := m.Certificate("example.org", nil); err != nil || c != d {
		t.Errorf("unknown name: %v, %v; want the default site's", c, err)
	}
	stop()

	// The next process asks nobody.
	m = NewManager(ManagerOptions{Storage: storage})
	running(t, m, Settings{Sites: []Site{{Hosts: ids(t, "example.org", "*.example.org"), Plan: Plan{CAs: []CA{ca}}}}})
	if got := serial(t, m, "example.org"); got != own {
		t.Errorf("after a restart serial %s, want %s", got, own)
	}
	if _, err := m.Certificate("elsewhere.test", nil); !errors.Is(err, edge.ErrNoCertificate) {
		t.Errorf("unknown name without default site: %v", err)
	}
	if n := ca.orders.Load(); n != 3 {
		t.Errorf("%d orders, want 3", n)
	}
}

func valid(m *Manager) (names []string) {
	for _, st := range m.Statuses() {
		if st.State == edge.StateValid {
			names = append(names, st.Name)
		}
	}
	return names
}

func TestOneOrderHoweverManyClients(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	ca.hold = make(chan struct{})
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.example.org"}, Plan: Plan{CAs: []CA{ca}}}}})

	var wg sync.WaitGroup
	got := make([]*tls.Certificate, 20)
	for i := range got {
		wg.Go(func() {
			c, err := m.Certificate("new.example.org", nil)
			if err != nil {
				t.Error(err)
			}
			got[i] = c
		})
	}
	eventually(t, "an order", func() bool { return ca.orders.Load() > 0 })
	close(ca.hold)
	wg.Wait()
	if n := ca.orders.Load(); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
	for _, c := range got {
		if c == nil || c != got[0] {
			t.Fatal("clients got different certificates")
		}
	}
	if _, err := m.Certificate("other.test", nil); !errors.Is(err, edge.ErrNoCertificate) || !errors.Is(err, edge.ErrNotPermitted) {
		t.Errorf("a name that nobody permits: %v", err)
	}
}

func TestMostUrgentFirst(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	storage := openStorage(t)
	now := time.Now()
	days := func(d int) time.Time { return now.Add(time.Duration(d) * 24 * time.Hour) }
	ca.store(t, storage, "soon.test", days(-80), days(10))
	ca.store(t, storage, "sooner.test", days(-85), days(5))
	ca.store(t, storage, "expired.test", days(-100), days(-10))
	ca.store(t, storage, "fine.test", days(-1), days(89))
	m := NewManager(ManagerOptions{Storage: storage, Workers: 1})
	running(t, m, Settings{Sites: []Site{{Hosts: ids(t, "fine.test", "soon.test", "sooner.test", "missing.test", "expired.test"), Plan: Plan{CAs: []CA{ca}}}}})
	eventually(t, "all renewed", func() bool { return len(valid(m)) == 5 })
	want := []string{"missing.test", "expired.test", "sooner.test", "soon.test"}
	if got := ca.names(); !slices.Equal(got, want) {
		t.Errorf("orders in sequence %v, want %v", got, want)
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, Settings{Sites: []Site{{Hosts: ids(t, "www.a-rather-long-name-of-a-host.example.org", "*.a-rather-long-name-of-a-host.example.org"), Plan: Plan{CAs: []CA{ca}}}}})
	eventually(t, "certificates", func() bool { return len(valid(m)) == 2 })
	hello := &tls.ClientHelloInfo{}
	for _, name := range []string{"www.a-rather-long-name-of-a-host.example.org", "any.a-rather-long-name-of-a-host.example.org"} {
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := m.Certificate(name, hello); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("lookup of %s: %v allocations, want 0", name, n)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	now := time.Now()
	ca := newFakeCA(b, "ca.test", time.Now)
	storage := openStorage(b)
	ca.store(b, storage, "example.org", now.Add(-time.Hour), now.Add(2000*time.Hour))
	m := NewManager(ManagerOptions{Storage: storage})
	var hosts []string
	for i := range 10_000 {
		hosts = append(hosts, fmt.Sprintf("host-%d.example.net", i))
	}
	ca.fail(errors.New("not now"))
	if err := m.Apply(Settings{Sites: []Site{{Hosts: ids(b, append(hosts, "example.org")...), Plan: Plan{CAs: []CA{ca}}}}}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Certificate("example.org", nil); err != nil {
			b.Fatal(err)
		}
	}
}

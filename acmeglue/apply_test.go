package acmeglue

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"edge"
)

// pair writes a certificate and its key as files of the administrator.
func pair(t *testing.T, ca *fakeCA, names ...string) StaticPair {
	t.Helper()
	dir := t.TempDir()
	p := StaticPair{Hosts: names, CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	rewrite(t, ca, p)
	return p
}

func rewrite(t *testing.T, ca *fakeCA, p StaticPair) {
	t.Helper()
	st := ca.make(t, strings.Replace(p.Hosts[0], "*", "www.example.org", 1), time.Now().Add(-hours), time.Now().Add(days))
	if err := os.WriteFile(p.CertFile, st.chain, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.KeyFile, st.key, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStaticPairs(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	p := pair(t, ca, "static.test")
	set := Settings{Static: []StaticPair{p}}
	running(t, m, set)
	first := serial(t, m, "static.test")
	if st := statusOf(t, m, "static.test"); st.Source != edge.SourceStatic || st.State != edge.StateValid {
		t.Errorf("status %+v", st)
	}
	rewrite(t, ca, p)
	if got := serial(t, m, "static.test"); got != first {
		t.Error("the files were read without being told to")
	}
	if err := m.Apply(set); err != nil {
		t.Fatal(err)
	}
	second := serial(t, m, "static.test")
	if second == first {
		t.Error("the files were not read again")
	}
	// A mistake changes nothing.
	if err := os.WriteFile(p.KeyFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	set.Sites = one(ca, ids(t, "more.test")...).Sites
	if err := m.Apply(set); err == nil || !strings.Contains(err.Error(), p.KeyFile) {
		t.Errorf("an empty key: %v", err)
	}
	if got := serial(t, m, "static.test"); got != second {
		t.Error("a failed reload changed the certificate")
	}
	if len(m.Statuses()) != 1 {
		t.Errorf("a failed reload added names: %+v", m.Statuses())
	}
	if n := ca.orders.Load(); n != 0 {
		t.Errorf("%d orders", n)
	}
}

func TestStaticForEverythingElse(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, Settings{Static: []StaticPair{pair(t, ca, "*")}, Sites: one(ca, ids(t, "own.test")...).Sites})
	eventually(t, "own.test", func() bool { return len(valid(m)) == 2 })
	own, err := m.Certificate("own.test", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"www.example.org", ""} {
		if c, err := m.Certificate(name, nil); err != nil || c == own {
			t.Errorf("%q: %v, %v", name, c, err)
		}
	}
}

func TestReloadMovesNothing(t *testing.T) {
	ca, p := newFakeCA(t, "ca.test", time.Now), newPermission(t)
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	with := func(hosts ...string) Settings {
		return Settings{Sites: one(ca, ids(t, hosts...)...).Sites, OnDemand: []OnDemandRule{p.rule(ca)}}
	}
	running(t, m, with("kept.test", "dropped.test"))
	eventually(t, "both sites", func() bool { return len(valid(m)) == 2 })
	serial(t, m, "a.customer.test")
	kept, err := m.Certificate("kept.test", nil)
	if err != nil {
		t.Fatal(err)
	}
	onDemand, err := m.Certificate("a.customer.test", nil)
	if err != nil {
		t.Fatal(err)
	}

	// While reloads go on, handshakes find what they found before.
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if c, err := m.Certificate("kept.test", nil); err != nil || c != kept {
				t.Errorf("during a reload: %v", err)
				return
			}
			if c, err := m.Certificate("a.customer.test", nil); err != nil || c != onDemand {
				t.Errorf("during a reload, on demand: %v", err)
				return
			}
		}
	})
	for range 100 {
		if err := m.Apply(with("kept.test", "new.test")); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	eventually(t, "the new site", func() bool { return len(valid(m)) == 4 })
	// "*" is any name, and this one has a certificate already.
	if st := statusOf(t, m, "dropped.test"); st.Source != edge.SourceOnDemand {
		t.Errorf("status %+v", st)
	}
	if n := ca.orders.Load(); n != 4 {
		t.Errorf("%d orders, want 4", n)
	}
	// An on-demand name that gets a site of its own keeps its certificate.
	if err := m.Apply(with("kept.test", "a.customer.test")); err != nil {
		t.Fatal(err)
	}
	if c, err := m.Certificate("a.customer.test", nil); err != nil || c != onDemand {
		t.Errorf("on demand, then configured: %v", err)
	}
	if st := statusOf(t, m, "a.customer.test"); st.Source != edge.SourceSite {
		t.Errorf("status %+v", st)
	}
	if n := ca.orders.Load(); n != 4 {
		t.Errorf("%d orders, want 4", n)
	}
	// Without the rule, its names are gone.
	if err := m.Apply(one(ca, ids(t, "kept.test")...)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.customer.test", "dropped.test"} {
		if _, err := m.Certificate(name, nil); !errors.Is(err, edge.ErrNoCertificate) {
			t.Errorf("%s, which nothing covers any more: %v", name, err)
		}
	}
}

// What could not be written is kept by a reload all the same.
func TestReloadWithFullDisk(t *testing.T) {
	ca, storage := newFakeCA(t, "ca.test", time.Now), openStorage(t)
	storage.files.Before = failWrites("certificates", "journal")
	m := NewManager(ManagerOptions{Storage: storage})
	set := Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.test"}, Plan: Plan{CAs: []CA{ca}}}}}
	running(t, m, set)
	first := serial(t, m, "a.test")
	if err := m.Apply(set); err != nil {
		t.Fatal(err)
	}
	if got := serial(t, m, "a.test"); got != first || ca.orders.Load() != 1 {
		t.Errorf("serial %s, was %s; %d orders", got, first, ca.orders.Load())
	}
}

func TestChoice(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	storage, now := openStorage(t), time.Now()
	ca.store(t, storage, "*.wild.test", now.Add(-days), now.Add(80*days))
	ca.store(t, storage, "exact.wild.test", now.Add(-days), now.Add(80*days))
	ca.store(t, storage, "expired.wild.test", now.Add(-90*days), now.Add(-days))
	ca.store(t, storage, "expired.test", now.Add(-90*days), now.Add(-days))
	ca.store(t, storage, "default.test", now.Add(-days), now.Add(80*days))
	m := NewManager(ManagerOptions{Storage: storage})
	if err := m.Apply(Settings{
		Sites:    one(ca, ids(t, "*.wild.test", "exact.wild.test", "expired.wild.test", "expired.test", "default.test", "pending.test")...).Sites,
		OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.test"}, Plan: Plan{CAs: []CA{ca}}}},
		Default:  []string{"default.test"},
	}); err != nil {
		t.Fatal(err)
	}
	ca.fail(errors.New("not now"))
	for range 2 { // the second time from memory
		choices(t, m)
	}
	m.cancel()
	m.end()
}

func TestACMEInvalidGetsNothing(t *testing.T) {
	ca, p := newFakeCA(t, "ca.test", time.Now), newPermission(t)
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, Settings{
		Static:   []StaticPair{pair(t, ca, "*")},
		OnDemand: []OnDemandRule{{Hosts: []string{"*.acme.invalid", "*"}, Ask: p.URL, Allow: []string{"**.invalid"}, Plan: Plan{CAs: []CA{ca}}}},
		Default:  []string{"*"},
	})
	for _, name := range []string{"acme.invalid", "0123.4567.acme.invalid"} {
		if c, err := m.Certificate(name, nil); !errors.Is(err, edge.ErrNoCertificate) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	if n := ca.orders.Load() + p.asked.Load(); n != 0 {
		t.Errorf("%d orders and questions", n)
	}
}

func choices(t *testing.T, m *Manager) {
	t.Helper()
	for name, want := range map[string]string{
		"exact.wild.test":   "exact.wild.test",
		"other.wild.test":   "*.wild.test",
		"expired.wild.test": "*.wild.test",  // the wildcard is better than an expired one
		"expired.test":      "expired.test", // an expired one is better than none
		"a.b.wild.test":     "",             // one label only; on demand, which fails
		"pending.test":      "default.test",
		"unknown.example":   "default.test",
		"":                  "default.test",
	} {
		c, err := m.Certificate(name, nil)
		if want == "" {
			if err == nil || errors.Is(err, edge.ErrNoCertificate) {
				t.Errorf("%q: %v, want a failed order", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if leaf := leafOf(pemOf(c.Certificate[0])); leaf.DNSNames[0] != want {
			t.Errorf("%q gets the certificate of %s, want %s", name, leaf.DNSNames[0], want)
		}
	}
}

func TestSettingsAreChecked(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	plan := Plan{CAs: []CA{ca}}
	for name, s := range map[string]Settings{
		"no CA":          {Sites: []Site{{Hosts: ids(t, "a.test")}}},
		"key type":       {Sites: []Site{{Hosts: ids(t, "a.test"), Plan: Plan{CAs: []CA{ca}, KeyType: "dsa"}}}},
		"nobody decides": {OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Plan: plan}}},
		"ask is no URL":  {OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Plan: plan, Ask: "127.0.0.1:80"}}},
		"ask is a file":  {OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Plan: plan, Ask: "file:///etc/passwd"}}},
	} {
		m := NewManager(ManagerOptions{Storage: openStorage(t)})
		if err := m.Apply(s); !errors.Is(err, ErrSettings) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package acmeglue

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"edge"
	"edge/internal/durable"
)

// bundle is a lineage's chain and key, as the steward has them.
func (ca *fakeCA) bundle(t testing.TB, from, to time.Time, names ...string) edge.Bundle {
	t.Helper()
	key, err := newKey(P256)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := pemKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return edge.Bundle{Chain: ca.sign(ids(t, names...), key.Public(), from, to), Key: raw}
}

// fresh is a bundle that was issued just now.
func (ca *fakeCA) fresh(t testing.TB, names ...string) edge.Bundle {
	t.Helper()
	return ca.bundle(t, time.Now().Add(-time.Hour), time.Now().Add(90*days), names...)
}

func serialOf(b edge.Bundle) string { return leafOf(b.Chain).SerialNumber.String() }

func uses(lineage string, hosts ...string) Settings {
	return Settings{Lineages: []LineageSite{{Lineage: lineage, Hosts: hosts}}}
}

func put(t testing.TB, m *Manager, name string, b edge.Bundle) edge.LineageStatus {
	t.Helper()
	st, err := m.PutLineage(t.Context(), name, b)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// What is put is served at once for every host, after a restart too, and nothing
// is ever ordered for them, whatever wider rule there is.
func TestLineageIsServed(t *testing.T) {
	ca, storage := newFakeCA(t, "ca.test", time.Now), openStorage(t)
	set := uses("app", "app.test", "*.app.test", "192.0.2.7")
	set.OnDemand = []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.test", "app.test"}, AllowIP: true, Plan: Plan{CAs: []CA{ca}}}}
	set.Default = []string{"app.test"}
	m := NewManager(ManagerOptions{Storage: storage})
	stop := running(t, m, set)
	if _, err := m.Certificate("app.test", nil); !errors.Is(err, edge.ErrNoCertificate) {
		t.Errorf("before anything was put: %v", err)
	}
	if st := statusOf(t, m, "app.test"); st.State != edge.StatePending || st.Source != edge.SourceLineage || st.Lineage != "app" || !strings.Contains(st.LastError, "edge renew") {
		t.Errorf("before anything was put: %+v", st)
	}
	b := ca.fresh(t, "app.test", "*.app.test", "192.0.2.7")
	st := put(t, m, "app", b)
	for range 2 { // once more after a restart
		for _, name := range []string{"app.test", "www.app.test"} {
			if got := serial(t, m, name); got != serialOf(b) {
				t.Errorf("%s: serial %s, want %s", name, got, serialOf(b))
			}
		}
		// The default site is a lineage's, too.
		if c, err := m.Certificate("unknown.example", nil); err != nil || leafOf(pemOf(c.Certificate[0])).SerialNumber.String() != serialOf(b) {
			t.Errorf("an unknown name: %v", err)
		}
		if got := m.Lineages(); len(got) != 1 || got[0].SHA256 != st.SHA256 || got[0].Name != "app" || len(got[0].Uncovered) > 0 {
			t.Errorf("lineages %+v, want %+v", got, st)
		}
		eventually(t, "all read from storage", func() bool { return len(valid(m)) == 3 })
		cert := statusOf(t, m, "192.0.2.7")
		if cert.State != edge.StateValid || cert.SHA256 != st.SHA256 || cert.LastError != "" || !cert.RenewAfter.IsZero() {
			t.Errorf("status %+v", cert)
		}
		stop()
		m = NewManager(ManagerOptions{Storage: storage})
		stop = running(t, m, set)
	}
	leaf, rest := SplitChain(b.Chain)
	whole := sha256.Sum256(slices.Concat(leafOf(leaf).Raw, leafOf(rest).Raw))
	if want := hex.EncodeToString(sumOf(b)); st.SHA256 != want || st.ChainSHA256 != hex.EncodeToString(whole[:]) || !slices.Equal(st.Names, []string{"app.test", "*.app.test", "192.0.2.7"}) || st.NotAfter.IsZero() {
		t.Errorf("answer %+v, want sha256 %s", st, want)
	}
	if n := ca.orders.Load(); n > 0 {
		t.Errorf("%d orders for hosts of a lineage", n)
	}
	info, err := os.Stat(storage.Filename("edge/lineages/app.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v %v", info, err)
	}
	if got, err := m.Bundle("app.test"); err != nil || string(got.Chain) != string(b.Chain) {
		t.Errorf("bundle: %v", err)
	}
}

func sumOf(b edge.Bundle) []byte {
	var s share
	h, err := s.parse(b.Chain, b.Key)
	if err != nil {
		return nil
	}
	return h.sum[:]
}

// What cannot be served is refused, and changes nothing in memory or storage.
func TestLineageRefused(t *testing.T) {
	ca, other, storage := newFakeCA(t, "ca.test", time.Now), newFakeCA(t, "other.test", time.Now), openStorage(t)
	m := NewManager(ManagerOptions{Storage: storage})
	running(t, m, uses("app", "app.test"))
	good := ca.fresh(t, "app.test")
	put(t, m, "app", good)
	leaf, rest := SplitChain(ca.fresh(t, "app.test").Chain)
	next := ca.fresh(t, "app.test")
	for name, c := range map[string]struct {
		b    edge.Bundle
		want string
	}{
		"another key":       {edge.Bundle{Chain: next.Chain, Key: good.Key}, "does not belong"},
		"no key":            {edge.Bundle{Chain: next.Chain}, "private key"},
		"no chain":          {edge.Bundle{Key: next.Key}, "no certificate"},
		"expired":           {ca.bundle(t, time.Now().Add(-91*days), time.Now().Add(-days), "app.test"), "expired at"},
		"other names":       {ca.fresh(t, "other.test"), "for none of the hosts"},
		"out of order":      {edge.Bundle{Chain: append(slices.Clone(rest), leaf...), Key: next.Key}, "was not issued by the next one"},
		"foreign issuer":    {edge.Bundle{Chain: append(slices.Clone(leaf), pemOf(other.inter.Raw)...), Key: next.Key}, "was not issued by the next one"},
		"key in the chain":  {edge.Bundle{Chain: append(slices.Clone(next.Chain), next.Key...), Key: next.Key}, "no certificate"},
		"damaged":           {edge.Bundle{Chain: append(slices.Clone(next.Chain), "-----BEGIN CERTIFICATE-----\nx"...), Key: next.Key}, "damaged"},
		"damaged inside":    {edge.Bundle{Chain: append(slices.Clone(leaf), pemOf(ca.inter.Raw[1:])...), Key: next.Key}, "certificate 2 of the chain"},
		"nothing but noise": {edge.Bundle{Chain: []byte("x"), Key: []byte("y")}, "no certificate"},
	} {
		if _, err := m.PutLineage(t.Context(), "app", c.b); !errors.Is(err, ErrLineageRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	for _, name := range []string{"unused", "", "../app", "app.json"} {
		if _, err := m.PutLineage(t.Context(), name, next); !errors.Is(err, ErrLineageUnused) {
			t.Errorf("%q, which no site uses: %v", name, err)
		}
	}
	if got := serial(t, m, "app.test"); got != serialOf(good) {
		t.Error("something refused is served")
	}
	files, err := filepath.Glob(storage.Filename("edge/lineages/*"))
	if err != nil || len(files) != 1 {
		t.Errorf("files %v %v", files, err)
	}
	if err := m.Apply(uses("../app", "app.test")); !errors.Is(err, ErrSettings) {
		t.Errorf("a lineage named like a path: %v", err)
	}
}

// A leaf that is for some hosts of a site is served for those; the others have
// none, and status says why.
func TestLineageCoversSome(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, uses("app", "app.test", "new.test"))
	put(t, m, "app", ca.fresh(t, "app.test", "new.test"))
	serial(t, m, "new.test")
	st := put(t, m, "app", ca.fresh(t, "app.test"))
	if !slices.Equal(st.Uncovered, []string{"new.test"}) {
		t.Errorf("answer %+v", st)
	}
	serial(t, m, "app.test")
	if _, err := m.Certificate("new.test", nil); !errors.Is(err, edge.ErrNoCertificate) {
		t.Errorf("the other host: %v", err)
	}
	if st := statusOf(t, m, "new.test"); st.State != edge.StateFailing || !strings.Contains(st.LastError, "lineage app is not for this host but for app.test") {
		t.Errorf("status %+v", st)
	}
}

// A reload takes a site to a lineage, to another one, and back. Nobody goes
// without a certificate meanwhile, and a restart in between changes nothing.
func TestLineageComesAndGoes(t *testing.T) {
	ca, storage := newFakeCA(t, "ca.test", time.Now), openStorage(t)
	m := NewManager(ManagerOptions{Storage: storage})
	stop := running(t, m, one(ca, ids(t, "app.test")...))
	eventually(t, "the site's own certificate", func() bool { return len(valid(m)) == 1 })
	own := serial(t, m, "app.test")
	apply := func(s Settings) {
		t.Helper()
		if err := m.Apply(s); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(when, want string) {
		t.Helper()
		if got := serial(t, m, "app.test"); got != want {
			t.Errorf("%s: serial %s, want %s", when, got, want)
		}
	}
	apply(uses("app", "app.test"))
	expect("with a lineage that was never put", own)
	if st := statusOf(t, m, "app.test"); st.State != edge.StatePending {
		t.Errorf("status %+v", st)
	}
	stop()
	m = NewManager(ManagerOptions{Storage: storage})
	running(t, m, uses("app", "app.test"))
	expect("the same, after a restart", own)
	if st := statusOf(t, m, "app.test"); st.State != edge.StatePending || !strings.Contains(st.LastError, "is served meanwhile") {
		t.Errorf("status %+v", st)
	}
	first := ca.fresh(t, "app.test")
	put(t, m, "app", first)
	expect("once it was put", serialOf(first))
	apply(uses("next", "app.test"))
	m.loadSlot(t.Context(), m.view.Load().get("app.test")) // as the pool does it
	expect("with another lineage that was never put", serialOf(first))
	if _, err := m.PutLineage(t.Context(), "app", ca.fresh(t, "app.test")); !errors.Is(err, ErrLineageUnused) {
		t.Errorf("a lineage that is not used any more: %v", err)
	}
	second := ca.fresh(t, "app.test")
	put(t, m, "next", second)
	expect("once that was put", serialOf(second))
	soon := func(what, want string) { // read from storage by the pool
		t.Helper()
		eventually(t, what, func() bool { return serial(t, m, "app.test") == want })
	}
	apply(uses("app", "app.test"))
	soon("the first lineage, which is stored", serialOf(first))
	apply(one(ca, ids(t, "app.test")...))
	soon("the site's own certificate again", own)
	apply(uses("app", "app.test"))
	soon("back from there", serialOf(first))
	apply(Settings{})
	if got := m.Lineages(); len(got) != 0 {
		t.Errorf("lineages %+v without a site", got)
	}
	apply(uses("app", "app.test"))
	expect("back at the first lineage", serialOf(first))
	if n := ca.orders.Load(); n != 1 {
		t.Errorf("%d orders, want that of the site", n)
	}
}

// Whatever step of a put is the last, the next process has the old pair or the new.
func TestLineagePutInterruptedAtEachStep(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	old, next := ca.fresh(t, "app.test"), ca.fresh(t, "app.test")
	set := uses("app", "app.test")
	open := func(s *FileStorage) *Manager {
		m := NewManager(ManagerOptions{Storage: s})
		if err := m.Apply(set); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for n := 0; ; n++ {
		storage := openStorage(t)
		put(t, open(storage), "app", old)
		step := 0
		m := open(storage)
		storage.files.Before = func(durable.Step, string) error {
			if step++; step > n { // as if dead: no later step happens either
				return syscall.EIO
			}
			return nil
		}
		_, err := m.PutLineage(t.Context(), "app", next)
		storage.files.Before = nil
		if err == nil {
			if n < 4 {
				t.Fatalf("only %d steps: the lineage is not written through durable", n)
			}
			return
		}
		// This process serves it all the same, and does not say that it has it.
		if got := serial(t, m, "app.test"); got != serialOf(next) {
			t.Errorf("step %d: the lineage is not served", n)
		}
		if st := m.Lineages()[0]; st.SHA256 != hex.EncodeToString(sumOf(old)) {
			t.Errorf("step %d: it says that the lineage is stored: %+v", n, st)
		}
		if st := statusOf(t, m, "app.test"); st.State != edge.StateValid || !strings.Contains(st.LastError, "could not be stored") {
			t.Errorf("step %d: status %+v", n, st)
		}
		if got := serial(t, open(storage), "app.test"); got != serialOf(old) && got != serialOf(next) {
			t.Errorf("step %d: serial %s out of nowhere", n, got)
		}
		// Once there is room, the same put brings it into storage.
		put(t, m, "app", next)
		if got := serial(t, open(storage), "app.test"); got != serialOf(next) {
			t.Errorf("step %d: the lineage is not stored at the second time", n)
		}
	}
}

// What is there already is not written again.
func TestLineagePutAgain(t *testing.T) {
	ca, storage := newFakeCA(t, "ca.test", time.Now), openStorage(t)
	m := NewManager(ManagerOptions{Storage: storage})
	running(t, m, uses("app", "app.test"))
	b := ca.fresh(t, "app.test")
	first := put(t, m, "app", b)
	before, err := m.Certificate("app.test", nil)
	if err != nil {
		t.Fatal(err)
	}
	storage.files.Before = func(durable.Step, string) error { return errors.New("a write") }
	if again := put(t, m, "app", b); again.SHA256 != first.SHA256 {
		t.Errorf("got %+v, then %+v", first, again)
	}
	if after, err := m.Certificate("app.test", nil); err != nil || after != before {
		t.Errorf("the certificate was exchanged for itself: %v", err)
	}
}

// A damaged file is as none: the steward sees that it has to put the lineage.
func TestDamagedLineage(t *testing.T) {
	ca, storage := newFakeCA(t, "ca.test", time.Now), openStorage(t)
	set := uses("app", "app.test")
	for _, content := range []string{"", "{}", `{"chain": "x", "key": "y"}`, "\x00"} {
		if err := storage.Store(t.Context(), lineageKey("app"), []byte(content)); err != nil {
			t.Fatal(err)
		}
		m := NewManager(ManagerOptions{Storage: storage})
		if err := m.Apply(set); err != nil {
			t.Fatal(err)
		}
		if st := m.Lineages()[0]; st.SHA256 != "" {
			t.Errorf("%q: %+v", content, st)
		}
		b := ca.fresh(t, "app.test")
		put(t, m, "app", b)
		if got := serial(t, m, "app.test"); got != serialOf(b) {
			t.Errorf("%q: serial %s", content, got)
		}
	}
}

// The states of a lineage over its life, by which people see a steward that does
// not come any more. An expired leaf is served rather than nothing.
func TestLineageStates(t *testing.T) {
	now := time.Now()
	ca := newFakeCA(t, "ca.test", func() time.Time { return now })
	m := NewManager(ManagerOptions{Storage: openStorage(t), Now: func() time.Time { return now }})
	if err := m.Apply(uses("app", "app.test")); err != nil {
		t.Fatal(err)
	}
	put(t, m, "app", ca.bundle(t, now, now.Add(90*days), "app.test"))
	for _, c := range []struct {
		at   time.Duration
		want edge.CertificateState
	}{{59 * days, edge.StateValid}, {61 * days, edge.StateExpiring}, {91 * days, edge.StateExpired}} {
		was := now
		now = now.Add(c.at)
		m.tick()
		if st := statusOf(t, m, "app.test"); st.State != c.want {
			t.Errorf("after %v: %s, want %s", c.at, st.State, c.want)
		}
		serial(t, m, "app.test")
		now = was
	}
}

func TestLineageLookupAllocatesNothing(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, uses("app", "www.app.test", "*.app.test"))
	put(t, m, "app", ca.fresh(t, "www.app.test", "*.app.test"))
	hello := &tls.ClientHelloInfo{}
	for _, name := range []string{"www.app.test", "any.app.test"} {
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := m.Certificate(name, hello); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("lookup of %s: %v allocations, want 0", name, n)
		}
	}
}

// Puts, reloads, handshakes and status at one time: always some certificate for
// the name, at the end the one that was put last. The race detector watches.
func TestLineageUnderLoad(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, uses("app", "app.test"))
	put(t, m, "app", ca.fresh(t, "app.test"))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	busy := func(f func(n int)) {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				f(n)
			}
		})
	}
	for range 2 {
		busy(func(int) {
			if _, err := m.Certificate("app.test", nil); err != nil {
				t.Error(err)
				cancel()
			}
		})
	}
	busy(func(int) { m.Statuses(); m.Lineages() })
	busy(func(n int) {
		if err := m.Apply(uses("app", []string{"app.test", "b.app.test"}[:1+n%2]...)); err != nil {
			t.Error(err)
		}
	})
	var last edge.Bundle
	for range 20 {
		last = ca.fresh(t, "app.test")
		put(t, m, "app", last)
	}
	cancel()
	wg.Wait()
	if got := serial(t, m, "app.test"); got != serialOf(last) {
		t.Errorf("serial %s, want that of the last put", got)
	}
}

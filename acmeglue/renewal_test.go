package acmeglue

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"edge"
)

const hours, days = time.Hour, 24 * time.Hour

func TestRenewAt(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(life time.Duration, w *RenewWindow, jitter byte) time.Duration {
		h := &held{notBefore: start, notAfter: start.Add(life), window: w}
		for i := range h.sum {
			h.sum[i] = jitter
		}
		return renewAt(h).Sub(start)
	}
	for _, c := range []struct {
		name     string
		got      time.Duration
		min, max time.Duration
	}{
		{"two thirds of 90 days", at(90*days, nil, 0), 60 * days, 60 * days},
		{"jitter of up to a thirtieth", at(90*days, nil, 255), 57 * days, 57*days + time.Second},
		{"half of six days", at(6*days, nil, 0), 3 * days, 3 * days},
		{"exactly ten days are not short", at(10*days, nil, 0), 160*hours - time.Minute, 160 * hours},
		{"the CA's time", at(90*days, &RenewWindow{Selected: start.Add(10 * days)}, 0), 10 * days, 10 * days},
		{"not before a hundredth", at(100*days, &RenewWindow{Selected: start.Add(-days)}, 0), days, days},
		{"the CA's time is no time to start at", at(90*days, &RenewWindow{Selected: start.Add(89 * days)}, 0), 81 * days, 81 * days},
	} {
		if c.got < c.min || c.got > c.max {
			t.Errorf("%s: after %v, want %v to %v", c.name, c.got, c.min, c.max)
		}
	}
}

func TestMergeWindow(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := RenewWindow{Start: start, End: start.Add(10 * hours)}
	first := MergeWindow(nil, w, 0.25)
	if want := start.Add(150 * time.Minute); !first.Selected.Equal(want) {
		t.Errorf("selected %v, want %v", first.Selected, want)
	}
	if again := MergeWindow(first, w, 0.9); !again.Selected.Equal(first.Selected) {
		t.Errorf("the same window, another time: %v, then %v", first.Selected, again.Selected)
	}
	w.End = w.End.Add(hours)
	if moved := MergeWindow(first, w, 1); !moved.Selected.Equal(w.End) {
		t.Errorf("the window moved, the time did not: %v", moved.Selected)
	}
	if MergeWindow(first, RenewWindow{}, 0) != nil {
		t.Error("a window out of nothing")
	}
}

// status of one name.
func statusOf(t testing.TB, m *Manager, name string) edge.CertificateStatus {
	t.Helper()
	all := m.Statuses()
	i := slices.IndexFunc(all, func(s edge.CertificateStatus) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no status for %s", name)
	}
	return all[i]
}

func one(ca CA, hosts ...edge.Identifier) Settings {
	return Settings{Sites: []Site{{Hosts: hosts, Plan: Plan{CAs: []CA{ca}}}}}
}

func TestRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		m := NewManager(ManagerOptions{Storage: openStorage(t)})
		stop := running(t, m, one(ca, ids(t, "example.org")...))
		synctest.Wait()
		first := serial(t, m, "example.org")
		time.Sleep(56 * days)
		if got := serial(t, m, "example.org"); got != first {
			t.Errorf("renewed before 57 days")
		}
		time.Sleep(5 * days)
		synctest.Wait()
		if got := serial(t, m, "example.org"); got == first {
			t.Error("not renewed after 61 days")
		}
		if n := ca.orders.Load(); n != 2 {
			t.Errorf("%d orders, want 2", n)
		}
		if ca.replaced[0] != nil || ca.replaced[1] == nil {
			t.Error("the renewal should say what it replaces, the first order not")
		}
		stop()
	})
}

func TestCADownAtRenewal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		storage := openStorage(t)
		m := NewManager(ManagerOptions{Storage: storage})
		stop := running(t, m, one(ca, ids(t, "example.org")...))
		synctest.Wait()
		first := serial(t, m, "example.org")
		ca.fail(unreachableErr(ca))
		time.Sleep(62 * days)
		st := statusOf(t, m, "example.org")
		if st.State != edge.StateFailing || st.Failures == 0 || st.LastReason != edge.ReasonConnection || !st.NextAttempt.After(time.Now()) {
			t.Errorf("status while the CA is down: %+v", st)
		}
		tries := ca.orders.Load()
		if tries < 24 || tries > 24*8 {
			t.Errorf("%d tries in some days without a CA: neither a storm nor sleep, please", tries)
		}
		// To the last second, with a restart in between.
		stop()
		m = NewManager(ManagerOptions{Storage: storage})
		stop = running(t, m, one(ca, ids(t, "example.org")...))
		synctest.Wait()
		if n := ca.orders.Load(); n > tries+1 {
			t.Errorf("%d tries right after the restart: the back-off is forgotten", n-tries)
		}
		if st := statusOf(t, m, "example.org"); st.Failures < 10 {
			t.Errorf("%d failures after the restart: the back-off is forgotten", st.Failures)
		}
		time.Sleep(time.Until(st.NotAfter) - 2*time.Second)
		if got := serial(t, m, "example.org"); got != first {
			t.Errorf("serial %s, want the old one", got)
		}
		ca.fail(nil)
		time.Sleep(2 * hours)
		synctest.Wait()
		if st := statusOf(t, m, "example.org"); st.State != edge.StateValid || st.LastError != "" {
			t.Errorf("status after the CA came back: %+v", st)
		}
		stop()
	})
}

func TestNextCAWhereTheFirstFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bad, good := newFakeCA(t, "bad.test", time.Now), newFakeCA(t, "good.test", time.Now)
		bad.fail(refusedErr(bad, "example.org"))
		obs := &events{}
		m := NewManager(ManagerOptions{Storage: openStorage(t), Observer: obs})
		stop := running(t, m, Settings{Sites: []Site{{Hosts: ids(t, "example.org"), Plan: Plan{CAs: []CA{bad, good}}}}})
		synctest.Wait()
		if st := statusOf(t, m, "example.org"); st.CA != good.Directory() || st.State != edge.StateValid {
			t.Errorf("status %+v, want a certificate of the second CA", st)
		}
		if len(obs.orders) != 2 || obs.orders[0].Reason != edge.ReasonUnauthorized || obs.orders[1].Err != nil {
			t.Errorf("events %+v", obs.orders)
		}
		stop()
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		until := time.Now().Add(7 * days)
		ca.fail(&edge.IssueError{Name: "example.org", CA: ca.Directory(), Reason: edge.ReasonRateLimited, RetryAfter: until, Err: errors.New("too many certificates")})
		storage := openStorage(t)
		m := NewManager(ManagerOptions{Storage: storage})
		stop := running(t, m, one(ca, ids(t, "example.org")...))
		time.Sleep(3 * days)
		stop()
		m = NewManager(ManagerOptions{Storage: storage})
		stop = running(t, m, one(ca, ids(t, "example.org")...))
		time.Sleep(4*days - hours)
		if n := ca.orders.Load(); n != 1 {
			t.Errorf("%d orders before the CA's time, want 1", n)
		}
		ca.fail(nil)
		time.Sleep(2 * hours)
		if n := ca.orders.Load(); n != 2 {
			t.Errorf("%d orders after the CA's time, want 2", n)
		}
		stop()
	})
}

// A validation that fails is tried again soon, but at most five times in the
// first hour, which is what Let's Encrypt grants.
func TestRefusalsAreSpreadOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		ca.fail(refusedErr(ca, "example.org"))
		m := NewManager(ManagerOptions{Storage: openStorage(t)})
		stop := running(t, m, one(ca, ids(t, "example.org")...))
		time.Sleep(hours)
		if n := ca.orders.Load(); n < 4 || n > 5 {
			t.Errorf("%d tries in the first hour", n)
		}
		time.Sleep(30 * days)
		if n := ca.orders.Load(); n < 30 || n > 50 {
			t.Errorf("%d tries in a month", n)
		}
		stop()
	})
}

func TestChangedPlanGetsAFreshChance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bad, good := newFakeCA(t, "bad.test", time.Now), newFakeCA(t, "good.test", time.Now)
		bad.fail(refusedErr(bad, "example.org"))
		m := NewManager(ManagerOptions{Storage: openStorage(t)})
		stop := running(t, m, one(bad, ids(t, "example.org")...))
		time.Sleep(10 * days)
		if err := m.Apply(one(good, ids(t, "example.org")...)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		serial(t, m, "example.org")
		stop()
	})
}

func TestWindowOfTheCA(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		start := time.Now()
		ca.setWindow(RenewWindow{Start: start.Add(40 * days), End: start.Add(41 * days)})
		storage := openStorage(t)
		m := NewManager(ManagerOptions{Storage: storage})
		stop := running(t, m, one(ca, ids(t, "example.org")...))
		synctest.Wait()
		first := serial(t, m, "example.org")
		chosen := statusOf(t, m, "example.org").RenewAfter
		if chosen.Before(start.Add(40*days)) || chosen.After(start.Add(41*days)) {
			t.Fatalf("renewal at %v, outside of the window", chosen)
		}
		stop()
		m = NewManager(ManagerOptions{Storage: storage})
		stop = running(t, m, one(ca, ids(t, "example.org")...))
		synctest.Wait()
		if got := statusOf(t, m, "example.org").RenewAfter; !got.Equal(chosen) {
			t.Errorf("after a restart the chosen time is %v, was %v", got, chosen)
		}
		// The CA wants it back early, as it does before a mass revocation.
		time.Sleep(10 * days)
		asked := ca.asked.Load()
		if asked < 9 || asked > 45 {
			t.Errorf("asked %d times in ten days", asked)
		}
		now := time.Now()
		ca.setWindow(RenewWindow{Start: now.Add(-2 * hours), End: now.Add(-hours)})
		time.Sleep(2 * days)
		synctest.Wait()
		if got := serial(t, m, "example.org"); got == first {
			t.Error("not renewed within the new window")
		}
		// The window stays where it is, also for the new certificates.
		if n := ca.orders.Load(); n > 5 {
			t.Errorf("%d orders in two days", n)
		}
		stop()
	})
}

// A CA that is asked for more than its bucket has must not make anybody fail.
func TestTokenBucket(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		var names []string
		for i := range 50 {
			names = append(names, fmt.Sprintf("host-%d.test", i))
		}
		m := NewManager(ManagerOptions{Storage: openStorage(t), Orders: OrderRate{Burst: 10, Every: time.Minute}})
		stop := running(t, m, one(ca, ids(t, names...)...))
		time.Sleep(10*time.Minute + time.Second)
		if n := ca.orders.Load(); n < 15 || n > 21 {
			t.Errorf("%d orders in ten minutes, want about 20", n)
		}
		time.Sleep(hours)
		if n := len(valid(m)); n != 50 {
			t.Errorf("%d certificates in the end, want 50", n)
		}
		for _, st := range m.Statuses() {
			if st.Failures != 0 {
				t.Errorf("waiting for a token counts as failure: %+v", st)
			}
		}
		stop()
	})
}

// While a CA is down, many due renewals do not each try it.
func TestOutageIsFoundOutOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		ca.fail(unreachableErr(ca))
		var names []string
		for i := range 200 {
			names = append(names, fmt.Sprintf("host-%d.test", i))
		}
		m := NewManager(ManagerOptions{Storage: openStorage(t), Orders: OrderRate{Burst: 10000}})
		stop := running(t, m, one(ca, ids(t, names...)...))
		time.Sleep(10 * time.Minute)
		if n := ca.orders.Load(); n > 40 {
			t.Errorf("%d tries of a dead CA in ten minutes", n)
		}
		ca.fail(nil)
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if n := len(valid(m)); n != 200 {
			t.Errorf("%d certificates after the outage, want 200", n)
		}
		stop()
	})
}

func TestClockSteps(t *testing.T) {
	for _, step := range []time.Duration{days, -days} {
		t.Run(step.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var off atomic.Int64
				now := func() time.Time { return time.Now().Add(time.Duration(off.Load())).Round(0) }
				ca := newFakeCA(t, "ca.test", now)
				failing := newFakeCA(t, "failing.test", now)
				failing.fail(refusedErr(failing, "bad.test"))
				var names []string
				for i := range 100 {
					names = append(names, fmt.Sprintf("host-%d.test", i))
				}
				m := NewManager(ManagerOptions{Storage: openStorage(t), Now: now, Rand: func() float64 { return 0.99 }})
				stop := running(t, m, Settings{Sites: []Site{
					{Hosts: ids(t, names...), Plan: Plan{CAs: []CA{ca}}},
					{Hosts: ids(t, "bad.test"), Plan: Plan{CAs: []CA{failing}}},
				}})
				time.Sleep(20 * days)
				// The worst moment: a pause of thirty hours has just begun.
				for n := failing.orders.Load(); n == failing.orders.Load(); {
					time.Sleep(time.Minute)
				}
				before, refused := ca.orders.Load(), failing.orders.Load()
				if before != 100 {
					t.Fatalf("%d orders, want 100", before)
				}
				off.Store(int64(step))
				time.Sleep(2 * days)
				if n := ca.orders.Load() - before; n != 0 {
					t.Errorf("%d orders after the step", n)
				}
				if n := failing.orders.Load() - refused; n < 1 || n > 4 {
					t.Errorf("%d tries of the failing name within two days of the step", n)
				}
				for _, n := range names {
					serial(t, m, n)
				}
				stop()
			})
		})
	}
}

// A machine whose clock is a year ahead finds every new certificate expired.
func TestClockFarAhead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		ahead := func() time.Time { return time.Now().Add(365 * days) }
		m := NewManager(ManagerOptions{Storage: openStorage(t), Now: ahead})
		stop := running(t, m, one(ca, ids(t, "example.org")...))
		time.Sleep(7 * days)
		if n := ca.orders.Load(); n > 20 {
			t.Errorf("%d orders in a week", n)
		}
		if st := statusOf(t, m, "example.org"); st.LastError == "" || st.State != edge.StateExpired {
			t.Errorf("status %+v", st)
		}
		stop()
	})
}

func TestAnotherProcessRenewed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		storage := openStorage(t)
		a, b := NewManager(ManagerOptions{Storage: storage}), NewManager(ManagerOptions{Storage: storage})
		stopA := running(t, a, one(ca, ids(t, "example.org")...))
		synctest.Wait()
		stopB := running(t, b, one(ca, ids(t, "example.org")...))
		time.Sleep(62 * days)
		if n := ca.orders.Load(); n != 2 {
			t.Errorf("%d orders by two processes, want one at first and one renewal", n)
		}
		if serial(t, a, "example.org") != serial(t, b, "example.org") {
			t.Error("two processes serve two certificates")
		}
		stopA()
		stopB()
	})
}

func TestFullDiskDoesNotCostTheCertificate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		storage := openStorage(t)
		storage.files.Before = failWrites("certificates", "journal")
		m := NewManager(ManagerOptions{Storage: storage})
		stop := running(t, m, one(ca, ids(t, "example.org")...))
		time.Sleep(days)
		serial(t, m, "example.org")
		if n := ca.orders.Load(); n != 1 {
			t.Errorf("%d orders, want 1", n)
		}
		stop()
	})
}

func TestOwnHandMadeHello(t *testing.T) {
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	for _, hello := range []*tls.ClientHelloInfo{nil, {}} {
		if _, err := m.Certificate("", hello); !errors.Is(err, edge.ErrNoCertificate) {
			t.Errorf("no server name: %v", err)
		}
	}
}

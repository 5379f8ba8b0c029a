package acmeglue

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// stock writes n certificates, for on demand and for sites by halves. Keys are
// few, since making ten thousand of them is not what is measured.
func stock(t testing.TB, ca *fakeCA, storage *FileStorage, n int) (names []string) {
	t.Helper()
	now := time.Now()
	for i := range n {
		name := fmt.Sprintf("customer-%05d.shops.example.org", i)
		names = append(names, name)
		st := ca.make(t, name, now.Add(-days), now.Add(89*days))
		raw, err := st.encodeMeta()
		if err != nil {
			t.Fatal(err)
		}
		dir := storage.Filename("certificates/" + ca.key + "/" + name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		// Not through the storage: ten thousand times three times fsync.
		for ext, value := range map[string][]byte{"crt": st.chain, "key": st.key, "json": raw} {
			if err := os.WriteFile(dir+"/"+name+"."+ext, value, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return names
}

// Limits of the product, in ten thousand certificates. `make bench` holds them
// (EDGE_STRICT=1); elsewhere three times as much is accepted.
const (
	mostStart = 3 * time.Second
	mostHeap  = 5 << 10 // bytes a certificate
)

func slack() int64 {
	if os.Getenv("EDGE_STRICT") != "" {
		return 1
	}
	return 3
}

func TestTenThousandStoredCertificates(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 1000
	}
	ca, storage := newFakeCA(t, "ca.test", time.Now), openStorage(t)
	names := stock(t, ca, storage, n)
	rule := OnDemandRule{Hosts: []string{"*"}, Ask: "http://127.0.0.1:1/", Plan: Plan{CAs: []CA{ca}}}
	for label, set := range map[string]Settings{
		"on demand": {OnDemand: []OnDemandRule{rule}},
		"sites":     one(ca, ids(t, names...)...),
	} {
		t.Run(label, func(t *testing.T) {
			before := liveHeap()
			m := NewManager(ManagerOptions{Storage: storage})
			began := time.Now()
			stop := running(t, m, set)
			serving := time.Since(began)
			serial(t, m, names[len(names)-1]) // before its turn in the pool
			first := time.Since(began)
			eventually(t, "all are loaded", func() bool {
				loaded := 0
				for s := range m.view.Load().all() {
					if s.live.Load() != nil {
						loaded++
					}
				}
				return loaded == n
			})
			all := time.Since(began)
			stop() // so that nothing but certificates is left to be counted
			each := (int64(liveHeap()) - int64(before)) / int64(n)
			t.Logf("%d certificates: serving after %v, the last one served after %v, all loaded after %v, %d bytes of heap each", n, serving, first, all, each)
			if limit := mostStart * time.Duration(slack()); all > limit {
				t.Errorf("all loaded after %v, want %v", all, limit)
			}
			if limit := mostHeap * slack(); each > limit {
				t.Errorf("%d bytes each, want %d", each, limit)
			}
			for _, name := range names {
				if _, err := m.Certificate(name, nil); err != nil {
					t.Fatal(err)
				}
			}
			if ca.orders.Load() != 0 {
				t.Error("something was ordered")
			}
			runtime.KeepAlive(m)
		})
	}
}

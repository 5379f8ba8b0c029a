package acmeglue

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge"
	"edge/internal/durable"

	"github.com/caddyserver/certmagic"
)

// failWrites makes every write below a path that has one of parts fail.
func failWrites(parts ...string) func(durable.Step, string) error {
	return func(step durable.Step, path string) error {
		for _, p := range parts {
			if step == durable.Write && strings.Contains(path, p) {
				return syscall.ENOSPC
			}
		}
		return nil
	}
}

func loadAll(t *testing.T, storage *FileStorage, ca CA, names ...string) *Manager {
	t.Helper()
	m := NewManager(ManagerOptions{Storage: storage})
	if err := m.Apply(one(ca, ids(t, names...)...)); err != nil {
		t.Fatal(err)
	}
	return m
}

// Whatever step of a renewal's writes is the last, the next process finds the
// old certificate or the new, with its key.
func TestSaveInterruptedAtEachStep(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	now := time.Now()
	for n := 0; ; n++ {
		storage := openStorage(t)
		ca.store(t, storage, "example.org", now.Add(-50*days), now.Add(40*days))
		before := serial(t, loadAll(t, storage, ca, "example.org"), "example.org")
		next := ca.make(t, "example.org", now.Add(-time.Hour), now.Add(90*days))

		step := 0
		storage.files.Before = func(durable.Step, string) error {
			step++
			if step-1 >= n { // as if dead: no later step happens either
				return syscall.EIO
			}
			return nil
		}
		err := (&certStore{storage: storage, log: slog.New(slog.DiscardHandler)}).save(t.Context(), ca.key, "example.org", next)
		storage.files.Before = nil
		if err == nil {
			if n < 20 {
				t.Fatalf("only %d steps: the storage is not written through durable", n)
			}
			return
		}
		m := loadAll(t, storage, ca, "example.org")
		got := serial(t, m, "example.org")
		switch wasJournalled := n >= 4; { // the rename of the journal is step 3
		case got == before && wasJournalled:
			t.Errorf("step %d: the new certificate is lost", n)
		case got != before && !wasJournalled:
			t.Errorf("step %d: a certificate out of nowhere", n)
		}
		// And everything is as if nothing had happened.
		if got := serial(t, loadAll(t, storage, ca, "example.org"), "example.org"); got != serial(t, m, "example.org") {
			t.Errorf("step %d: the next process sees another certificate", n)
		}
		if left, err := m.store.list(t.Context(), journalPrefix); err != nil || hasEntry(left) {
			t.Errorf("step %d: the journal still has %v, %v", n, left, err)
		}
	}
}

func hasEntry(keys []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return !strings.Contains(k, ".tmp-") })
}

// A disk that is full at the start keeps nobody from serving what there is.
func TestFullDiskAtTheStart(t *testing.T) {
	ca, storage, now := newFakeCA(t, "ca.test", time.Now), openStorage(t), time.Now()
	ca.store(t, storage, "example.org", now.Add(-50*days), now.Add(40*days))
	next := ca.make(t, "example.org", now.Add(-time.Hour), now.Add(90*days))
	storage.files.Before = failWrites(".crt") // the journal and the key are written
	store := &certStore{storage: storage, log: slog.New(slog.DiscardHandler)}
	if err := store.save(t.Context(), ca.key, "example.org", next); err == nil {
		t.Fatal("the disk was not full")
	}
	m := loadAll(t, storage, ca, "example.org")
	if got, want := serial(t, m, "example.org"), leafOf(next.chain).SerialNumber.String(); got != want {
		t.Errorf("serial %s, want %s of the journal", got, want)
	}
	storage.files.Before = nil
	if got, want := serial(t, loadAll(t, storage, ca, "example.org"), "example.org"), leafOf(next.chain).SerialNumber.String(); got != want {
		t.Errorf("serial %s, want %s of the journal", got, want)
	}
}

func TestOpenFileStorage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFileStorage(filepath.Join(file, "storage")); err == nil || !strings.Contains(err.Error(), "storage.dir") {
		t.Errorf("a folder below a file: %v", err)
	}
}

func TestUnsafeName(t *testing.T) {
	for _, name := range []string{"example.org", "*.example.org", "xn--bcher-kva.example", "192.0.2.1", "2001:db8::1", "::1"} {
		if got := unsafeName(certmagic.StorageKeys.Safe(name)); got != name {
			t.Errorf("%s comes back as %s", name, got)
		}
	}
}

func TestDamagedFilesAreObtainedAgain(t *testing.T) {
	now := time.Now()
	for name, damage := range map[string]func(dir string) error{
		"empty certificate": func(dir string) error { return os.Truncate(filepath.Join(dir, "example.org.crt"), 0) },
		"half a key":        func(dir string) error { return os.Truncate(filepath.Join(dir, "example.org.key"), 90) },
		"key missing":       func(dir string) error { return os.Remove(filepath.Join(dir, "example.org.key")) },
		"not PEM": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "example.org.crt"), []byte("<html>"), 0o600)
		},
		"a folder": func(dir string) error {
			if err := os.Remove(filepath.Join(dir, "example.org.crt")); err != nil {
				return err
			}
			return os.Mkdir(filepath.Join(dir, "example.org.crt"), 0o700)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ca, storage := newFakeCA(t, "ca.test", time.Now), openStorage(t)
			ca.store(t, storage, "example.org", now.Add(-days), now.Add(89*days))
			ca.store(t, storage, "fine.test", now.Add(-days), now.Add(89*days))
			if err := damage(filepath.Join(storage.Path, "certificates", "ca.test", "example.org")); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			m := NewManager(ManagerOptions{Storage: storage, Log: slog.New(slog.NewTextHandler(&log, nil))})
			stop := running(t, m, one(ca, ids(t, "example.org", "fine.test")...))
			eventually(t, "obtained again", func() bool { return len(valid(m)) == 2 })
			serial(t, m, "example.org")
			stop()
			if n := ca.orders.Load(); n != 1 {
				t.Errorf("%d orders, want 1", n)
			}
			if name != "key missing" && !strings.Contains(log.String(), "certificates/ca.test/example.org/example.org.crt") {
				t.Errorf("the log does not name the file:\n%s", log.String())
			}
		})
	}
}

// A key that does not belong to the certificate, as a crash of another program
// leaves it, and a certificate for somebody else.
func TestMismatchIsNotServed(t *testing.T) {
	now := time.Now()
	ca, storage := newFakeCA(t, "ca.test", time.Now), openStorage(t)
	keys := certmagic.StorageKeys
	ca.store(t, storage, "a.test", now.Add(-days), now.Add(89*days))
	ca.store(t, storage, "b.test", now.Add(-days), now.Add(89*days))
	other := ca.make(t, "other.test", now.Add(-days), now.Add(89*days))
	for key, value := range map[string][]byte{
		keys.SitePrivateKey("ca.test", "a.test"): other.key,
		keys.SitePrivateKey("ca.test", "b.test"): other.key,
		keys.SiteCert("ca.test", "b.test"):       other.chain,
	} {
		if err := storage.Store(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	m := loadAll(t, storage, ca, "a.test", "b.test")
	for _, name := range []string{"a.test", "b.test"} {
		if c, err := m.Certificate(name, nil); !errors.Is(err, edge.ErrNoCertificate) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}

func TestBestOfSeveralCertificates(t *testing.T) {
	now := time.Now()
	one, two := newFakeCA(t, "one.test", time.Now), newFakeCA(t, "two.test", time.Now)
	old := newFakeCA(t, "old.test", time.Now) // not in the plan any more
	storage := openStorage(t)
	plan := Plan{CAs: []CA{one, two}}
	one.store(t, storage, "longer.test", now.Add(-days), now.Add(20*days))
	two.store(t, storage, "longer.test", now.Add(-days), now.Add(80*days))
	one.store(t, storage, "valid.test", now.Add(-100*days), now.Add(-days))
	two.store(t, storage, "valid.test", now.Add(-80*days), now.Add(days))
	one.store(t, storage, "planned.test", now.Add(-days), now.Add(30*days))
	old.store(t, storage, "planned.test", now.Add(-days), now.Add(300*days))
	old.store(t, storage, "orphan.test", now.Add(-days), now.Add(300*days))
	m := NewManager(ManagerOptions{Storage: storage})
	if err := m.Apply(Settings{Sites: []Site{{Hosts: ids(t, "longer.test", "valid.test", "planned.test", "orphan.test"), Plan: plan}}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]*fakeCA{"longer.test": two, "valid.test": two, "planned.test": one, "orphan.test": old} {
		serial(t, m, name)
		if st := statusOf(t, m, name); st.CA != want.Directory() {
			t.Errorf("%s: certificate of %s, want %s", name, st.CA, want.Directory())
		}
	}
	// A CA that is not wanted any more serves until there is another.
	if st := statusOf(t, m, "orphan.test"); st.RenewAfter.After(time.Now()) {
		t.Errorf("status %+v: due now, since no configured CA issued it", st)
	}
}

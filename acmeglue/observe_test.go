package acmeglue

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"sync"
	"testing"
	"time"

	"edge"
	"edge/internal/edgetest"
)

// watcher keeps what observers of requests and of storage are told.
type watcher struct {
	mu       sync.Mutex
	requests []edge.ACMERequestEvent
	storage  []edge.StorageEvent
}

func (w *watcher) ACMERequest(e *edge.ACMERequestEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, *e)
}

func (w *watcher) Storage(e *edge.StorageEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.storage = append(w.storage, *e)
}

// Every request to the CA is reported, also one that is refused and one that
// gets no answer.
func TestRequestsToTheCAAreReported(t *testing.T) {
	g := openGate(t)
	ca := g.ca(t, edgetest.CAOptions{})
	w := &watcher{}
	issuer := g.issuer(t, ca, func(o *IssuerOptions) { o.Observer = w })
	ca.Fault(func(rw http.ResponseWriter, r *http.Request) bool {
		w.mu.Lock()
		first := len(w.requests) == 2 // the directory and a nonce came before
		w.mu.Unlock()
		if first {
			rw.Header().Set("Content-Type", "application/problem+json")
			rw.WriteHeader(http.StatusBadRequest)
			_, _ = rw.Write([]byte(`{"type": "urn:ietf:params:acme:error:badNonce"}`))
		}
		return first
	})
	mustIssue(t, issuer, orderFor(t, "a.test"))
	ca.Fault(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	if _, err := issuer.Issue(t.Context(), orderFor(t, "b.test")); err == nil {
		t.Fatal("a CA that does not answer has issued")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[int]int{}
	for _, e := range w.requests {
		seen[e.Status]++
		if e.CA != host(ca.URL()) || (e.Status == 0) != (e.Err != nil) {
			t.Errorf("reported %+v", e)
		}
	}
	// 201: the account and the order.
	if seen[200] < 3 || seen[201] != 2 || seen[400] != 1 || seen[0] == 0 {
		t.Errorf("by status: %v", seen)
	}
}

func TestStorageOperationsAreReported(t *testing.T) {
	w := &watcher{}
	files := openStorage(t)
	s := ObserveStorage(files, w)
	ctx := t.Context()
	if err := s.Store(ctx, "a/b", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Load(ctx, "a/b"); err != nil || string(v) != "x" {
		t.Fatalf("%q, %v", v, err)
	}
	if _, err := s.Load(ctx, "a/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := s.Stat(ctx, "a/b"); err != nil || !s.Exists(ctx, "a/b") {
		t.Fatal(err)
	}
	if keys, err := s.List(ctx, "a", false); err != nil || len(keys) != 1 {
		t.Fatalf("%q, %v", keys, err)
	}
	if err := s.Delete(ctx, "a/b"); err != nil {
		t.Fatal(err)
	}
	if err := s.Lock(ctx, "l"); err != nil {
		t.Fatal(err)
	}
	// Somebody who waits for the lock gives up.
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if err := s.Lock(short, "l"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if err := s.Unlock(ctx, "l"); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		op  string
		err error
	}{{"store", nil}, {"load", nil}, {"load", fs.ErrNotExist}, {"stat", nil}, {"exists", nil}, {"list", nil}, {"delete", nil},
		{"lock", nil}, {"lock", context.DeadlineExceeded}, {"unlock", nil}}
	if len(w.storage) != len(want) {
		t.Fatalf("%d operations reported, want %d", len(w.storage), len(want))
	}
	for i, e := range w.storage {
		if e.Op != want[i].op || !errors.Is(e.Err, want[i].err) || e.Duration <= 0 {
			t.Errorf("operation %d: %+v, want %+v", i, e, want[i])
		}
	}
	// The wait begins a little after the clock of its context.
	if d := w.storage[8].Duration; d < 100*time.Millisecond {
		t.Errorf("the wait for a lock was reported as %s", d)
	}
}

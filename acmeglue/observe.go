package acmeglue

import (
	"context"
	"net/http"
	"time"

	"edge"

	"github.com/caddyserver/certmagic"
)

// reporting is a transport that reports each request to a CA. It is labelled
// with the host of the directory, whatever hosts the CA's URLs have.
type reporting struct {
	next http.RoundTripper
	ca   string
	obs  RequestObserver
}

func (t reporting) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	res, err := t.next.RoundTrip(req)
	e := edge.ACMERequestEvent{CA: t.ca, Duration: time.Since(began), Err: err}
	if err == nil {
		e.Status = res.StatusCode
	}
	t.obs.ACMERequest(&e)
	return res, err
}

// CloseIdleConnections is looked for by http.Client, through pacer.
func (t reporting) CloseIdleConnections() { closeIdle(t.next) }

func closeIdle(t http.RoundTripper) {
	if c, ok := t.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Storage is where certificates, accounts and unfinished orders lie.
type Storage = certmagic.Storage

// ObserveStorage returns s with each operation reported to obs.
func ObserveStorage(s Storage, obs StorageObserver) Storage {
	return observedStorage{s, obs}
}

type observedStorage struct {
	Storage
	obs StorageObserver
}

func (s observedStorage) report(op string, began time.Time, err error) {
	s.obs.Storage(&edge.StorageEvent{Op: op, Duration: time.Since(began), Err: err})
}

func (s observedStorage) Store(ctx context.Context, key string, value []byte) error {
	began := time.Now()
	err := s.Storage.Store(ctx, key, value)
	s.report("store", began, err)
	return err
}

func (s observedStorage) Load(ctx context.Context, key string) ([]byte, error) {
	began := time.Now()
	value, err := s.Storage.Load(ctx, key)
	s.report("load", began, err)
	return value, err
}

func (s observedStorage) Delete(ctx context.Context, key string) error {
	began := time.Now()
	err := s.Storage.Delete(ctx, key)
	s.report("delete", began, err)
	return err
}

func (s observedStorage) Exists(ctx context.Context, key string) bool {
	began := time.Now()
	ok := s.Storage.Exists(ctx, key)
	s.report("exists", began, nil)
	return ok
}

func (s observedStorage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	began := time.Now()
	keys, err := s.Storage.List(ctx, path, recursive)
	s.report("list", began, err)
	return keys, err
}

func (s observedStorage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	began := time.Now()
	info, err := s.Storage.Stat(ctx, key)
	s.report("stat", began, err)
	return info, err
}

func (s observedStorage) Lock(ctx context.Context, name string) error {
	began := time.Now()
	err := s.Storage.Lock(ctx, name)
	s.report("lock", began, err)
	return err
}

func (s observedStorage) Unlock(ctx context.Context, name string) error {
	began := time.Now()
	err := s.Storage.Unlock(ctx, name)
	s.report("unlock", began, err)
	return err
}

package acmeglue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"

	"edge"
)

// Backoff is what keeps an Issuer from asking a CA for a while.
type Backoff struct {
	Until    time.Time   `json:"until"`
	Failures int         `json:"failures"` // in a row
	Reason   edge.Reason `json:"reason"`
	Error    string      `json:"error"`
}

// BackoffStore keeps back-off from one run of a program to the next. Keys are
// paths of a CA, or of a set of names at it.
type BackoffStore interface {
	// Load returns a zero Backoff where none is kept.
	Load(ctx context.Context, key string) (Backoff, error)
	// Save with a zero Backoff forgets it.
	Save(ctx context.Context, key string, b Backoff) error
}

// NewBackoffStore keeps back-off in a storage, under edge/ca/.
func NewBackoffStore(s certmagic.Storage) BackoffStore { return storedBackoff{s} }

type storedBackoff struct{ storage certmagic.Storage }

func (s storedBackoff) file(key string) string { return path.Join("edge/ca", key, "backoff.json") }

func (s storedBackoff) Load(ctx context.Context, key string) (Backoff, error) {
	var b Backoff
	raw, err := s.storage.Load(ctx, s.file(key))
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &b)
	}
	return b, err
}

func (s storedBackoff) Save(ctx context.Context, key string, b Backoff) error {
	if b == (Backoff{}) {
		return s.storage.Delete(ctx, s.file(key))
	}
	raw, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return s.storage.Store(ctx, s.file(key), raw)
}

// longestBackoff is the longest pause that is believed: a longer one is of a
// clock that was set back.
const longestBackoff = 8 * 24 * time.Hour

// backoffKeys are those of the CA and of the names of an attempt.
func (a *attempt) backoffKeys() (ca, names string) {
	return a.i.key, path.Join(a.i.key, strings.TrimSuffix(path.Base(a.i.orderKey(a.wanted.Identifiers)), ".json"))
}

// closed returns an error where the CA is not to be asked now.
func (i *Issuer) closed(ctx context.Context, a *attempt) error {
	if i.o.Backoff == nil {
		return nil
	}
	ca, names := a.backoffKeys()
	for _, key := range []string{ca, names} {
		b, err := i.o.Backoff.Load(ctx, key)
		if err != nil {
			i.log.Warn("what the CA demanded last time cannot be read", "error", err)
			continue
		}
		if left := b.Until.Sub(i.o.Now()); left > 0 && left < longestBackoff {
			return &edge.IssueError{Name: a.name(), CA: i.o.Directory, Reason: b.Reason, RetryAfter: b.Until,
				Err: fmt.Errorf("not asked before %s: %s", b.Until.UTC().Format(time.RFC3339), b.Error)}
		}
	}
	return nil
}

// noteResult keeps what an attempt has shown about the CA.
func (i *Issuer) noteResult(ctx context.Context, a *attempt, err error) {
	if i.o.Backoff == nil || err != nil && ctx.Err() != nil {
		return
	}
	ca, names := a.backoffKeys()
	whole, some := i.demanded(err)
	for key, until := range map[string]func(failures int) time.Time{ca: whole, names: some} {
		old, loadErr := i.o.Backoff.Load(ctx, key)
		next := Backoff{}
		if until != nil {
			next = Backoff{Failures: old.Failures + 1, Reason: reasonOf(err), Error: err.Error()}
			next.Until = until(next.Failures)
		}
		if loadErr == nil && old == next {
			continue
		}
		if err := i.o.Backoff.Save(context.WithoutCancel(ctx), key, next); err != nil {
			i.log.Warn("what the CA demands cannot be kept for the next run", "error", err)
		}
	}
}

// demanded says until when the whole CA, or only the names of the order, should
// be left alone after an error; nil where nothing keeps from asking again.
func (i *Issuer) demanded(err error) (whole, some func(failures int) time.Time) {
	now := i.o.Now()
	var e *explained
	var after time.Time
	if errors.As(err, &e) {
		after = e.retryAfter
	}
	at := func(t time.Time) func(int) time.Time { return func(int) time.Time { return t } }
	p, ok := ProblemOf(err)
	switch {
	case err == nil:
	case unreachable(err):
		return func(n int) time.Time { return now.Add(min(longestOutagePause, firstOutagePause<<min(n, 10))) }, nil
	case e != nil && e.status == 503 && after.After(now):
		return at(after), nil
	case ok && p.Type == "rateLimited" || e != nil && e.status == 429:
		if !after.After(now) {
			after = now.Add(time.Hour)
		}
		return nil, at(after)
	}
	return nil, nil
}

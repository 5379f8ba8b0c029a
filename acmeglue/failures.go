package acmeglue

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"edge"

	"github.com/caddyserver/certmagic"
)

// Bounds of the pause after a failure. It doubles with each failure in a row.
// A CA that cannot be reached costs nobody anything but the try; what the CA
// refused counts against its limits (Let's Encrypt: five failed validations an
// hour for a name), and needs a person mostly.
const (
	firstPauseOutage  = time.Minute
	firstPauseRefused = 2 * time.Minute
	longestOutage     = time.Hour
	longestRefused    = 24 * time.Hour
)

// failure is what is remembered of a name that could not be had. It survives a
// restart in edge/backoff/<name>.json.
type failure struct {
	Name   string      `json:"name"`
	Plan   string      `json:"plan"` // under which it failed; another plan is not held back
	Count  int         `json:"count"`
	Last   time.Time   `json:"last"`
	Next   time.Time   `json:"next"`
	Asked  bool        `json:"asked,omitempty"` // Next is a demand of the CA
	Reason edge.Reason `json:"reason,omitempty"`
	Error  string      `json:"error,omitempty"`
}

// failures is the back-off of every name. Safe for concurrent use.
type failures struct {
	storage certmagic.Storage
	log     *slog.Logger
	now     func() time.Time
	rand    func() float64

	mu sync.Mutex
	m  map[string]failure
}

func newFailures(storage certmagic.Storage, log *slog.Logger, now func() time.Time, rand func() float64) *failures {
	return &failures{storage: storage, log: log, now: now, rand: rand, m: make(map[string]failure)}
}

// get returns the failure of a name under a plan, if the last attempt was one.
func (f *failures) get(name string, p *Plan) (failure, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, ok := f.m[name]
	if !ok || x.Plan != p.String() {
		return failure{}, false
	}
	// A failure of the future is one of a clock that was set back since: the
	// pause begins now, and is as long as it was.
	if now := f.now(); x.Last.After(now.Add(time.Second)) && !x.Asked {
		x.Next, x.Last = now.Add(x.Next.Sub(x.Last)), now
		f.m[name] = x
	}
	return x, true
}

// fail notes a failed attempt. expiry is that of the certificate in use, zero
// where there is none: as it comes close the pauses get shorter, so that there
// is always another try before it.
func (f *failures) fail(ctx context.Context, name string, p *Plan, err error, expiry time.Time) failure {
	now := f.now()
	old, _ := f.get(name, p)
	x := failure{Name: name, Plan: p.String(), Count: old.Count + 1, Last: now, Error: err.Error()}
	first, longest := firstPauseRefused, longestRefused
	var ie *edge.IssueError
	if errors.As(err, &ie) {
		x.Reason = ie.Reason
		switch ie.Reason {
		case edge.ReasonConnection, edge.ReasonServer, edge.ReasonTimeout:
			first, longest = firstPauseOutage, longestOutage
		}
	}
	pause := longest
	if x.Count < 16 {
		pause = min(longest, first<<(x.Count-1))
	}
	if left := expiry.Sub(now); !expiry.IsZero() && left > 0 {
		pause = min(pause, max(left/8, first))
	}
	pause += time.Duration(f.rand() * float64(pause) / 4)
	x.Next = now.Add(pause)
	if ie != nil && ie.RetryAfter.After(x.Next) {
		x.Next, x.Asked = ie.RetryAfter, true
	}
	f.mu.Lock()
	f.m[name] = x
	f.mu.Unlock()
	raw, err := json.Marshal(x)
	if err == nil {
		err = f.storage.Store(context.WithoutCancel(ctx), f.key(name), raw)
	}
	if err != nil {
		f.log.Warn("a failure was not written to storage; a restart will not know of it", "name", name, "error", err)
	}
	return x
}

// clear forgets the failures of a name.
func (f *failures) clear(ctx context.Context, name string) {
	f.mu.Lock()
	_, ok := f.m[name]
	delete(f.m, name)
	f.mu.Unlock()
	if !ok {
		return
	}
	if err := f.storage.Delete(context.WithoutCancel(ctx), f.key(name)); err != nil {
		f.log.Warn("a past failure was not removed from storage", "name", name, "error", err)
	}
}

// keepFailure is how long a failure is remembered after its pause has ended
// without another attempt: the name is not wanted any more.
const keepFailure = 7 * 24 * time.Hour

// prune forgets what has long passed, so that names which clients came up with
// once do not pile up.
func (f *failures) prune(ctx context.Context) {
	var gone []string
	f.mu.Lock()
	for name, x := range f.m {
		if f.now().Sub(x.Next) > keepFailure {
			gone = append(gone, name)
		}
	}
	f.mu.Unlock()
	for _, name := range gone {
		f.clear(ctx, name)
	}
}

// all returns every failure that is remembered.
func (f *failures) all() []failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.m))
}

func (f *failures) key(name string) string {
	return path.Join(backoffPrefix, certmagic.StorageKeys.Safe(name)+".json")
}

// load reads what an earlier process left. What has long passed is removed.
func (f *failures) load(ctx context.Context) error {
	s := certStore{storage: f.storage, log: f.log}
	keys, err := s.list(ctx, backoffPrefix)
	if err != nil {
		return err
	}
	for _, key := range keys {
		var x failure
		raw, err := f.storage.Load(ctx, key)
		if err == nil {
			err = json.Unmarshal(raw, &x)
		}
		if err != nil || f.now().Sub(x.Next) > keepFailure {
			if err := f.storage.Delete(ctx, key); err != nil {
				f.log.Warn("a past failure was not removed from storage", "file", key, "error", err)
			}
			continue
		}
		f.m[x.Name] = x
	}
	return nil
}

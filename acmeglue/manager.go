package acmeglue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"edge"

	"github.com/caddyserver/certmagic"
)

// ManagerOptions are what a Manager needs of its surroundings. Zero values have
// defaults, except for Storage.
type ManagerOptions struct {
	Storage  certmagic.Storage
	Observer Observer
	Log      *slog.Logger
	Now      func() time.Time // wall clock
	Rand     func() float64   // uniform in [0, 1)
	HTTP     *http.Client     // for OCSP responders

	Workers       int           // certificates worked on at a time; 8
	HandshakeWait time.Duration // how long a handshake waits for an order; 30 s
	OrderTimeout  time.Duration // of one attempt with one CA; 3 min
	Orders        OrderRate     // for each CA
}

// OrderRate is a token bucket. The default stays below what Let's Encrypt grants
// an account (300 orders in three hours, refilled at one in 36 seconds).
type OrderRate struct {
	Burst int           // 250
	Every time.Duration // 36 s for a token
}

// Manager has the certificates that handshakes get: it reads them from storage,
// obtains what is wanted or permitted, and renews it. Safe for concurrent use.
type Manager struct {
	opts  ManagerOptions
	now   func() time.Time
	rand  func() float64
	log   *slog.Logger
	store *certStore
	share share

	view  atomic.Pointer[view]
	clock atomic.Int64 // Unix seconds, advanced by Run: a coarse clock for handshakes

	queue    *queue
	failures *failures
	cas      caStates
	counters counters

	ctx    context.Context // ends with Run
	cancel context.CancelFunc
	work   sync.WaitGroup // goroutines beside Run

	apply sync.Mutex // one Apply at a time, and one change of view
	mu    sync.Mutex // guards what follows
	ended bool
	fly   map[string]*flight
	born  map[string]int64 // last use by name, as read at start
}

// NewManager returns a Manager that knows no names until Apply.
func NewManager(o ManagerOptions) *Manager {
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	o.Workers = orDefault(o.Workers, 8)
	o.HandshakeWait = orDefault(o.HandshakeWait, 30*time.Second)
	o.OrderTimeout = orDefault(o.OrderTimeout, 3*time.Minute)
	o.Orders.Burst = orDefault(o.Orders.Burst, 250)
	o.Orders.Every = orDefault(o.Orders.Every, 36*time.Second)
	log := o.Log.With("component", "certificates")
	m := &Manager{
		opts:  o,
		now:   o.Now,
		rand:  o.Rand,
		log:   log,
		store: &certStore{storage: o.Storage, log: log},
		queue: newQueue(),
		fly:   make(map[string]*flight),
	}
	m.failures = newFailures(o.Storage, log, o.Now, o.Rand)
	m.cas = caStates{rate: o.Orders, now: o.Now, m: make(map[string]*caState)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.view.Store(newView())
	m.tick()
	return m
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// tick advances the coarse clock.
func (m *Manager) tick() { m.clock.Store(m.now().Unix()) }

// Apply makes the settings those in force. What has a certificate keeps it; new
// names are looked up in storage and, where it has none, obtained by Run. After
// an error nothing has changed. It reads static pairs and the list of what is
// stored, not the stored certificates, and is quick therefore.
func (m *Manager) Apply(s Settings) error {
	m.apply.Lock()
	defer m.apply.Unlock()
	if err := s.check(); err != nil {
		return err
	}
	static, err := m.readStatic(s.Static)
	if err != nil {
		return err
	}
	if err := m.prepare(m.ctx); err != nil {
		return err
	}
	old, v := m.view.Load(), newView()
	if v.issuers, err = m.store.issuers(m.ctx); err != nil {
		return err
	}
	m.addRules(v, old, &s)
	var adopt []func() // changes of slots that outlive the old view: only once nothing can fail

	place := func(id edge.Identifier, source edge.CertificateSource, plan *Plan, r *rule) *slot {
		sl := old.get(id.Value)
		if sl == nil || v.get(id.Value) != nil {
			sl = &slot{id: id}
		}
		v.put(sl)
		adopt = append(adopt, func() {
			sl.mu.Lock()
			defer sl.mu.Unlock()
			if sl.source == edge.SourceStatic {
				sl.loaded, sl.held = false, nil // storage may have one of its own
			}
			if sl.plan == nil || plan == nil || sl.plan.String() != plan.String() {
				sl.denied, sl.hold = false, time.Time{}
			}
			sl.source, sl.plan, sl.rule = source, plan, r
		})
		return sl
	}
	for i := range s.Sites {
		site := &s.Sites[i]
		for _, id := range site.Hosts {
			place(id, edge.SourceSite, &site.Plan, nil)
		}
	}
	for i, pair := range s.Static {
		for _, host := range pair.Hosts {
			sl := place(staticIdentifier(host), edge.SourceStatic, nil, nil)
			h := static[i]
			adopt = append(adopt, func() {
				sl.mu.Lock()
				defer sl.mu.Unlock()
				sl.loaded = true
				if sl.held == nil || sl.held.sum != h.sum {
					sl.setLocked(h)
				}
			})
		}
	}
	found, err := m.storedOnDemand(m.ctx, v)
	if err != nil {
		return err
	}
	for _, id := range found {
		r := v.ruleFor(id)
		sl := place(id, edge.SourceOnDemand, &r.Plan, r)
		m.recallUse(sl)
	}
	for _, host := range s.Default {
		if sl := v.get(host); sl != nil {
			v.fallback = append(v.fallback, sl)
		}
	}
	for _, f := range adopt {
		f()
	}
	m.view.Store(v)
	old.closeAskers(v)
	for sl := range old.all() {
		if v.get(sl.id.Value) != sl {
			m.queue.drop(sl)
		}
	}
	for sl := range v.all() {
		m.schedule(sl)
	}
	return nil
}

// prepare reads what an earlier process left, once.
func (m *Manager) prepare(ctx context.Context) error {
	m.mu.Lock()
	done := m.born != nil
	m.mu.Unlock()
	if done {
		return nil
	}
	if err := m.store.recover(ctx); err != nil {
		return fmt.Errorf("finish interrupted writes: %w", err)
	}
	if err := m.failures.load(ctx); err != nil {
		return err
	}
	born := m.readUsed(ctx)
	m.mu.Lock()
	m.born = born
	m.mu.Unlock()
	return nil
}

// errEnded is what comes after the end of Run.
var errEnded = errors.New("edge is shutting down")

// start runs f on a goroutine that Run waits for; it reports false after the end.
func (m *Manager) start(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return false
	}
	m.work.Go(f)
	return true
}

// nobody is the observer of those who gave none.
type nobody struct{}

func (nobody) Order(*edge.OrderEvent)       {}
func (nobody) OnDemand(*edge.OnDemandEvent) {}

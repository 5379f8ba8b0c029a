package acmeglue

import (
	"context"
	"errors"
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

	lineages *lineages
	queue    *queue
	failures *failures
	cas      caStates
	counters counters

	ctx    context.Context // ends with Run
	cancel context.CancelFunc
	quiet  atomic.Bool    // nothing is begun by schedule
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
	m.lineages = &lineages{storage: o.Storage, log: log, share: &m.share, m: make(map[string]*lineage)}
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

package pool

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"edge"
	"edge/proxy/upstream"
)

// Pool is a set of upstream servers. Safe for concurrent use.
type Pool struct {
	o       Options
	log     *slog.Logger
	members []*member
	choose  chooser
	single  bool // one server, and nothing that needs counting
	queue   *queue
	budget  *budget
	// discovery is where the servers are, of a pool that looks for them; nil: here.
	discovery *discovery

	cancel context.CancelFunc // ends the checks
	wg     sync.WaitGroup
	once   sync.Once
	closed atomic.Bool
	closer atomic.Pointer[time.Timer] // of Retire
}

// server is one upstream server with what is known of how it does. Pools that
// follow each other share it.
type server struct {
	*upstream.Server
	options upstream.Options
	pools   atomic.Int32 // that have it
	load    atomic.Int64 // requests in progress here
	retries atomic.Uint64

	mu        sync.Mutex
	failures  int           // of requests, in a row
	until     time.Time     // ejected until then
	span      time.Duration // of the next ejection
	since     time.Time     // when its slow start began; zero: long ago
	ejections uint64
}

// member is a server's part in one pool.
type member struct {
	*server
	address string
	weight  int
	backup  bool
	down    atomic.Bool // active checks say so
	known   bool        // the checks of the pool before have looked at it
}

// New returns a pool. It connects when it is asked to; checks begin at once.
func New(o Options) (*Pool, error) { return build(o, nil) }

// Next returns a pool that is to take the place of p: servers that both have keep
// their connections, and what is known of them; others begin slowly if o says so. Who
// waits for a server of p goes on to wait, and neither pool forgets the other's requests.
// p is Retired, or the next one is closed, as it turns out.
func (p *Pool) Next(o Options) (*Pool, error) { return build(o, p) }

func build(o Options, before *Pool) (*Pool, error) {
	if len(o.Servers) == 0 && o.Discover == nil {
		return nil, fmt.Errorf("pool %s: no server", o.Name)
	}
	o = o.withDefaults()
	if o.Discover != nil {
		return lookedUp(o, before), nil
	}
	if before != nil && before.discovery != nil {
		before = before.discovery.current.Load()
	}
	p := &Pool{o: o, log: o.Log, queue: new(queue), budget: new(budget)}
	if before != nil {
		p.queue, p.budget = before.queue, before.budget
	}
	for _, s := range o.Servers {
		p.members = append(p.members, p.member(s, before))
	}
	if p.choose = newChooser(o.Balance, p.members); p.choose == nil {
		p.Close()
		return nil, fmt.Errorf("pool %s: no way to balance is called %q", o.Name, o.Balance)
	}
	p.single = len(p.members) == 1 && o.MaxConnections == 0 && o.Health == nil && o.Sticky == nil && o.Total == 0
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	if o.Health != nil {
		p.watch(ctx)
	}
	return p, nil
}

// lookedUp is a pool whose servers are looked for.
func lookedUp(o Options, before *Pool) *Pool {
	p := &Pool{o: o, log: o.Log, queue: new(queue), budget: new(budget), discovery: newDiscovery(o)}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.discover(ctx, before)
	return p
}

// member makes s a member of p: with the server that the pool before had, or a new one.
func (p *Pool) member(s Server, before *Pool) *member {
	m := &member{address: s.Address, weight: max(1, s.Weight), backup: s.Backup}
	if before != nil {
		for _, old := range before.members {
			if old.options.Same(&s.Options) && !slices.ContainsFunc(p.members, func(x *member) bool { return x.server == old.server }) {
				m.server = old.server
				m.known = before.o.Health != nil
				m.down.Store(old.down.Load() && p.o.Health != nil)
			}
		}
	}
	if m.server == nil {
		m.server = &server{Server: upstream.New(s.Options), options: s.Options}
		if before != nil {
			m.since = p.o.Now()
		}
	}
	m.pools.Add(1)
	return m
}

func (o Options) withDefaults() Options {
	def(&o.Balance, LeastRequests)
	def(&o.QueueTimeout, 5*time.Second)
	def(&o.Eject.Failures, 5)
	def(&o.Eject.For, 10*time.Second)
	def(&o.Eject.MaxFor, 5*time.Minute)
	def(&o.Eject.MaxPercent, 50)
	def(&o.Retry.Attempts, 3)
	def(&o.Retry.Budget, 0.2)
	def(&o.Drain, 30*time.Second)
	if o.Discover != nil {
		d := *o.Discover
		def(&d.Interval, 30*time.Second)
		o.Discover = &d
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Of is a pool of one server with default options.
func Of(o upstream.Options) *Pool {
	p, err := New(Options{Name: o.Address, Servers: []Server{{Options: o}}})
	if err != nil {
		panic(err) // it has a server
	}
	return p
}

// Status describes each server. Site is left to the caller.
func (p *Pool) Status() []edge.UpstreamStatus {
	if p.discovery != nil {
		return p.found()
	}
	now := p.o.Now()
	out := make([]edge.UpstreamStatus, len(p.members))
	for i, m := range p.members {
		s := m.Server.Status()
		s.Pool, s.Weight, s.Retries = p.o.Name, m.weight, m.retries.Load()
		m.mu.Lock()
		s.Ejections = m.ejections
		ejected := now.Before(m.until)
		m.mu.Unlock()
		switch {
		case m.down.Load():
			s.State, s.Healthy = "down", false
		case ejected:
			s.State, s.Healthy = "ejected", false
		case p.share(m, now) < 1:
			s.State = "starting"
		default:
			s.State = "up"
		}
		if i == 0 {
			s.Queued = p.queue.len()
		}
		out[i] = s
	}
	return out
}

// Name is the pool's name, as in Options.
func (p *Pool) Name() string { return p.o.Name }

// Closed reports whether the pool was closed.
func (p *Pool) Closed() bool { return p.closed.Load() }

// Close ends checks, and closes the servers that no other pool has: idle connections
// now and the others when their request is over.
func (p *Pool) Close() {
	p.once.Do(func() {
		if t := p.closer.Load(); t != nil {
			t.Stop()
		}
		p.end()
		if p.discovery != nil {
			p.discovery.close()
		}
		for _, m := range p.members {
			if m.pools.Add(-1) == 0 {
				m.Server.Close()
			}
		}
		p.closed.Store(true)
	})
}

// end ends the checks.
func (p *Pool) end() {
	if p.cancel != nil {
		p.cancel()
	}
	p.wg.Wait()
}

// Retire ends checks now, and closes the pool after the time that its requests have for
// what they have begun, those that wait for a server included. It is called once, by
// whoever has put another pool in its place.
func (p *Pool) Retire() {
	p.end()
	if p.discovery != nil {
		if c := p.discovery.current.Load(); c != nil {
			c.end()
		}
	}
	p.closer.Store(time.AfterFunc(max(p.o.Drain, p.o.QueueTimeout), p.Close))
}

// share is the part of its weight that a server gets now, from 0.1 to 1.
func (p *Pool) share(m *member, now time.Time) float64 {
	if p.o.SlowStart <= 0 {
		return 1
	}
	m.mu.Lock()
	since := m.since
	m.mu.Unlock()
	if since.IsZero() || now.Sub(since) >= p.o.SlowStart {
		return 1
	}
	return max(0.1, float64(now.Sub(since))/float64(p.o.SlowStart))
}

// admitted thins out what a server gets that starts slowly.
func (p *Pool) admitted(m *member, now time.Time) bool {
	s := p.share(m, now)
	return s >= 1 || rand.Float64() < s
}

package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
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
	queue   queue
	budget  budget

	cancel context.CancelFunc // ends the checks
	wg     sync.WaitGroup
}

// member is one server with what is known of how it does.
type member struct {
	*upstream.Server
	address string
	weight  int
	backup  bool

	load atomic.Int64 // requests in progress here
	down atomic.Bool  // active checks say so

	mu        sync.Mutex
	failures  int           // of requests, in a row
	until     time.Time     // ejected until then
	span      time.Duration // of the next ejection
	since     time.Time     // when its slow start began; zero: long ago
	ejections uint64
	retries   atomic.Uint64
}

// New returns a pool. It connects when it is asked to; checks begin at once.
func New(o Options) (*Pool, error) {
	if len(o.Servers) == 0 {
		return nil, fmt.Errorf("pool %s: no server", o.Name)
	}
	o = o.withDefaults()
	p := &Pool{o: o, log: o.Log, queue: queue{most: o.Queue}, budget: budget{ratio: o.Retry.Budget}}
	for _, s := range o.Servers {
		p.members = append(p.members, &member{Server: upstream.New(s.Options), address: s.Address, weight: max(1, s.Weight), backup: s.Backup})
	}
	if p.choose = newChooser(o.Balance, p.members); p.choose == nil {
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

func (o Options) withDefaults() Options {
	def(&o.Balance, LeastRequests)
	def(&o.QueueTimeout, 5*time.Second)
	def(&o.Eject.Failures, 5)
	def(&o.Eject.For, 10*time.Second)
	def(&o.Eject.MaxFor, 5*time.Minute)
	def(&o.Eject.MaxPercent, 50)
	def(&o.Retry.Attempts, 3)
	def(&o.Retry.Budget, 0.2)
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

// RoundTrip sends a request to one of the servers, as upstream.Server.RoundTrip
// does, and to another where the first has failed and that is safe: nothing of
// the request was sent, or it may be repeated and nothing of an answer has come.
func (p *Pool) RoundTrip(ctx context.Context, r *upstream.Request) (*upstream.Response, error) {
	if p.single {
		return p.members[0].RoundTrip(ctx, r)
	}
	var end context.CancelFunc
	if p.o.Total > 0 {
		ctx, end = context.WithTimeout(ctx, p.o.Total)
	}
	res, err := p.tries(ctx, r)
	switch {
	case end == nil:
	case err != nil:
		end()
	case res.Upgraded != nil:
		res.Upgraded = &countedConn{Conn: res.Upgraded, put: end} // a tunnel has a time of its own
	default:
		res.Body = &endedBody{ReadCloser: res.Body, end: end}
	}
	return res, err
}

func (p *Pool) tries(ctx context.Context, r *upstream.Request) (*upstream.Response, error) {
	p.budget.deposit(p.o.Now())
	var tried []*member
	var waited time.Duration
	attempts := 0
	for {
		m, wait, err := p.take(ctx, r, tried)
		waited += wait
		if err != nil {
			return nil, err
		}
		if len(tried) > 0 {
			m.retries.Add(1)
		}
		res, err := m.RoundTrip(ctx, r)
		attempts++
		if err == nil && !p.unwell(res.Status) {
			p.succeeded(m)
		} else if ctx.Err() == nil && !clientsFault(err) {
			p.failed(m, err)
		}
		tried = append(tried, m)
		again := p.again(ctx, r, res, err, tried)
		if err != nil {
			p.put(m)
			if !again {
				return nil, err
			}
			continue
		}
		if again {
			_ = res.Body.Close()
			p.put(m)
			continue
		}
		res.Queued = waited
		res.Attempts = max(res.Attempts, attempts)
		p.finish(res, m, r)
		return res, nil
	}
}

// clientsFault reports whether an error says nothing of the server: or clients could
// take servers out with bodies that they break off.
func clientsFault(err error) bool {
	ue, ok := errors.AsType[*upstream.Error](err)
	return ok && ue.Client
}

// again reports whether a request is tried at another server.
func (p *Pool) again(ctx context.Context, r *upstream.Request, res *upstream.Response, err error, tried []*member) bool {
	if ctx.Err() != nil || len(tried) >= p.o.Retry.Attempts || len(tried) >= len(p.members) {
		return false
	}
	if err != nil {
		ue, ok := errors.AsType[*upstream.Error](err)
		// A server that could not be reached has seen nothing. One that was too slow
		// has used up the time that there is for an answer.
		if !ok || ue.Op != "connect" && !(r.Replayable && r.Body == nil && !ue.Malformed && !ue.Timeout) {
			return false
		}
	} else if !r.Replayable || r.Body != nil || res.Upgraded != nil || !slices.Contains(p.o.Retry.Status, res.Status) {
		return false
	}
	return p.budget.withdraw(p.o.Now())
}

// unwell are the answers that count as failures of a server.
func (p *Pool) unwell(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// finish hands the answer over: the server is busy until its body is closed.
func (p *Pool) finish(res *upstream.Response, m *member, r *upstream.Request) {
	if s := p.o.Sticky; s != nil {
		if v := s.value(m.address); v != r.Sticky {
			res.SetSticky = s.cookie(v)
		}
	}
	if res.Upgraded != nil {
		res.Upgraded = &countedConn{Conn: res.Upgraded, put: sync.OnceFunc(func() { p.put(m) })}
		return
	}
	if res.Body == nil {
		res.Body = http.NoBody
	}
	res.Body = &countedBody{ReadCloser: res.Body, put: sync.OnceFunc(func() { p.put(m) })}
}

// Status describes each server. Site is left to the caller.
func (p *Pool) Status() []edge.UpstreamStatus {
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

// Close ends checks, closes idle connections now and the others when their
// request is over.
func (p *Pool) Close() {
	p.cancel()
	p.wg.Wait()
	for _, m := range p.members {
		m.Server.Close()
	}
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

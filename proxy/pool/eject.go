package pool

import (
	"sync"
	"time"
)

func (m *member) ejected(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Before(m.until)
}

// succeeded forgets the failures of a server.
func (p *Pool) succeeded(m *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures = 0
	if m.until.Before(p.o.Now()) {
		m.span = 0
	}
}

// failed counts a failure, and takes the server out after too many in a row,
// unless too many are out already.
func (p *Pool) failed(m *member, cause error) {
	if p.o.Eject.Off || len(p.members) == 1 {
		return
	}
	now := p.o.Now()
	out := 0
	for _, other := range p.members {
		if other != m && (other.ejected(now) || other.down.Load()) {
			out++
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures++
	if m.failures < p.o.Eject.Failures || now.Before(m.until) {
		return
	}
	if most := max(1, len(p.members)*p.o.Eject.MaxPercent/100); out >= most {
		return
	}
	m.span = min(max(p.o.Eject.For, 2*m.span), p.o.Eject.MaxFor)
	m.until, m.failures, m.since = now.Add(m.span), 0, now.Add(m.span)
	m.ejections++
	p.log.Warn("an upstream server gets no requests for a while: it failed too often in a row", "pool", p.o.Name, "upstream", m.address, "for", m.span, "error", cause)
}

// budget bounds retries to a part of the requests of the last seconds, so that a
// pool that is down is not asked several times as often.
type budget struct {
	mu    sync.Mutex
	slots [budgetSlots]struct {
		second            int64
		requests, retries int
	}
}

const (
	budgetSlots = 10 // seconds
	budgetFree  = 10 // retries that are always allowed in that time
)

func (b *budget) deposit(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slot(now).requests++
}

func (b *budget) withdraw(now time.Time, ratio float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	requests, retries := 0, 0
	for _, s := range b.slots {
		if age := now.Unix() - s.second; age >= 0 && age < budgetSlots {
			requests += s.requests
			retries += s.retries
		}
	}
	if retries >= budgetFree && float64(retries) >= ratio*float64(requests) {
		return false
	}
	b.slot(now).retries++
	return true
}

func (b *budget) slot(now time.Time) *struct {
	second            int64
	requests, retries int
} {
	s := &b.slots[now.Unix()%budgetSlots]
	if s.second != now.Unix() {
		s.second, s.requests, s.retries = now.Unix(), 0, 0
	}
	return s
}

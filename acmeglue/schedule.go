package acmeglue

import (
	"context"
	"time"

	"edge"
)

// longestNap bounds how long Run relies on the clock: a wall clock that was set
// forward or back is noticed within this time.
const longestNap = time.Minute

// never is later than everything that is scheduled.
const never = 100 * 365 * 24 * time.Hour

// Quiesce keeps Run from beginning anything more: another process does that from now
// on, with the same storage. What has begun goes on, and handshakes get what they need.
func (m *Manager) Quiesce() { m.quiet.Store(true) }

// Run loads, obtains, renews and staples until ctx ends, and then waits for
// everything that the Manager has started. It is called once; after it has
// returned nothing new is obtained, but what is there is still served.
func (m *Manager) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, m.cancel)
	defer stop()
	defer m.end()

	idle := make(chan struct{}, m.opts.Workers)
	free := m.opts.Workers
	nap := time.NewTimer(0)
	defer nap.Stop()
	saved := m.now()
	wall := saved.Round(0)
	for {
		m.tick()
		now := m.now()
		if now.Round(0).Before(wall.Add(-time.Second)) {
			m.clockSetBack()
		}
		wall = now.Round(0)
		wait := longestNap
		for free > 0 && !m.quiet.Load() {
			s, next := m.queue.take(now)
			if s == nil {
				if !next.IsZero() {
					wait = min(wait, max(next.Sub(now), 0))
				}
				break
			}
			free--
			started := m.start(func() {
				defer func() { idle <- struct{}{} }()
				m.tend(m.ctx, s)
				m.queue.done(s)
				if m.ctx.Err() == nil {
					m.schedule(s)
				}
			})
			if !started {
				return
			}
		}
		if d := now.Sub(saved); d >= usedEvery || d < 0 {
			saved = now
			m.saveUsed(m.ctx)
			m.failures.prune(m.ctx)
		}
		nap.Reset(wait)
		select {
		case <-m.ctx.Done():
			return
		case <-idle:
			free++
		case <-m.queue.wake:
		case <-nap.C:
		}
	}
}

// clockSetBack looks at every slot again: what was queued for a time on the
// old clock would come as much too late as the clock was set back.
func (m *Manager) clockSetBack() {
	m.log.Warn("the clock was set back; everything is scheduled anew")
	for s := range m.view.Load().all() {
		m.schedule(s)
	}
}

// end waits for what is under way and writes what is worth keeping.
func (m *Manager) end() {
	m.cancel()
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	m.work.Wait()
	m.view.Load().closeAskers(nil)
	m.saveUsed(context.WithoutCancel(m.ctx))
}

// schedule queues a slot for the next thing that it needs.
func (m *Manager) schedule(s *slot) {
	if m.view.Load().get(s.id.Value) != s {
		return // a reload took the name away
	}
	sn := s.snapshot()
	var urgency int64
	switch {
	case !sn.loaded:
		urgency = -1
	case sn.held != nil:
		urgency = sn.held.notAfter.Unix()
	}
	m.queue.set(s, m.next(s, &sn), urgency)
}

// next is when a slot needs attention again.
func (m *Manager) next(s *slot, sn *snapshot) time.Time {
	now := m.now()
	if !sn.loaded {
		return now
	}
	due := now.Add(never)
	sooner := func(t time.Time) {
		if t.Before(due) {
			due = t
		}
	}
	if sn.plan != nil {
		sooner(m.attemptAt(s, sn))
	}
	if sn.held != nil {
		if ca := m.caOf(sn); ca != nil && m.inUse(s, sn, now) {
			sooner(sn.ariNext)
		}
		if sn.held.responder != "" {
			sooner(sn.ocsp.next)
		}
	}
	return due
}

// attemptAt is when the next certificate should be tried for: when the present
// one is due for renewal, or when the back-off after a failure ends.
func (m *Manager) attemptAt(s *slot, sn *snapshot) time.Time {
	now := m.now()
	at := now
	switch {
	case sn.source == edge.SourceOnDemand && !m.inUse(s, sn, now):
		// A handshake may put it in use again, so look once a day, until it
		// is forgotten some time after its expiry.
		return now.Add(24 * time.Hour)
	case sn.held == nil && sn.source == edge.SourceOnDemand:
		return now.Add(never) // obtained by the next client that asks for it
	case sn.held != nil && sn.plan.has(sn.held.issuerKey):
		at = renewAt(sn.held)
		if sn.ocsp.revoked {
			at = notBefore(sn.held)
		}
	}
	if f, ok := m.failures.get(s.id.Value, sn.plan); ok && f.Next.After(at) {
		at = f.Next
	}
	// A hold is a day at most; a longer one is of a clock that was set back.
	if sn.hold.After(at) && sn.hold.Sub(now) <= 2*longestHold {
		at = sn.hold
	}
	return at
}

// inUse reports whether an on-demand name was used within the last 30 days;
// other names always are.
func (m *Manager) inUse(s *slot, sn *snapshot, now time.Time) bool {
	return sn.source != edge.SourceOnDemand || now.Sub(time.Unix(s.used.Load(), 0)) < keepUsed
}

// tend does what is due for a slot.
func (m *Manager) tend(ctx context.Context, s *slot) {
	if m.view.Load().get(s.id.Value) != s {
		return
	}
	sn := s.snapshot()
	if !sn.loaded {
		// Nothing else yet: what is urgent is known when all are loaded.
		m.loadSlot(ctx, s)
		return
	}
	if sn.held != nil {
		if m.inUse(s, &sn, m.now()) && !sn.ariNext.After(m.now()) {
			m.askWindow(ctx, s, &sn)
		}
		if sn.held.responder != "" && !sn.ocsp.next.After(m.now()) {
			m.staple(ctx, s, &sn)
		}
		sn = s.snapshot()
	}
	switch {
	case sn.plan == nil:
		return
	case m.forgotten(s, &sn):
		m.forget(ctx, s)
		return
	case m.attemptAt(s, &sn).After(m.now()):
		return
	case sn.source == edge.SourceOnDemand && !m.mayRenew(ctx, s, &sn):
		return
	}
	m.renew(ctx, s, &sn)
}

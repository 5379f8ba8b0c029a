package acmeglue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"edge"
)

// errRefused is the end of a handshake for a name that may not, or not now,
// have a certificate.
var errRefused = fmt.Errorf("%w: %w", edge.ErrNoCertificate, edge.ErrNotPermitted)

// isRefusal reports whether the handshake may go on with the default site.
func isRefusal(err error) bool { return errors.Is(err, edge.ErrNoCertificate) }

// The words of edge.OnDemandEvent.Decision.
const (
	decAllow       = "allow"
	decDeny        = "deny"
	decError       = "error"
	decCachedAllow = "cached_allow"
	decCachedDeny  = "cached_deny"
	decThrottled   = "throttled"
)

// maxFlights bounds the new names that are decided on or ordered at a time.
// Each holds a handshake and perhaps a question to the permission endpoint.
const maxFlights = 512

// flight is one new name on its way to a certificate, with all who wait for it.
type flight struct {
	done chan struct{}
	cert *tls.Certificate // valid once done is closed
	err  error
}

// onDemand gets a certificate for a name that has none, if a client may cause
// that. The gates come in the order of their cost: the form of the name, what
// is remembered, the permission endpoint, the quota, storage, the CA.
func (m *Manager) onDemand(r *rule, name string, isAddr bool, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	id := edge.Identifier{Type: edge.DNS, Value: name}
	if isAddr {
		id.Type = edge.IP
	} else if !presentable(name) && !(r.allows(name) && !edge.IsACMEInvalid(name)) {
		m.decided(name, decDeny, 0, nil)
		return nil, errRefused
	}
	if err := m.remembered(r, name); err != nil {
		return nil, err
	}
	fl, leader, err := m.board(id)
	if err != nil {
		return nil, err
	}
	if leader {
		m.lead(fl, r, id)
	}
	ctx := context.Background()
	if hello != nil && hello.Context() != nil {
		ctx = hello.Context()
	}
	limit := time.NewTimer(m.opts.HandshakeWait)
	defer limit.Stop()
	select {
	case <-fl.done:
		return fl.cert, fl.err
	case <-ctx.Done():
		return nil, fmt.Errorf("certificate for %s: the client did not wait for it: %w", name, context.Cause(ctx))
	case <-limit.C:
		return nil, fmt.Errorf("certificate for %s: not there within %s; the order goes on", name, m.opts.HandshakeWait)
	}
}

// presentable reports whether a public CA could have a certificate for such a
// name: not a single label, not a special-use name (RFC 6761 and others) that
// no client outside the own network can mean.
func presentable(name string) bool {
	clean, ok := edge.CleanName(name)
	if !ok || clean != name || edge.IsACMEInvalid(name) {
		return false
	}
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return false
	}
	switch name[i+1:] {
	case "invalid", "localhost", "local", "internal", "localdomain", "lan", "onion":
		return false
	}
	return !strings.HasSuffix(name, ".home.arpa") && !strings.HasSuffix(name, ".in-addr.arpa") && !strings.HasSuffix(name, ".ip6.arpa")
}

// remembered refuses what was refused, or has failed, a short while ago.
func (m *Manager) remembered(r *rule, name string) error {
	if f, ok := m.failures.get(name, &r.Plan); ok && f.Next.After(m.now()) {
		err := fmt.Errorf("certificate for %s: the last attempt failed, the next one is not before %s: %s",
			name, f.Next.UTC().Format(time.RFC3339), f.Error)
		m.decided(name, decThrottled, 0, err)
		return err
	}
	if r.asker == nil || r.allows(name) {
		return nil
	}
	ans, ok := r.asker.known(name)
	if !ok || ans.consent {
		return nil
	}
	if ans.err != nil {
		m.decided(name, decError, 0, ans.err)
		return fmt.Errorf("%w: %w", errRefused, ans.err)
	}
	m.decided(name, decCachedDeny, 0, nil)
	return errRefused
}

// board joins the flight for a name, or starts one.
func (m *Manager) board(id edge.Identifier) (fl *flight, leader bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return nil, false, errEnded
	}
	if fl := m.fly[id.Value]; fl != nil {
		return fl, false, nil
	}
	fl = &flight{done: make(chan struct{})}
	// A flight that has just landed left its certificate in the view.
	if s := m.view.Load().get(id.Value); s != nil {
		if c := s.live.Load(); c != nil && c.notAfter > m.clock.Load() {
			fl.cert = &c.Certificate
			close(fl.done)
			return fl, false, nil
		}
	}
	if len(m.fly) >= maxFlights {
		m.decided(id.Value, decThrottled, 0, nil)
		return nil, false, fmt.Errorf("%w: too many new names at a time", errRefused)
	}
	m.fly[id.Value] = fl
	return fl, true, nil
}

// land ends a flight.
func (m *Manager) land(fl *flight, id edge.Identifier, c *tls.Certificate, err error) {
	fl.cert, fl.err = c, err
	m.mu.Lock()
	delete(m.fly, id.Value)
	m.mu.Unlock()
	close(fl.done)
}

// lead finds out whether the name of a flight may have a certificate, on the
// goroutine of the first client, and has it ordered on one of its own, so that
// an order survives the client.
func (m *Manager) lead(fl *flight, r *rule, id edge.Identifier) {
	if err := m.permit(m.ctx, r, id.Value); err != nil {
		m.land(fl, id, nil, err)
		return
	}
	var old *held
	if s := m.view.Load().get(id.Value); s != nil {
		old = s.snapshot().held
	}
	if old == nil && !r.newOnes.take() {
		m.decided(id.Value, decThrottled, 0, nil)
		m.land(fl, id, nil, fmt.Errorf("%w: %d new names in an hour are enough (max_new_per_hour)", errRefused, r.MaxNewPerHour))
		return
	}
	started := m.start(func() {
		c, err := m.order(r, id, old)
		m.land(fl, id, c, err)
	})
	if !started {
		m.land(fl, id, nil, errEnded)
	}
}

// permit asks the rule for consent; nil is consent.
func (m *Manager) permit(ctx context.Context, r *rule, name string) error {
	if r.allows(name) {
		m.decided(name, decAllow, 0, nil)
		return nil
	}
	if r.asker == nil {
		m.decided(name, decDeny, 0, nil)
		return errRefused
	}
	if ans, ok := r.asker.known(name); ok && ans.consent {
		m.decided(name, decCachedAllow, 0, nil)
		return nil
	}
	began := time.Now()
	ans := r.asker.ask(ctx, name)
	took := time.Since(began)
	// The change is worth a line, not each name that strangers come up with.
	if failed := ans.err != nil; r.asker.silent.Swap(failed) != failed {
		if failed {
			m.log.Warn("the permission endpoint is in trouble: no new names until it answers again", "name", name, "error", ans.err)
		} else {
			m.log.Info("the permission endpoint answers again")
		}
	}
	switch {
	case ans.err != nil:
		m.decided(name, decError, took, ans.err)
		return fmt.Errorf("%w: %w", errRefused, ans.err)
	case !ans.consent:
		m.decided(name, decDeny, took, nil)
		return errRefused
	}
	m.decided(name, decAllow, took, nil)
	return nil
}

// order gets the first certificate of a name, or one in place of an expired one.
func (m *Manager) order(r *rule, id edge.Identifier, old *held) (*tls.Certificate, error) {
	select {
	case r.orders <- struct{}{}:
		defer func() { <-r.orders }()
	case <-m.ctx.Done():
		return nil, errEnded
	}
	var probes sync.WaitGroup
	for _, ca := range r.Plan.CAs {
		probes.Go(func() { m.cas.get(ca.Key()).probe(m.ctx, ca) })
	}
	probes.Wait()
	h, err := m.obtain(m.ctx, want{id: id, plan: &r.Plan, source: edge.SourceOnDemand, old: old})
	if err != nil {
		var p *postponed
		switch {
		case errors.As(err, &p):
			if old == nil {
				r.newOnes.giveBack()
			}
		case m.ctx.Err() == nil:
			f := m.failures.fail(m.ctx, id.Value, &r.Plan, err, time.Time{})
			m.log.Error("certificate not obtained", "name", id.Value, "error", err, "failures", f.Count, "next_attempt", f.Next)
		}
		return nil, err
	}
	m.add(id, h)
	m.settle(m.ctx, id.Value, &r.Plan, h)
	return &h.served.Certificate, nil
}

// add makes a certificate obtained on demand known to all handshakes.
func (m *Manager) add(id edge.Identifier, h *held) {
	m.apply.Lock()
	defer m.apply.Unlock()
	v := m.view.Load()
	s := v.get(id.Value)
	if s == nil {
		r := v.ruleFor(id)
		if r == nil {
			return // a reload took the rule away; those who wait get it still
		}
		s = &slot{id: id, source: edge.SourceOnDemand, plan: &r.Plan, rule: r}
		s.used.Store(m.clock.Load())
		m.install(m.ctx, s, h)
		m.view.Store(v.edited(func(w *view) { w.put(s) }))
	} else {
		m.install(m.ctx, s, h)
	}
	m.schedule(s)
}

// mayRenew reports whether an on-demand certificate is to be renewed. While the
// endpoint gives no answer the question is put off; when expiry comes near, the
// consent that was once given holds.
func (m *Manager) mayRenew(ctx context.Context, s *slot, sn *snapshot) bool {
	err := m.permit(ctx, sn.rule, s.id.Value)
	if err == nil {
		return true
	}
	ans, known := answer{}, false
	if sn.rule.asker != nil {
		ans, known = sn.rule.asker.known(s.id.Value)
	}
	refused := sn.rule.asker == nil || known && ans.err == nil && !ans.consent
	if refused {
		m.log.Info("not renewed: the name is not permitted any more", "name", s.id.Value, "not_after", sn.held.notAfter)
		s.holdUntil(m.now().Add(m.spread(longestHold)), true)
		return false
	}
	if left := sn.held.notAfter.Sub(m.now()); left < sn.held.lifetime()/12 {
		return true
	}
	s.holdUntil(m.now().Add(m.spread(min(time.Hour, sn.held.lifetime()/48))), false)
	return false
}

// longestHold is how long a withdrawn permission is not asked about again.
const longestHold = 24 * time.Hour

// decided counts and reports a decision.
func (m *Manager) decided(name, decision string, asked time.Duration, err error) {
	m.counters.add(decision)
	m.opts.Observer.OnDemand(&edge.OnDemandEvent{Name: name, Decision: decision, Asked: asked, Err: err})
}

package acmeglue

import (
	"context"
	"time"

	"github.com/caddyserver/certmagic"
)

// Bounds on how often a CA is asked for the renewal window of one certificate
// (RFC 9773 section 4.3.1 leaves them to the client).
const (
	ariSoonest = time.Minute
	ariLatest  = 24 * time.Hour
	ariUsual   = 6 * time.Hour
	ariRetry   = time.Hour
	ariSpread  = 10 * time.Minute // after a start
)

// caOf is the CA that the certificate of a slot came from, nil where it is not
// one of the plan.
func (m *Manager) caOf(sn *snapshot) CA {
	if sn.plan == nil || sn.held == nil {
		return nil
	}
	for _, ca := range sn.plan.CAs {
		if certmagic.StorageKeys.Safe(ca.Key()) == sn.held.issuerKey {
			return ca
		}
	}
	return nil
}

// askWindow asks the CA when the certificate should be renewed, and remembers
// the answer in the certificate's metadata. It never fails: without an answer
// the lifetime decides.
func (m *Manager) askWindow(ctx context.Context, s *slot, sn *snapshot) {
	ca := m.caOf(sn)
	if ca == nil {
		return
	}
	if m.cas.get(ca.Key()).down() {
		m.setAriNext(s, m.now().Add(m.spread(ariRetry)))
		return
	}
	chain, err := sn.held.bundle()
	if err != nil {
		m.setAriNext(s, m.now().Add(ariLatest))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	answer, err := ca.RenewalInfo(ctx, chain.Chain)
	if err != nil {
		m.log.Debug("the CA did not say when to renew", "name", s.id.Value, "ca", ca.Directory(), "error", err)
		m.setAriNext(s, m.now().Add(m.spread(ariRetry)))
		return
	}
	w := MergeWindow(sn.held.window, answer, m.rand())
	if w == nil {
		m.setAriNext(s, m.now().Add(m.spread(ariLatest)))
		return
	}
	next := w.RetryAfter
	if next.IsZero() {
		next = m.now().Add(m.spread(ariUsual))
	}
	next = clampTime(next, m.now().Add(ariSoonest), m.now().Add(ariLatest))

	s.mu.Lock()
	same := s.held == sn.held
	if same {
		h := *s.held
		h.window = w
		s.held, s.ariNext = &h, next
	}
	s.mu.Unlock()
	if !same {
		return
	}
	if old := sn.held.window; old == nil || !old.Selected.Equal(w.Selected) {
		m.log.Info("the CA named a time for renewal", "name", s.id.Value, "renew_after", w.Selected, "see", w.URL)
	}
	st, err := m.store.load(ctx, sn.held.issuerKey, s.id.Value)
	if err == nil {
		st.setWindow(w)
		st.sans = sn.held.names
		err = m.store.saveMeta(ctx, sn.held.issuerKey, s.id.Value, st)
	}
	if err != nil {
		m.log.Warn("the renewal window was not written to storage", "name", s.id.Value, "error", err)
	}
}

func (m *Manager) setAriNext(s *slot, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ariNext = t
}

// spread lengthens a pause by up to a quarter, so that what began together does
// not go on together.
func (m *Manager) spread(d time.Duration) time.Duration {
	return d + time.Duration(m.rand()*float64(d)/4)
}

func clampTime(t, lo, hi time.Time) time.Time {
	if t.Before(lo) {
		return lo
	}
	if t.After(hi) {
		return hi
	}
	return t
}

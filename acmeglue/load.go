package acmeglue

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"edge"

	"github.com/caddyserver/certmagic"
)

// loadSlot looks into storage for the certificate of a slot, once. Whoever
// comes first does it: the pool that runs after the start, or a handshake.
func (m *Manager) loadSlot(ctx context.Context, s *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded {
		return
	}
	if s.source == edge.SourceLineage {
		m.dressLocked(ctx, s)
		return
	}
	if h := m.find(ctx, s.id.Value, s.plan); h != nil {
		s.setLocked(h)
		// Not all certificates are asked about in the moment of a start.
		if now := m.now(); h.window != nil && h.window.RetryAfter.After(now) && h.window.RetryAfter.Before(now.Add(ariLatest)) {
			s.ariNext = h.window.RetryAfter // asked by the process before us
		} else {
			s.ariNext = now.Add(time.Duration(m.rand() * float64(ariSpread)))
		}
	}
	// A storage that was cut short by the end of the process says nothing.
	s.loaded = ctx.Err() == nil
}

// find returns the best certificate that storage has for a name: one that is
// valid now before others, one of the plan's CAs before others, then the one
// that is valid longest. What is damaged is reported and passed over.
func (m *Manager) find(ctx context.Context, name string, plan *Plan) *held {
	var best *held
	now := m.now()
	for _, issuerKey := range m.issuerKeys(plan) {
		st, err := m.store.load(ctx, issuerKey, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var h *held
		if err == nil {
			h, err = m.share.parse(st.chain, st.key, name)
		}
		if err != nil {
			if ctx.Err() == nil {
				m.log.Warn("a stored certificate cannot be used and will be obtained again", "name", name,
					"file", certmagic.StorageKeys.SiteCert(issuerKey, name), "error", err)
			}
			continue
		}
		h.issuerKey, h.ca, h.window = m.share.string(issuerKey), m.share.string(st.meta.CA), st.window()
		if best == nil || better(h, best, plan, now) {
			best = h
		}
	}
	return best
}

func better(a, b *held, plan *Plan, now time.Time) bool {
	if va, vb := a.validAt(now), b.validAt(now); va != vb {
		return va
	}
	if pa, pb := plan.has(a.issuerKey), plan.has(b.issuerKey); pa != pb {
		return pa
	}
	return a.notAfter.After(b.notAfter)
}

// issuerKeys lists where a certificate under plan may lie: with the plan's CAs,
// or with others that were configured once.
func (m *Manager) issuerKeys(plan *Plan) []string {
	keys := make([]string, 0, 4)
	for _, ca := range plan.CAs {
		keys = append(keys, certmagic.StorageKeys.Safe(ca.Key()))
	}
	own := len(keys)
next:
	for _, k := range m.view.Load().issuers {
		for _, have := range keys[:own] {
			if k == have {
				continue next
			}
		}
		keys = append(keys, k)
	}
	return keys
}

// permitted lists the names that an on-demand rule covers and that there is a
// certificate for, in storage or in memory alone. They are served without asking
// anybody: that they are there says that they were permitted.
func (m *Manager) permitted(ctx context.Context, d *draft) ([]edge.Identifier, error) {
	seen := make(map[string]bool)
	var ids []edge.Identifier
	consider := func(name string) {
		id, err := edge.ParseIdentifier(name)
		if err != nil || id.IsWildcard() || seen[id.Value] || d.view.get(id.Value) != nil {
			return
		}
		if id.Type == edge.DNS && d.view.wild[suffix(id.Value)] != nil {
			return // the configured wildcard has it
		}
		if r := d.view.ruleFor(id); r == nil || !r.covers(id) {
			return
		}
		seen[id.Value] = true
		ids = append(ids, id)
	}
	for _, issuerKey := range d.view.issuers {
		names, err := m.store.names(ctx, issuerKey)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			consider(name)
		}
	}
	for s := range d.old.all() {
		if sn := s.snapshot(); sn.source == edge.SourceOnDemand && sn.held != nil {
			consider(s.id.Value) // a full disk may have kept it from storage
		}
	}
	return ids, nil
}

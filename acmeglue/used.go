package acmeglue

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"time"

	"edge"
)

const (
	keepUsed  = 30 * 24 * time.Hour // on-demand names are renewed for so long after their last use
	usedEvery = time.Hour           // how often to see whether last uses are worth writing
	day       = 24 * 60 * 60
)

// readUsed reads when on-demand names were last used, in days since 1970. What
// is missing or damaged counts as used now: nothing is lost but a renewal.
func (m *Manager) readUsed(ctx context.Context) map[string]int64 {
	used := make(map[string]int64)
	raw, err := m.store.storage.Load(ctx, usedKey)
	if err == nil {
		err = json.Unmarshal(raw, &used)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("the record of last uses is unreadable; all on-demand names count as used today", "file", usedKey, "error", err)
	}
	return used
}

// recallUse gives a slot its last use, as far as that is known.
func (m *Manager) recallUse(s *slot) {
	if s.used.Load() != 0 {
		return
	}
	now := m.now().Unix()
	m.mu.Lock()
	d, ok := m.born[s.id.Value]
	m.mu.Unlock()
	if !ok || d*day > now {
		s.used.Store(now)
		return
	}
	s.used.Store(min(now, (d+1)*day-1)) // the end of that day
}

// saveUsed writes the days of last use where they have changed.
func (m *Manager) saveUsed(ctx context.Context) {
	used := make(map[string]int64)
	for s := range m.view.Load().all() {
		if s.snapshot().source == edge.SourceOnDemand {
			used[s.id.Value] = s.used.Load() / day
		}
	}
	m.mu.Lock()
	same := m.born == nil || maps.Equal(used, m.born)
	m.mu.Unlock()
	if same {
		return
	}
	raw, err := json.Marshal(used)
	if err == nil {
		err = m.store.storage.Store(ctx, usedKey, raw)
	}
	if err != nil {
		m.log.Warn("the record of last uses was not written", "file", usedKey, "error", err)
		return
	}
	m.mu.Lock()
	m.born = used
	m.mu.Unlock()
}

// forgotten reports whether an on-demand certificate has expired and nobody
// has asked for it for so long that it would not have been renewed.
func (m *Manager) forgotten(s *slot, sn *snapshot) bool {
	return sn.source == edge.SourceOnDemand && sn.held != nil && sn.held.notAfter.Before(m.now()) && !m.inUse(s, sn, m.now())
}

// forget drops an on-demand name and its files, unless another process that
// uses the same storage has renewed it.
func (m *Manager) forget(ctx context.Context, s *slot) {
	sn := s.snapshot()
	if h := m.find(ctx, s.id.Value, sn.plan); h != nil && h.validAt(m.now()) {
		s.mu.Lock()
		s.setLocked(h)
		s.mu.Unlock()
		return
	}
	m.apply.Lock()
	defer m.apply.Unlock()
	v := m.view.Load()
	if v.get(s.id.Value) != s {
		return
	}
	m.view.Store(v.edited(func(w *view) { w.remove(s) }))
	if err := m.store.remove(ctx, sn.held.issuerKey, s.id.Value); err != nil {
		m.log.Warn("an unused certificate was not removed from storage", "name", s.id.Value, "error", err)
	}
	m.log.Info("an unused certificate has expired and is forgotten", "name", s.id.Value)
}

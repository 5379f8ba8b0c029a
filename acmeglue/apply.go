package acmeglue

import (
	"context"
	"fmt"
	"time"

	"edge"
)

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
	d := &draft{old: m.view.Load(), view: newView()}
	if d.view.issuers, err = m.store.issuers(m.ctx); err != nil {
		return err
	}
	m.addRules(d.view, d.old, &s)
	for i := range s.Sites {
		for _, id := range s.Sites[i].Hosts {
			d.place(id, edge.SourceSite, &s.Sites[i].Plan, nil)
		}
	}
	for i, pair := range s.Static {
		for _, host := range pair.Hosts {
			d.placeStatic(host, static[i])
		}
	}
	for _, l := range s.Lineages {
		for _, host := range l.Hosts {
			d.placeLineage(host, l.Lineage)
		}
	}
	found, err := m.permitted(m.ctx, d)
	if err != nil {
		return err
	}
	for _, id := range found {
		r := d.view.ruleFor(id)
		m.recallUse(d.place(id, edge.SourceOnDemand, &r.Plan, r))
	}
	for _, host := range s.Default {
		if sl := d.view.get(host); sl != nil {
			d.view.fallback = append(d.view.fallback, sl)
		}
	}
	m.adopt(d)
	return nil
}

// draft is a view in the making. Slots that the old view has too are changed
// only when nothing can fail any more.
type draft struct {
	old, view *view
	changes   []func()
}

// place puts the slot of a name into the draft, the old one where there is one.
func (d *draft) place(id edge.Identifier, source edge.CertificateSource, plan *Plan, r *rule) *slot {
	s := d.old.get(id.Value)
	if s == nil || d.view.get(id.Value) != nil {
		s = &slot{id: id}
	}
	d.view.put(s)
	d.changes = append(d.changes, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case s.source == source:
		case source == edge.SourceLineage:
			s.loaded = false // what is held is served until there is something of the lineage
		case s.source == edge.SourceStatic, s.source == edge.SourceLineage:
			s.loaded, s.held = false, nil // storage may have one of its own
		}
		if s.plan == nil || plan == nil || s.plan.String() != plan.String() {
			s.denied, s.hold = false, time.Time{}
		}
		s.source, s.plan, s.rule = source, plan, r
	})
	return s
}

func (d *draft) placeStatic(host string, h *held) {
	s := d.place(staticIdentifier(host), edge.SourceStatic, nil, nil)
	d.changes = append(d.changes, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.loaded = true
		if s.held == nil || s.held.sum != h.sum {
			s.setLocked(h)
		}
	})
}

// placeLineage is place for a host that is served with a lineage. What the host
// had before is served until there is something to take its place.
func (d *draft) placeLineage(host, name string) {
	s := d.place(staticIdentifier(host), edge.SourceLineage, nil, nil)
	d.view.lineages[name] = append(d.view.lineages[name], s)
	d.changes = append(d.changes, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.lineage != name {
			s.loaded = false
		}
		s.lineage = name
	})
}

// adopt puts a draft in force.
func (m *Manager) adopt(d *draft) {
	for _, change := range d.changes {
		change()
	}
	m.view.Store(d.view)
	m.lineages.keep(d.view.lineages)
	d.old.closeAskers(d.view)
	for s := range d.old.all() {
		if d.view.get(s.id.Value) != s {
			m.queue.drop(s)
		}
	}
	for s := range d.view.all() {
		m.schedule(s)
	}
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

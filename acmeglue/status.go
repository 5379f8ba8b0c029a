package acmeglue

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"edge"
)

// Statuses describes every certificate that is there or wanted, sorted by name.
func (m *Manager) Statuses() []edge.CertificateStatus {
	v, now := m.view.Load(), m.now()
	out := make([]edge.CertificateStatus, 0, len(v.exact)+len(v.wild)+len(v.addrs))
	for s := range v.all() {
		out = append(out, m.status(s, now))
	}
	// Names that a client asked for, and that could not be had so far.
	for _, f := range m.failures.all() {
		if r := v.rule(f.Name); v.get(f.Name) == nil && r != nil && f.Plan == r.Plan.String() {
			st := edge.CertificateStatus{Name: f.Name, Source: edge.SourceOnDemand}
			describe(&st, f)
			out = append(out, st)
		}
	}
	slices.SortFunc(out, func(a, b edge.CertificateStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (m *Manager) status(s *slot, now time.Time) edge.CertificateStatus {
	sn := s.snapshot()
	st := edge.CertificateStatus{Name: s.id.Value, Source: sn.source, State: edge.StatePending}
	if h := sn.held; h != nil {
		st.Names, st.Issuer, st.CA, st.KeyType = h.names, h.issuer, h.ca, h.keyType
		st.Serial, st.SHA256 = hex.EncodeToString(h.serial), hex.EncodeToString(h.sum[:])
		st.NotBefore, st.NotAfter, st.StapledUntil = h.notBefore, h.notAfter, sn.ocsp.until
		st.RenewAfter = renewAt(h)
		st.State = edge.StateValid
		if sn.plan != nil && !sn.plan.has(h.issuerKey) {
			st.RenewAfter = now
		}
		if st.RenewAfter.Before(now) {
			st.State = edge.StateExpiring
		}
	}
	if sn.plan != nil {
		if f, ok := m.failures.get(s.id.Value, sn.plan); ok {
			describe(&st, f)
		} else if sn.hold.After(now) {
			st.NextAttempt = sn.hold
			if sn.denied {
				st.State, st.LastReason, st.LastError = edge.StateFailing, edge.ReasonPermission, "the name is not permitted any more"
			}
		}
	} else {
		st.RenewAfter = time.Time{} // nobody renews a static pair
	}
	if sn.source == edge.SourceLineage {
		m.describeLineage(&st, &sn, now)
	}
	if sn.held != nil && !now.Before(sn.held.notAfter) {
		st.State = edge.StateExpired
	}
	if sn.source == edge.SourceOnDemand {
		st.LastUsed = time.Unix(s.used.Load(), 0)
	}
	return st
}

func describe(st *edge.CertificateStatus, f failure) {
	st.State = edge.StateFailing
	st.LastAttempt, st.NextAttempt, st.Failures, st.LastError, st.LastReason = f.Last, f.Next, f.Count, f.Error, f.Reason
}

// Bundle returns the certificate that is served for a host, with its key. The
// host is a name, a wildcard or an address as configured; a name is not looked
// for under its wildcard. The error wraps edge.ErrNoCertificate where there is none.
func (m *Manager) Bundle(host string) (edge.Bundle, error) {
	s := m.view.Load().get(host)
	if s == nil {
		return edge.Bundle{}, fmt.Errorf("%s: %w", host, edge.ErrNoCertificate)
	}
	m.loadSlot(m.ctx, s)
	sn := s.snapshot()
	if sn.held == nil {
		return edge.Bundle{}, fmt.Errorf("%s: %w yet", host, edge.ErrNoCertificate)
	}
	return sn.held.bundle()
}

// Pending counts the names that handshakes wait for a certificate of.
func (m *Manager) Pending() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.fly)
}

// OnDemandCounts are the decisions since the start, by edge.OnDemandEvent.Decision.
func (m *Manager) OnDemandCounts() map[string]uint64 {
	out := make(map[string]uint64, len(decisions))
	for i, d := range decisions {
		out[d] = m.counters[i].Load()
	}
	return out
}

var decisions = [...]string{decAllow, decDeny, decError, decCachedAllow, decCachedDeny, decThrottled}

// counters has one count for each of decisions.
type counters [len(decisions)]atomic.Uint64

func (c *counters) add(decision string) {
	for i, d := range decisions {
		if d == decision {
			c[i].Add(1)
		}
	}
}

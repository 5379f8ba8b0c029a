package acmeglue

import (
	"sync"
	"sync/atomic"
	"time"

	"edge"
)

// slot is the place of one name: what handshakes get for it, and what the
// scheduler knows. It outlives reloads as long as the name is wanted, so that a
// reload moves no certificate.
type slot struct {
	id edge.Identifier

	// Read by handshakes, without a lock.
	live atomic.Pointer[served] // nil until there is a certificate
	used atomic.Int64           // the coarse clock at the last handshake, Unix seconds

	mu      sync.Mutex
	source  edge.CertificateSource
	plan    *Plan // nil for static pairs and lineages
	lineage string
	rule    *rule // nil unless on demand
	loaded  bool  // storage was looked into
	held    *held // nil without a certificate
	ariNext time.Time
	ocsp    stapleState
	denied  bool      // the permission of an on-demand name was withdrawn
	hold    time.Time // no attempt before, though none has failed
}

// touch notes that a handshake used the slot. The clock is coarse, so that a
// busy name costs a load and no store.
func (s *slot) touch(now int64) {
	if s.used.Load() != now {
		s.used.Store(now)
	}
}

// setLocked makes h what handshakes get. The caller holds s.mu.
func (s *slot) setLocked(h *held) {
	s.held = h
	s.ocsp = stapleState{}
	s.ariNext = time.Time{}
	s.live.Store(h.served)
}

// holdUntil puts the next attempt off.
func (s *slot) holdUntil(t time.Time, denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold, s.denied = t, denied
}

// snapshot is what the scheduler and status want to know at one moment.
type snapshot struct {
	source  edge.CertificateSource
	plan    *Plan
	lineage string
	rule    *rule
	loaded  bool
	held    *held
	ariNext time.Time
	ocsp    stapleState
	denied  bool
	hold    time.Time
}

func (s *slot) snapshot() snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return snapshot{s.source, s.plan, s.lineage, s.rule, s.loaded, s.held, s.ariNext, s.ocsp, s.denied, s.hold}
}

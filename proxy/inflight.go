package proxy

import (
	"maps"
	"sync"
	"sync/atomic"

	"edge"
)

// inFlight counts the requests in progress of each site. A request finds its
// counter in the state that it works on, without a lock; the set of counters
// changes with a reload, and one that still counts something stays until it does not.
type inFlight struct {
	mu     sync.Mutex
	bySite map[string]*atomic.Int64
}

// keep makes the counters those of sites, and returns them for a state.
func (f *inFlight) keep(sites []string) map[string]*atomic.Int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := make(map[string]*atomic.Int64, len(sites)+1)
	for _, name := range append(sites, edge.OtherSite) {
		if next[name] = f.bySite[name]; next[name] == nil {
			next[name] = new(atomic.Int64)
		}
	}
	all := maps.Clone(next)
	for name, n := range f.bySite {
		if next[name] == nil && n.Load() > 0 {
			all[name] = n
		}
	}
	f.bySite = all
	return next
}

// InFlight returns how many requests are in progress, tunnels included, by the
// name of their site (edge.OtherSite: none).
func (s *Server) InFlight() map[string]int64 {
	s.flights.mu.Lock()
	defer s.flights.mu.Unlock()
	out := make(map[string]int64, len(s.flights.bySite))
	for name, n := range s.flights.bySite {
		out[name] = n.Load()
	}
	return out
}

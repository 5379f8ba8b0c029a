package proxy

import (
	"context"
	"time"
)

// Retire is Shutdown for a server whose sockets a successor serves already. Clients
// notice nothing: an idle HTTP/1 connection is not closed at once, when its next request
// may be on the way, but told to come again elsewhere with the answer to it. Who stays
// silent for a third of the drain limit is closed; all else has that limit.
func (s *Server) Retire(ctx context.Context) error {
	st := s.state.Load()
	if st == nil {
		return s.Shutdown(ctx)
	}
	drain := st.engine.limits.Drain
	ctx, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	s.retiring.Store(true)
	s.leaveQUICNow()
	// Where the successor has a narrower socket than this one, connections that clients
	// have begun with this one are complete in a moment.
	pause(ctx, settle)
	s.applyMu.Lock()
	for l := range members(s.listeners) {
		l.Close()
	}
	s.applyMu.Unlock()
	for end := time.Now().Add(drain / 3); time.Now().Before(end) && len(s.openConns()) > 0 && ctx.Err() == nil; {
		pause(ctx, 20*time.Millisecond)
	}
	return s.Shutdown(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

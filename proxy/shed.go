package proxy

import (
	"errors"
	"net/http"
	"slices"

	"edge"
)

// Limits.Connections and Limits.Requests keep a crowd from taking more than there is.
// A certificate that is due must come all the same: challenges are answered before
// requests are counted, and a few connections beyond the limit are let in, to be
// closed as soon as they turn out to be no challenge. Where these few are taken as
// well, the oldest that has not said what it wants gives way: who only holds
// connections open cannot keep a CA out.

// spareConns is how many connections beyond the limit there may be.
const spareConns = 32

// errCrowded ends handshakes of connections beyond the limit.
var errCrowded = errors.New("the limit of connections is reached: only challenges are answered")

// squeeze lets c in beyond the limit, for a challenge, if that is what it can bring.
// The caller holds connMu.
func (s *Server) squeeze(c *conn) bool {
	if c.listener == "tcp" || c.quic != nil {
		return false
	}
	if len(s.spares) >= spareConns {
		s.spares[0].Conn.Close() // its owner sees an error, and forgets it
		s.spares = slices.Delete(s.spares, 0, 1)
	}
	c.spare = true
	s.spares = append(s.spares, c)
	return true
}

// unspare ends c's part in what may give way. The caller holds connMu.
func (s *Server) unspare(c *conn) {
	if i := slices.Index(s.spares, c); i >= 0 {
		s.spares = slices.Delete(s.spares, i, i+1)
	}
}

// keepSpare keeps a connection beyond the limit from giving way: it brought a challenge,
// or is being closed.
func (s *Server) keepSpare(c *conn) {
	if !c.spare {
		return
	}
	s.connMu.Lock()
	defer s.connMu.Unlock()
	s.unspare(c)
}

// crowded reports that a handshake beyond the limit is no challenge.
func (s *Server) crowded(c *conn) bool {
	if !c.spare {
		return false
	}
	s.obs.Conn(&edge.ConnEvent{Listener: c.listener, Remote: c.remote, Refused: "connections"})
	return true
}

var retryValue = []string{"1"}

// shed answers a request that there is no room for. Challenges have been answered before.
func (x *exchange) shed() bool {
	if x.c.spare {
		x.noRoom("connections")
		return true
	}
	most := int64(x.st.engine.limits.Requests)
	if most <= 0 {
		return false
	}
	if x.srv.load.Add(1) > most {
		x.srv.load.Add(-1)
		x.noRoom("load")
		return true
	}
	x.loads = true
	return false
}

// unload takes a request out of the count.
func (x *exchange) unload() {
	if x.loads {
		x.srv.load.Add(-1)
	}
}

func (x *exchange) noRoom(limit string) {
	x.ev.Decision, x.ev.Limited = "refused", limit
	x.w.Header()["Retry-After"] = retryValue
	x.endSpare()
	x.answer(http.StatusServiceUnavailable, "too busy; try again in a moment\n")
}

// endSpare makes the answer the last one on a connection beyond the limit.
func (x *exchange) endSpare() {
	if x.c.spare {
		x.w.Header()["Connection"] = closeValue
		x.srv.keepSpare(x.c)
	}
}

package steward

import (
	"context"
	"fmt"
	"time"

	"edge/acmeglue"
)

// certificate is what the decision to renew depends on.
type certificate struct {
	name                string // of the lineage
	chain               []byte // PEM
	leaf                string // SHA-256, hexadecimal
	responder           string // of OCSP; "": none
	notBefore, notAfter time.Time
	// reserve is renew_before_expiry, where it was set: the time to keep.
	reserve time.Duration
	auto    bool // autorenew
}

// verdict is whether a certificate should be replaced now, and why or why not.
type verdict struct {
	due bool
	why string
	at  time.Time // from when on it is due; zero where that is not known
}

// shortLived is the lifetime below which half of it, not a third, is kept in
// reserve (certbot 4.1: renewal.py).
const shortLived = 10 * 24 * time.Hour

// How long answers are believed, and how soon a silent CA or responder is asked
// again (certbot: six hours).
const (
	askAgain   = 6 * time.Hour
	askSoonest = time.Minute
	askLatest  = 24 * time.Hour
)

// due decides as certbot 5.6 does (renewal.py, should_autorenew): the CA's time
// (RFC 9773), a revocation, renew_before_expiry, and without the first and the
// last of these the lifetime.
func (s *Steward) due(ctx context.Context, c certificate, ca acmeglue.CA) verdict {
	now := s.o.Now()
	if !c.auto {
		return verdict{why: "autorenew is off"}
	}
	if c.expired(now) {
		return verdict{due: true, why: "it has expired", at: c.notAfter}
	}
	known := s.cache.get(c)
	s.askCA(ctx, c, ca, &known)
	s.askResponder(ctx, c, &known)
	s.cache.put(c, known)
	at := c.byLifetime()
	why := "by its lifetime"
	if w := known.Window; w != nil {
		at, why = c.byWindow(w), "by the CA's renewal window"
	}
	if c.reserve > 0 {
		if own := c.notAfter.Add(-c.reserve); known.Window == nil || own.Before(at) {
			at, why = own, "by renew_before_expiry"
		}
	}
	if known.Revoked {
		return verdict{due: true, why: "the CA has revoked it", at: now}
	}
	if now.Before(at) {
		return verdict{why: fmt.Sprintf("not before %s, %s", at.UTC().Format(time.RFC3339), why), at: at}
	}
	return verdict{due: true, why: why, at: at}
}

func (c certificate) expired(now time.Time) bool { return !now.Before(c.notAfter) }

func (c certificate) lifetime() time.Duration { return c.notAfter.Sub(c.notBefore) }

func (c certificate) byLifetime() time.Time {
	life := c.lifetime()
	if life < shortLived {
		return c.notBefore.Add(life / 2)
	}
	return c.notBefore.Add(life / 3 * 2)
}

// byWindow is the time chosen within the CA's window. Beyond the last tenth of
// the lifetime there would be no time for a second try; and a CA that wants every
// new certificate back at once must not have us order for ever.
func (c certificate) byWindow(w *acmeglue.RenewWindow) time.Time {
	earliest, latest := c.notBefore.Add(c.lifetime()/100), c.notBefore.Add(c.lifetime()/10*9)
	switch at := w.Selected; {
	case at.Before(earliest):
		return earliest
	case at.After(latest):
		return latest
	default:
		return at
	}
}

// askCA asks for the renewal window, when it is time to ask. A CA that does not
// answer leaves what was known before.
func (s *Steward) askCA(ctx context.Context, c certificate, ca acmeglue.CA, known *answers) {
	now := s.o.Now()
	if ca == nil || fresh(known.AskCA, now) {
		return
	}
	if s.isMute(ca.Directory()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	got, err := ca.RenewalInfo(ctx, c.chain)
	s.answered(ca.Directory(), err == nil)
	if err != nil {
		s.o.Log.Debug("the CA did not say when to renew", "lineage", c.name, "ca", ca.Directory(), "error", err)
		known.AskCA = now.Add(askAgain)
		return
	}
	known.Window = acmeglue.MergeWindow(known.Window, got, s.o.Rand())
	known.AskCA = clamp(got.RetryAfter, now.Add(askAgain), now)
}

// askResponder asks whether the certificate was revoked, when it is time to ask.
func (s *Steward) askResponder(ctx context.Context, c certificate, known *answers) {
	now := s.o.Now()
	if known.Revoked || fresh(known.AskResponder, now) {
		return
	}
	if s.isMute(c.responder) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	got, err := acmeglue.CheckRevocation(ctx, s.o.HTTP, c.chain, now)
	s.answered(c.responder, err == nil)
	if err != nil {
		s.o.Log.Debug("no OCSP answer", "lineage", c.name, "error", err)
		known.AskResponder = now.Add(askAgain)
		return
	}
	known.Revoked = got.Revoked
	known.AskResponder = clamp(got.Until, now.Add(askLatest), now)
}

// patience is how often in a row a CA or a responder may fail to answer before it
// is left alone for the rest of the run: with a thousand lineages, 15 seconds for
// each are four hours.
const patience = 3

func (s *Steward) isMute(who string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.silences[who] >= patience
}

func (s *Steward) answered(who string, did bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silences[who]++; did {
		delete(s.silences, who)
	}
}

// fresh reports whether it is too early to ask again. A time beyond all that we
// set was written while the clock was wrong.
func fresh(ask, now time.Time) bool { return now.Before(ask) && !ask.After(now.Add(askLatest)) }

// clamp keeps a time to ask again within bounds; zero is usual.
func clamp(t, usual, now time.Time) time.Time {
	switch {
	case t.IsZero():
		return usual
	case t.Before(now.Add(askSoonest)):
		return now.Add(askSoonest)
	case t.After(now.Add(askLatest)):
		return now.Add(askLatest)
	}
	return t
}

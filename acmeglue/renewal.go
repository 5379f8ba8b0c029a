package acmeglue

import (
	"encoding/binary"
	"time"
)

// shortLived is the lifetime below which half of it, rather than a third, is
// kept in reserve.
const shortLived = 10 * 24 * time.Hour

// renewAt is the time from which on a certificate should be replaced: the time
// chosen within the window of the CA (RFC 9773), else two thirds of its
// lifetime (half of it below ten days), up to a thirtieth earlier. The jitter
// comes from the certificate itself, so that it is the same at every look and
// after every restart, and certificates that were issued together part ways.
func renewAt(h *held) time.Time {
	life := h.lifetime()
	if w := h.window; w != nil && !w.Selected.IsZero() {
		// Beyond the last tenth there would be no time for a second try.
		return clampTime(w.Selected, notBefore(h), h.notBefore.Add(life/10*9))
	}
	jitter := float64(binary.BigEndian.Uint32(h.sum[:])) / (1 << 32)
	return h.notBefore.Add(renewalPart(life) - time.Duration(jitter*float64(life/30)))
}

// renewalPart is the part of a lifetime after which a certificate is to be replaced.
func renewalPart(life time.Duration) time.Duration {
	if life < shortLived {
		return life / 2
	}
	return life / 3 * 2
}

// notBefore is the earliest time to replace a certificate that the CA wants
// back. A CA that wants every new one back at once must not have us order for ever.
func notBefore(h *held) time.Time { return h.notBefore.Add(h.lifetime() / 100) }

// selectTime picks the moment within a window, uniformly by r in [0, 1).
func selectTime(w RenewWindow, r float64) time.Time {
	span := w.End.Sub(w.Start)
	if span <= 0 {
		return w.Start
	}
	return w.Start.Add(time.Duration(r * float64(span)))
}

// MergeWindow is what to believe after the CA was asked again: the time that
// was chosen stays unless the window moved. r, in [0, 1), chooses within a new
// window. Nil where the CA names none.
func MergeWindow(old *RenewWindow, now RenewWindow, r float64) *RenewWindow {
	if now.Start.IsZero() || now.End.IsZero() {
		return nil
	}
	switch {
	case old != nil && !old.Selected.IsZero() && old.Start.Equal(now.Start) && old.End.Equal(now.End):
		now.Selected = old.Selected
	case now.Selected.IsZero():
		now.Selected = selectTime(now, r)
	}
	return &now
}

package icecast

import (
	"fmt"
	"strings"
	"time"

	"edge/installers/delivery"
)

// times are when Icecast may be restarted: always, never, or from one minute of the day
// until before another one.
type times struct {
	never    bool
	from, to int // minutes since midnight; the same: always
}

// parseTimes reads now, never, HH:MM-HH:MM, or window HH:MM-HH:MM.
func parseTimes(s string) (times, error) {
	switch s {
	case "now", "":
		return times{}, nil
	case "never":
		return times{never: true}, nil
	}
	begin, end, ok := strings.Cut(strings.Trim(strings.TrimSpace(strings.TrimPrefix(s, "window")), `"`), "-")
	from, ferr := time.Parse("15:04", begin)
	to, terr := time.Parse("15:04", end)
	t := times{from: from.Hour()*60 + from.Minute(), to: to.Hour()*60 + to.Minute()}
	if !ok || ferr != nil || terr != nil || t.from == t.to {
		return times{}, fmt.Errorf("%.40q is neither now nor never nor a time of the day as 04:00-05:00", s)
	}
	return t, nil
}

// open reports whether it may be now; the hours are those of the time's zone.
func (t times) open(now time.Time) bool {
	m := now.Hour()*60 + now.Minute()
	switch {
	case t.never:
		return false
	case t.from == t.to:
		return true
	case t.from < t.to:
		return t.from <= m && m < t.to
	}
	return m >= t.from || m < t.to // over midnight
}

func (t times) String() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", t.from/60, t.from%60, t.to/60, t.to%60)
}

// Later implements delivery.Timed. What waits for its time of the day is put then, so that
// it can be taken back when it is not shown.
func (i *Icecast) Later() *delivery.Later {
	switch {
	case i.when.open(i.o.Now()):
		return nil
	case i.when.never:
		return &delivery.Later{There: true, Why: "the certificate is in " + i.o.Bundle + " and waits: Icecast takes it when it is restarted, which ends all streams and is left to you (restart: never)"}
	}
	return &delivery.Later{Why: "it waits: Icecast has to be restarted for a new certificate, which ends all streams, and may be between " + i.when.String() + " only; the next run in that time does it"}
}

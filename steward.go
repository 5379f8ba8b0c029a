package edge

import (
	"fmt"
	"slices"
	"time"
)

// StewardResult is the one word for what a run of the steward did with a
// lineage. It is a metric label.
type StewardResult string

// The results.
const (
	ResultRenewed StewardResult = "renewed" // issued or renewed
	ResultNotDue  StewardResult = "not_due"
	ResultFailed  StewardResult = "failed"
	ResultSkipped StewardResult = "skipped" // not looked at: excluded, or the run ended before it
)

// StewardReport is how one run of the steward (edge renew, edge certonly, ...)
// went. It is written for Prometheus and pushed into the door where one runs. A
// dry run is not reported.
type StewardReport struct {
	Verb  string    `json:"verb"` // "renew"
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// Error is why the run as a whole failed, "" where it did not. A lineage that
	// failed says so itself.
	Error string `json:"error,omitempty"`
	// HookSeconds is the time of hooks that belong to no single lineage: pre and post.
	HookSeconds float64 `json:"hook_seconds,omitempty"`
	// Complete says that Lineages has every lineage there is, so that what is known
	// of others is out of date: they were deleted.
	Complete bool            `json:"complete,omitempty"`
	Lineages []LineageReport `json:"lineages"`
}

// LineageReport is how a run of the steward went for one lineage. Times are zero
// where they are unknown.
type LineageReport struct {
	Name        string        `json:"name"`
	Result      StewardResult `json:"result"`
	Reason      Reason        `json:"reason,omitempty"` // of a failure
	NotBefore   time.Time     `json:"not_before,omitzero"`
	NotAfter    time.Time     `json:"not_after,omitzero"` // of the certificate that is there after the run
	NextRenewal time.Time     `json:"next_renewal,omitzero"`
	LastSuccess time.Time     `json:"last_success,omitzero"`
	HookSeconds float64       `json:"hook_seconds,omitempty"` // of all its hooks in this run
}

// Failed reports whether the run or any lineage in it failed.
func (r *StewardReport) Failed() bool {
	return r.Error != "" || slices.ContainsFunc(r.Lineages, func(l LineageReport) bool { return l.Result == ResultFailed })
}

// Check finds what no run of a steward could have reported.
func (r *StewardReport) Check() error {
	if r.Verb == "" || len(r.Verb) > 32 {
		return fmt.Errorf("verb %q: want one word", clip(r.Verb))
	}
	if r.End.IsZero() || r.End.Before(r.Start) {
		return fmt.Errorf("the run ends (%s) before it begins (%s)", r.End, r.Start)
	}
	if n := len(r.Lineages); n > MaxReportLineages {
		return fmt.Errorf("%d lineages, at most %d are taken", n, MaxReportLineages)
	}
	if !sane(r.HookSeconds) {
		return fmt.Errorf("hook time of %v seconds", r.HookSeconds)
	}
	for _, l := range r.Lineages {
		if err := CheckLineageName(l.Name); err != nil {
			return err
		}
		switch l.Result {
		case ResultRenewed, ResultNotDue, ResultFailed, ResultSkipped:
		default:
			return fmt.Errorf("lineage %s: unknown result %q", l.Name, clip(string(l.Result)))
		}
		if !sane(l.HookSeconds) {
			return fmt.Errorf("lineage %s: hook time of %v seconds", l.Name, l.HookSeconds)
		}
	}
	return nil
}

// sane reports whether a time in seconds can be added up; NaN cannot.
func sane(seconds float64) bool { return seconds >= 0 && seconds < 1e9 }

// MaxReportLineages bounds the lineages that a report tells of, and so the series
// that metrics have of them.
const MaxReportLineages = 5000

// Bounded returns the report with at most MaxReportLineages lineages: those that
// failed come first, then those that were renewed, then those that end soonest.
func (r StewardReport) Bounded() StewardReport {
	if len(r.Lineages) <= MaxReportLineages {
		return r
	}
	r.Lineages = slices.Clone(r.Lineages)
	rank := func(l LineageReport) int {
		switch l.Result {
		case ResultFailed:
			return 0
		case ResultRenewed:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(r.Lineages, func(a, b LineageReport) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return a.NotAfter.Compare(b.NotAfter)
	})
	r.Lineages = r.Lineages[:MaxReportLineages]
	return r
}

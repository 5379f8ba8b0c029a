package metrics

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"edge"
)

// family is one metric about the steward. A scrape of the door and the text file
// have the same ones.
type family struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string // sorted, as a scrape has them
	desc       *prometheus.Desc
}

func stewardFamily(kind prometheus.ValueType, name, help string, labels ...string) *family {
	return &family{name, help, kind, labels, desc(name, help, labels...)}
}

var (
	stewardRuns     = stewardFamily(prometheus.CounterValue, "edge_steward_runs_total", "Runs of the steward (edge renew and its like), by verb and result (success, failure).", "result", "verb")
	stewardLast     = stewardFamily(prometheus.GaugeValue, "edge_steward_last_run_timestamp_seconds", "When a run of the steward ended last.", "verb")
	stewardSuccess  = stewardFamily(prometheus.GaugeValue, "edge_steward_last_success_timestamp_seconds", "When a run of the steward ended last in which nothing failed.", "verb")
	stewardDuration = stewardFamily(prometheus.GaugeValue, "edge_steward_last_run_duration_seconds", "Of the last run of the steward.", "verb")
	stewardRenewals = stewardFamily(prometheus.CounterValue, "edge_steward_renewals_total", "Lineages issued or renewed by the steward, and failures to, by reason.", "reason", "result")
	stewardHooks    = stewardFamily(prometheus.CounterValue, "edge_steward_hook_seconds_total", "Time that the steward spent in hooks.")

	lineageNotAfter  = stewardFamily(prometheus.GaugeValue, "edge_lineage_not_after_timestamp_seconds", "When the certificate of the lineage ends.", "lineage")
	lineageNotBefore = stewardFamily(prometheus.GaugeValue, "edge_lineage_not_before_timestamp_seconds", "When the certificate of the lineage begins.", "lineage")
	lineageRenew     = stewardFamily(prometheus.GaugeValue, "edge_lineage_renew_after_timestamp_seconds", "When the lineage is due for renewal.", "lineage")
	lineageSuccess   = stewardFamily(prometheus.GaugeValue, "edge_lineage_last_success_timestamp_seconds", "When the lineage was issued or renewed last.", "lineage")
	lineageFailures  = stewardFamily(prometheus.GaugeValue, "edge_lineage_renewal_failures", "Failed attempts in a row to issue or renew the lineage.", "lineage")
	lineageHooks     = stewardFamily(prometheus.CounterValue, "edge_lineage_hook_seconds_total", "Time spent in hooks of the lineage.", "lineage")

	stewardFamilies = []*family{
		stewardRuns, stewardLast, stewardSuccess, stewardDuration, stewardRenewals, stewardHooks,
		lineageNotAfter, lineageNotBefore, lineageRenew, lineageSuccess, lineageFailures, lineageHooks,
	}
)

// series is one line of a family: no family has more than two labels.
type series struct {
	*family
	a, b string
}

func (s series) labelValues() []string { return []string{s.a, s.b}[:len(s.labels)] }

// Steward accumulates what runs of the steward reported. Its series are bounded:
// labels are from closed sets, and of lineages there are edge.MaxReportLineages at
// most. Safe for concurrent use.
type Steward struct {
	mu      sync.Mutex
	samples map[series]float64
}

// NewSteward returns one without any report.
func NewSteward() *Steward {
	s := &Steward{samples: make(map[series]float64)}
	// Failures are alerted on by their increase: it has to begin at none.
	s.samples[series{stewardRenewals, "none", "success"}] = 0
	for _, r := range reasons {
		s.samples[series{stewardRenewals, string(r), "failure"}] = 0
	}
	s.samples[series{stewardHooks, "", ""}] = 0
	return s
}

var (
	reasons = []edge.Reason{edge.ReasonDNS, edge.ReasonConnection, edge.ReasonUnauthorized, edge.ReasonRateLimited,
		edge.ReasonCAA, edge.ReasonServer, edge.ReasonTimeout, edge.ReasonPermission}
	verbs = []string{"run", "certonly", "install", "renew", "enhance", "certificates", "delete", "revoke", "rollback", "reconfigure", "deliver", otherVerb}
)

const otherVerb = "other"

// Report adds one run.
func (s *Steward) Report(r edge.StewardReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	verb := r.Verb
	if !slices.Contains(verbs, verb) {
		verb = otherVerb
	}
	result := "success"
	if r.Failed() {
		result = "failure"
	} else {
		s.samples[series{stewardSuccess, verb, ""}] = seconds(r.End)
	}
	s.samples[series{stewardRuns, result, verb}]++
	s.samples[series{stewardLast, verb, ""}] = seconds(r.End)
	s.samples[series{stewardDuration, verb, ""}] = r.End.Sub(r.Start).Seconds()
	s.samples[series{stewardHooks, "", ""}] += r.HookSeconds
	told := make(map[string]bool, len(r.Lineages))
	for _, l := range r.Lineages {
		if edge.CheckLineageName(l.Name) == nil { // what has no proper name is counted, and has no series
			told[l.Name] = true
		}
		s.lineage(l, told[l.Name], r.End)
	}
	if r.Complete {
		s.drop(func(name string) bool { return !told[name] })
	}
	s.bound()
}

// lineage adds what a run did with one lineage. The caller holds s.mu.
func (s *Steward) lineage(l edge.LineageReport, named bool, end time.Time) {
	of := func(f *family) series { return series{f, l.Name, ""} }
	failures := s.samples[of(lineageFailures)]
	switch l.Result {
	case edge.ResultRenewed:
		s.samples[series{stewardRenewals, "none", "success"}]++
		if failures = 0; l.LastSuccess.IsZero() {
			l.LastSuccess = end
		}
	case edge.ResultNotDue:
		failures = 0
	case edge.ResultFailed:
		reason := l.Reason
		if !slices.Contains(reasons, reason) {
			reason = edge.ReasonServer
		}
		s.samples[series{stewardRenewals, string(reason), "failure"}]++
		failures++
	}
	s.samples[series{stewardHooks, "", ""}] += l.HookSeconds
	if !named {
		return
	}
	s.samples[of(lineageFailures)] = failures
	s.samples[of(lineageHooks)] += l.HookSeconds
	// A certificate that is new, or was looked at, has the dates that are told, and
	// no others; one that could not be had may still be the old one.
	known := l.Result == edge.ResultRenewed || l.Result == edge.ResultNotDue
	for f, t := range map[*family]time.Time{lineageNotAfter: l.NotAfter, lineageNotBefore: l.NotBefore, lineageRenew: l.NextRenewal} {
		if !t.IsZero() {
			s.samples[of(f)] = seconds(t)
		} else if known {
			delete(s.samples, of(f))
		}
	}
	if !l.LastSuccess.IsZero() {
		s.samples[of(lineageSuccess)] = seconds(l.LastSuccess)
	}
}

// drop takes the series of lineages away. The caller holds s.mu.
func (s *Steward) drop(gone func(name string) bool) {
	maps.DeleteFunc(s.samples, func(k series, _ float64) bool { return k.perLineage() && gone(k.a) })
}

// bound keeps the lineages that end soonest where there are too many; those whose
// end is not known come first. The caller holds s.mu.
func (s *Steward) bound() {
	var names []string
	for k := range s.samples {
		if k.family == lineageFailures { // each lineage has it
			names = append(names, k.a)
		}
	}
	if len(names) <= edge.MaxReportLineages {
		return
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.samples[series{lineageNotAfter, a, ""}], s.samples[series{lineageNotAfter, b, ""}]), strings.Compare(a, b))
	})
	cut := make(map[string]bool)
	for _, n := range names[edge.MaxReportLineages:] {
		cut[n] = true
	}
	s.drop(func(name string) bool { return cut[name] })
}

func (s series) perLineage() bool { return len(s.labels) == 1 && s.labels[0] == "lineage" }

// Describe implements prometheus.Collector.
func (s *Steward) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range stewardFamilies {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (s *Steward) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	samples := maps.Clone(s.samples)
	s.mu.Unlock()
	for k, v := range samples {
		ch <- prometheus.MustNewConstMetric(k.desc, k.kind, v, k.labelValues()...)
	}
}

func seconds(t time.Time) float64 { return unix(t.UnixMilli()) }

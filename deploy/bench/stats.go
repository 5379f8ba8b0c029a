package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// result has one value a round for each server.
type result struct {
	Work     string               `json:"work"`
	Unit     string               `json:"unit"`
	Samples  map[string][]float64 `json:"samples"`
	Failures map[string]int       `json:"failures"`
}

// names are the servers in the order of the table.
func (r result) names() []string {
	names := slices.Sorted(maps.Keys(r.Samples))
	order := []string{"edge", "nginx", "haproxy", "caddy"}
	slices.SortStableFunc(names, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
	return names
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Clone(v)
	slices.Sort(s)
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// spread is the distance of the extremes, in parts of the median.
func spread(v []float64) float64 {
	m := median(v)
	if m == 0 {
		return 0
	}
	return (slices.Max(v) - slices.Min(v)) / m
}

// ratios are those of the rounds: what disturbs a round disturbs both sides.
func ratios(a, b []float64) []float64 {
	var out []float64
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			out = append(out, a[i]/b[i])
		}
	}
	return out
}

// maxSpread is beyond which a ratio says nothing.
const maxSpread = 0.15

func printResult(w io.Writer, r result) {
	fmt.Fprintf(w, "\n%s: %s\n", r.Work, r.Unit)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  server\tmedian\tspread\tfailures\tedge is\tspread of that")
	for _, name := range r.names() {
		v := r.Samples[name]
		line := fmt.Sprintf("  %s\t%.1f\t%.0f %%\t%d\t", name, median(v), 100*spread(v), r.Failures[name])
		if q := ratios(r.Samples["edge"], v); name != "edge" && len(q) > 0 {
			line += fmt.Sprintf("%.2f x\t%.0f %%", median(q), 100*spread(q))
		} else {
			line += "\t"
		}
		fmt.Fprintln(t, line)
	}
	t.Flush()
}

// verdict says whether a promise holds: "yes", "no", or why it cannot be said.
func verdict(t target, r result) (ratio float64, said string) {
	q := ratios(r.Samples["edge"], r.Samples[t.other])
	switch {
	case len(q) == 0:
		return 0, "not measured"
	case r.Failures["edge"]+r.Failures[t.other] > 0:
		return median(q), "no figure: there were failures"
	case median(q) > t.most:
		return median(q), "no"
	case spread(q) > maxSpread && slices.Max(q) > t.most:
		return median(q), "no figure: the rounds differ too much"
	}
	return median(q), "yes"
}

func printTargets(w io.Writer, results []result) {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "target\tmeasured\tholds")
	for _, goal := range targets {
		for _, r := range results {
			if r.Work == goal.work {
				ratio, said := verdict(goal, r)
				fmt.Fprintf(t, "%s\t%.2f x\t%s\n", goal, ratio, said)
			}
		}
	}
	for _, r := range results {
		if v := r.Samples["edge"]; r.Work == "start" && len(v) > 0 {
			said := "yes"
			if median(v) > maxStart {
				said = "no"
			}
			fmt.Fprintf(t, "start <= %.0f s\t%.2f s\t%s\n", maxStart, median(v), said)
		}
		if r.Work == "sites" {
			printSites(t, r)
		}
	}
	t.Flush()
}

// printSites compares the most sites with one.
func printSites(w io.Writer, r result) {
	names := r.names()
	first, last := siteCount(1), names[len(names)-1]
	q := ratios(r.Samples[last], r.Samples[first])
	if len(q) == 0 {
		return
	}
	said := "yes"
	switch {
	case r.Failures[first]+r.Failures[last] > 0:
		said = "no figure: there were failures"
	case median(q) > maxSites:
		said = "no"
	case spread(q) > maxSpread && slices.Max(q) > maxSites:
		said = "no figure: the rounds differ too much"
	}
	fmt.Fprintf(w, "%s <= %.2f x %s\t%.2f x\t%s\n", last, maxSites, first, median(q), said)
}

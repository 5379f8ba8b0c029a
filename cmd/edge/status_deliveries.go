package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"edge/installers/delivery"
	"edge/internal/config"
)

// known are deliveries as the last runs left them.
type known struct {
	list  []delivery.Result
	err   error
	alone bool // the configuration has deliveries, and no site for a front door
}

// knownDeliveries are those that the configuration wants. A configuration that cannot be
// read wants none.
func knownDeliveries(path, state string) known {
	cfg, err := config.Load(path)
	if err != nil || len(wants(cfg)) == 0 {
		return known{}
	}
	k := known{alone: len(cfg.Sites) == 0}
	all, err := delivery.Records(state)
	k.err = err
	for _, w := range wants(cfg) {
		of := func(kind string) func(delivery.Result) bool {
			return func(r delivery.Result) bool { return r.Name == w.name && r.Target == kind }
		}
		var kinds []string
		for _, to := range w.to {
			kind := to.Kind()
			if slices.Contains(kinds, kind) {
				continue
			}
			kinds = append(kinds, kind)
			found := slices.DeleteFunc(slices.Clone(all), func(r delivery.Result) bool { return !of(kind)(r) })
			if len(found) == 0 && err == nil {
				found = []delivery.Result{{Name: w.name, Target: kind, State: delivery.Pending}}
			}
			k.list = append(k.list, found...)
		}
	}
	return k
}

func (k known) print(w io.Writer, now time.Time) {
	if k.err != nil {
		fmt.Fprintf(w, "\nHow deliveries stand is not known: %v; run this as root\n", k.err)
	}
	if len(k.list) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nDELIVERY\tTARGET\tSTATE\tDELIVERED\tVERIFIED")
	for _, r := range k.list {
		fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%s\n", r.Name, r.Target, r.Where, r.State, when(r.Delivered, now), when(r.Verified, now))
	}
	t.Flush()
	for _, r := range k.list {
		if r.OK() || r.Error == "" {
			continue
		}
		fmt.Fprintf(w, "\n%s: attempt %d failed %s; tried again by the first run after %s\n  %s\n",
			title(&r), r.Failures, when(r.Attempt, now), r.Next.Local().Format(time.DateTime), indented(r.Error))
	}
}

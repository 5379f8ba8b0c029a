package metrics

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const page = "../docs/metrics.md"

// describe lists every metric of ours: name, labels, help.
func describe(t *testing.T, m *Metrics) []string {
	t.Helper()
	form := regexp.MustCompile(`fqName: "([^"]*)", help: "([^"]*)",(?: unit: "[^"]*",)? constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)
	var rows []string
	for _, c := range m.own {
		ch := make(chan *prometheus.Desc, 100)
		c.Describe(ch)
		close(ch)
		for d := range ch {
			f := form.FindStringSubmatch(d.String())
			if f == nil {
				t.Fatalf("cannot read %s", d)
			}
			labels := f[4]
			for _, l := range strings.Split(f[3], ",") {
				if name, _, ok := strings.Cut(l, "="); ok {
					labels = strings.TrimPrefix(labels+","+name, ",")
				}
			}
			if labels != "" {
				labels = "`" + strings.ReplaceAll(labels, ",", "`, `") + "`"
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", f[1], labels, f[2]))
		}
	}
	sort.Strings(rows)
	return rows
}

// docs/metrics.md is generated from the metrics; this test fails when it is stale.
func TestDocsMetrics(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Metrics

Generated from the code by ` + "`make docs`" + `; do not edit.

With ` + "`metrics: {listen: 127.0.0.1:9643}`" + ` edge serves ` + "`/metrics`" + ` (Prometheus and OpenMetrics), ` + "`/healthz`" + ` (alive) and ` + "`/readyz`" + ` (listeners bound,
configuration in force; 503 while starting and draining). Beside the metrics below there are those of the Go runtime and of the process.

Labels are bounded whatever clients send: sites are configured names (` + "`_other`" + ` for requests of no site), methods, codes and protocols are
from closed sets. Series of one certificate are kept for the thousand that end soonest, and go when the certificate goes.
What begins with ` + "`edge_steward_` or `edge_lineage_`" + ` is reported by the steward (` + "`edge renew`" + ` and its like) at the end of a run: to the door where
one runs, and, where it is told to, into a file for the node exporter's textfile collector.
Alert rules that use them, with tests: [deploy/prometheus](../deploy/prometheus/alerts.yml).

| metric | labels | meaning |
|---|---|---|
`)
	for _, row := range describe(t, New(Options{})) {
		b.WriteString(row)
	}
	b.WriteString(`
` + "`edge deliver` and `edge renew`" + ` write these into a file of their own, ` + "`edge-deliver.prom`" + `, for the textfile collector (Debian's folder of it where it is
there, or that of the variable ` + "`EDGE_TEXTFILE_DIR`" + `):

| metric | labels | meaning |
|---|---|---|
`)
	for _, f := range deliveryFamilies() {
		fmt.Fprintf(&b, "| `%s` | `name`, `place`, `target` | %s |\n", f.name, f.help)
	}
	fmt.Fprintf(&b, "| `%s` |  | %s |\n", deliverySeen, deliverySeenHelp)
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is stale: run make docs", page)
	}
}

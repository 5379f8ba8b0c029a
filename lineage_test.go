package edge

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCheckLineageName(t *testing.T) {
	for _, good := range []string{"a", "example.org", "example.org-0001", "mail server", "bücher", "*.example.org", strings.Repeat("x", 200)} {
		if err := CheckLineageName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", ".", "..", ".hidden", "-x", "a/b", "/", "a\x00b", "a\nb", "a\tb", "a\u202eb", "\xff", strings.Repeat("x", 201)} {
		if err := CheckLineageName(bad); !errors.Is(err, ErrLineageName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A report is cut to its bound without losing what matters, and without changing
// what the caller has.
func TestReportBounded(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	r := StewardReport{Verb: "renew", End: at}
	for i := range MaxReportLineages + 10 {
		r.Lineages = append(r.Lineages, LineageReport{Name: fmt.Sprint("l", i), Result: ResultNotDue, NotAfter: at.Add(time.Duration(-i) * time.Hour)})
	}
	r.Lineages[0].Result, r.Lineages[1].Result = ResultFailed, ResultRenewed
	if err := r.Check(); err == nil {
		t.Error("a report beyond its bound passes")
	}
	b := r.Bounded()
	if err := b.Check(); err != nil {
		t.Error(err)
	}
	if len(b.Lineages) != MaxReportLineages || b.Lineages[0].Name != "l0" || b.Lineages[1].Name != "l1" || b.Lineages[2].Name != fmt.Sprint("l", MaxReportLineages+9) {
		t.Errorf("%d lineages, first %+v", len(b.Lineages), b.Lineages[:3])
	}
	if len(r.Lineages) != MaxReportLineages+10 || r.Lineages[2].Name != "l2" {
		t.Error("the caller's report was changed")
	}
	if !b.Failed() || (&StewardReport{}).Failed() || !(&StewardReport{Error: "locked"}).Failed() {
		t.Error("Failed is wrong")
	}
}

package admin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"edge"
)

func TestLineageCalls(t *testing.T) {
	f := &fake{}
	c := NewClient(start(t, Options{Backend: f}))
	defer c.Close()
	ctx := t.Context()
	if l, err := c.Lineages(ctx); err != nil || len(l) != 1 || l[0].Name != "used" || l[0].SHA256 != "abc" || l[0].Sites[0] != "a.test" {
		t.Errorf("lineages %+v %v", l, err)
	}
	// As large as it may be: line ends take a byte more on the way.
	large := strings.Repeat("x\n", maxLineage/2)
	b := edge.Bundle{Chain: []byte(large[:maxLineage-4]), Key: []byte("key\n")}
	if st, err := c.PutLineage(ctx, "used", b); err != nil || st.Name != "used" || st.SHA256 != "abc" {
		t.Errorf("put: %+v %v", st, err)
	}
	if got := f.put["used"]; string(got.Chain) != string(b.Chain) || string(got.Key) != "key\n" {
		t.Error("the bundle did not arrive as it was")
	}
	for _, p := range []struct {
		name, chain, key string
		kind             error
		want             string
	}{
		{"unused", "c", "k", ErrNotFound, "lineage unused"},
		{"used", "c", "wrong", ErrRefused, "not its key"},
		{"used", "c", "full", nil, "no space left"},
		{"used", large, "k", nil, "at most 262144 are taken"},
		{"used", large + large, "k", nil, "too large"},
		{"../used", "c", "k", edge.ErrLineageName, "dot"},
		{"", "c", "k", edge.ErrLineageName, "empty"},
		{"a/b", "c", "k", edge.ErrLineageName, "slash"},
	} {
		_, err := c.PutLineage(ctx, p.name, edge.Bundle{Chain: []byte(p.chain), Key: []byte(p.key)})
		if err == nil || !strings.Contains(err.Error(), p.want) || p.kind != nil && !errors.Is(err, p.kind) {
			t.Errorf("%.20q: got %v, want %q", p.name, err, p.want)
		}
		if p.kind == nil && (errors.Is(err, ErrNotFound) || errors.Is(err, ErrRefused)) {
			t.Errorf("%.20q: %v is of a kind that it is not", p.name, err)
		}
	}
	if len(f.put) != 1 {
		t.Errorf("something else was taken: %d", len(f.put))
	}
	// The name reaches the backend only when it is one, whoever asks.
	for _, path := range []string{"..%2fused", ".used", "a%2fb", "%00", strings.Repeat("x", 201)} {
		if got := send(t, c, "/v1/lineages/"+path, `{"chain": "c", "key": "k"}`); got != http.StatusBadRequest {
			t.Errorf("%.20s: %d", path, got)
		}
	}
	for body, want := range map[string]int{
		`{"chain": "c", "key": "k"}`: http.StatusOK, `{"chain": "c", "key": "k", "hook": "rm"}`: http.StatusBadRequest,
		`{"chain": "c", "key": "k"}{}`: http.StatusBadRequest, `{"chain": 1}`: http.StatusBadRequest, "": http.StatusBadRequest,
	} {
		if got := send(t, c, "/v1/lineages/used", body); got != want {
			t.Errorf("%s: %d, want %d", body, got, want)
		}
	}
}

func send(t *testing.T, c *Client, path, body string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, "http://edge"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func TestStewardReport(t *testing.T) {
	f := &fake{}
	c := NewClient(start(t, Options{Backend: f}))
	defer c.Close()
	end := time.Now()
	long := strings.Repeat("n", 190)
	r := edge.StewardReport{Verb: "renew", Start: end.Add(-time.Second), End: end, Complete: true}
	// More than are taken: those that failed are among those that arrive.
	for i := range edge.MaxReportLineages + 100 {
		r.Lineages = append(r.Lineages, edge.LineageReport{Name: fmt.Sprint(long, i), Result: edge.ResultNotDue,
			NotBefore: end, NotAfter: end.Add(time.Hour), NextRenewal: end, LastSuccess: end, HookSeconds: 1.25})
	}
	last := &r.Lineages[len(r.Lineages)-1]
	last.Result, last.Reason = edge.ResultFailed, edge.ReasonCAA
	if err := c.PutStewardReport(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got := f.reports[0]; len(got.Lineages) != edge.MaxReportLineages || got.Lineages[0].Reason != edge.ReasonCAA || !got.Complete || !got.End.Equal(end) {
		t.Errorf("got %d lineages, %+v", len(got.Lineages), got.Lineages[0])
	}
	for what, change := range map[string]func(*edge.StewardReport){
		"no verb":             func(r *edge.StewardReport) { r.Verb = "" },
		"no end":              func(r *edge.StewardReport) { r.End = time.Time{} },
		"ends before begin":   func(r *edge.StewardReport) { r.Start = end.Add(time.Hour) },
		"negative hooks":      func(r *edge.StewardReport) { r.HookSeconds = -1 },
		"name of a path":      func(r *edge.StewardReport) { r.Lineages[0].Name = "../x" },
		"unknown result":      func(r *edge.StewardReport) { r.Lineages[0].Result = "x" },
		"hooks for centuries": func(r *edge.StewardReport) { r.Lineages[0].HookSeconds = 1e300 },
	} {
		bad := edge.StewardReport{Verb: "renew", Start: end, End: end, Lineages: []edge.LineageReport{{Name: "a", Result: edge.ResultNotDue}}}
		change(&bad)
		if err := c.PutStewardReport(t.Context(), bad); err == nil || !strings.HasPrefix(err.Error(), "report: ") {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for _, body := range []string{"{}", "[]", `{"verb": "renew", "x": 1}`, `{"verb": "` + strings.Repeat("x", maxReport) + `"}`} {
		if got := send(t, c, "/v1/steward/report", body); got != http.StatusBadRequest {
			t.Errorf("%.30s: %d", body, got)
		}
	}
	if len(f.reports) != 1 {
		t.Errorf("%d reports were taken, want 1", len(f.reports))
	}
}

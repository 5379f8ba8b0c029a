// Package grafana holds a dashboard; its test holds it to the metrics that exist.
package grafana

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Panels        []struct {
		ID          int
		Type, Title string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ RefID, Expr string }
	}
	Templating struct {
		List []struct{ Name, Type string }
	}
}

func TestDashboard(t *testing.T) {
	raw, err := os.ReadFile("edge.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || d.SchemaVersion == 0 || len(d.Templating.List) != 3 {
		t.Errorf("title %q, uid %q, schema %d, %d variables", d.Title, d.UID, d.SchemaVersion, len(d.Templating.List))
	}
	ids := map[int]bool{}
	var exprs []string
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.W < 1 || p.GridPos.X+p.GridPos.W > 24 || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q: %+v", p.ID, p.Title, p.GridPos)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
		}
	}
	for _, name := range regexp.MustCompile(`edge_\w+`).FindAllString(strings.Join(exprs, " "), -1) {
		if base := strings.TrimSuffix(name, "_bucket"); !strings.Contains(string(docs), "`"+base+"`") {
			t.Errorf("the dashboard uses %s, which edge does not have", name)
		}
	}
	queriesAreValid(t, exprs)
}

// queriesAreValid lets Prometheus's own tool read them, as rules.
func queriesAreValid(t *testing.T, exprs []string) {
	t.Helper()
	bin, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is missing (Debian package prometheus)")
		}
		t.Skip("not run: promtool is missing (Debian package prometheus)")
	}
	rules := "groups:\n- name: dashboard\n  rules:\n"
	for i, e := range exprs {
		rules += fmt.Sprintf("  - record: q%d\n    expr: %q\n", i, strings.ReplaceAll(e, "$__rate_interval", "5m"))
	}
	path := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(bin, "check", "rules", path).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

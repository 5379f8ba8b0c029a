package prometheus

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func promtool(t *testing.T, args ...string) {
	t.Helper()
	bin, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is missing (Debian package prometheus)")
		}
		t.Skip("not run: promtool is missing (Debian package prometheus)")
	}
	if out, err := exec.Command(bin, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRulesAreValid(t *testing.T) { promtool(t, "check", "rules", "alerts.yml") }

func TestRulesFire(t *testing.T) { promtool(t, "test", "rules", "alerts_test.yml") }

// Every alert is exercised, both firing and silent, and rests on metrics that exist.
func TestEveryAlertIsExercised(t *testing.T) {
	rules, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		silent := regexp.MustCompile(`\{alertname: ` + m[1] + `, eval_time: \w+, exp_alerts: \[\]\}`)
		fires := regexp.MustCompile(`- alertname: ` + m[1] + `\n`)
		if !silent.Match(tests) || !fires.Match(tests) {
			t.Errorf("%s is not tested both ways", m[1])
		}
	}
	docs, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`edge_\w+`).FindAllString(string(rules), -1) {
		if !strings.Contains(string(docs), "`"+name+"`") {
			t.Errorf("alerts.yml uses %s, which edge does not have", name)
		}
	}
}

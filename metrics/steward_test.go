package metrics

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge"
)

var day0 = time.Unix(1_800_000_000, 0)

// run is a report of edge renew that ended on a day, after ten seconds.
func run(day int, lineages ...edge.LineageReport) edge.StewardReport {
	end := day0.Add(time.Duration(day) * 24 * time.Hour)
	return edge.StewardReport{Verb: "renew", Start: end.Add(-10 * time.Second), End: end, HookSeconds: 1.5, Lineages: lineages}
}

func failed(name string, r edge.Reason) edge.LineageReport {
	return edge.LineageReport{Name: name, Result: edge.ResultFailed, Reason: r}
}

func renewed(name string) edge.LineageReport {
	return edge.LineageReport{Name: name, Result: edge.ResultRenewed, HookSeconds: 2,
		NotBefore: day0, NotAfter: day0.Add(90 * 24 * time.Hour), NextRenewal: day0.Add(60 * 24 * time.Hour)}
}

func lines(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains("\n"+text, "\n"+w+"\n") {
			t.Errorf("no line %s in\n%s", w, text)
		}
	}
}

// promtool is what Debian's Prometheus thinks of a text.
func promtool(t *testing.T, text []byte) {
	t.Helper()
	bin, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is missing (Debian package prometheus)")
		}
		t.Log("not run: promtool is missing (Debian package prometheus)")
		return
	}
	cmd := exec.Command(bin, "check", "metrics")
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// Counters of the text file go on over runs, each in a process of its own.
func TestTextfileAccumulates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edge.prom")
	odd := `a "quoted\" {name}, ü=1`
	for _, r := range []edge.StewardReport{
		run(0, failed("mail", edge.ReasonDNS), renewed(odd), edge.LineageReport{Name: "idle", Result: edge.ResultNotDue, NextRenewal: day0}),
		run(1, failed("mail", edge.ReasonDNS), failed("idle", "what?")),
		run(2, failed("mail", edge.ReasonCAA), edge.LineageReport{Name: "idle", Result: edge.ResultSkipped}),
		{Verb: "nosuch", Start: day0, End: day0, Error: "the lock is held"},
	} {
		if err := WriteTextfile(path, r); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, text)
	lines(t, string(text),
		`# TYPE edge_steward_renewals_total counter`, `# TYPE edge_lineage_renewal_failures gauge`,
		`edge_steward_runs_total{result="failure",verb="renew"} 3`, `edge_steward_runs_total{result="failure",verb="other"} 1`,
		`edge_steward_last_run_timestamp_seconds{verb="renew"} 1.8001728e+09`, `edge_steward_last_run_duration_seconds{verb="renew"} 10`,
		`edge_steward_renewals_total{reason="none",result="success"} 1`, `edge_steward_renewals_total{reason="dns",result="failure"} 2`,
		`edge_steward_renewals_total{reason="caa",result="failure"} 1`, `edge_steward_renewals_total{reason="server",result="failure"} 1`,
		`edge_steward_renewals_total{reason="timeout",result="failure"} 0`, `edge_steward_hook_seconds_total 6.5`,
		`edge_lineage_renewal_failures{lineage="mail"} 3`, `edge_lineage_renewal_failures{lineage="idle"} 1`,
		`edge_lineage_hook_seconds_total{lineage="a \"quoted\\\" {name}, ü=1"} 2`,
		`edge_lineage_last_success_timestamp_seconds{lineage="a \"quoted\\\" {name}, ü=1"} 1.8e+09`,
		`edge_lineage_renew_after_timestamp_seconds{lineage="a \"quoted\\\" {name}, ü=1"} 1.805184e+09`,
	)
	if strings.Contains(string(text), "edge_steward_last_success") {
		t.Error("a run with failures counts as a success")
	}
	// A success ends the row of failures; a complete run drops what is not there any more.
	r := run(3, renewed("mail"), edge.LineageReport{Name: odd, Result: edge.ResultNotDue})
	r.Complete = true
	if err := WriteTextfile(path, r); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	lines(t, string(text), `edge_lineage_renewal_failures{lineage="mail"} 0`, `edge_steward_last_success_timestamp_seconds{verb="renew"} 1.8002592e+09`)
	for _, gone := range []string{`lineage="idle"`, `edge_lineage_renew_after_timestamp_seconds{lineage="a `} {
		if strings.Contains(string(text), gone) {
			t.Errorf("%s is still there", gone)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// A scrape of the door and the text file have the same lines.
func TestScrapeAndTextAgree(t *testing.T) {
	m := New(Options{})
	m.Steward.Report(run(0, failed("mail", edge.ReasonTimeout), renewed("app")))
	_, _, body := scrape(t, m, "/metrics", "")
	n := 0
	for line := range strings.Lines(string(m.Steward.Text())) {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("the scrape has no %s", line)
		}
		n++
	}
	if n < 40 {
		t.Errorf("%d lines only", n)
	}
	promtool(t, []byte(body))
}

// Of garbage nothing is taken up, of a damaged file what is whole.
func TestRestoreIgnoresGarbage(t *testing.T) {
	s := NewSteward()
	s.Report(run(0, failed("mail", edge.ReasonDNS), renewed("app")))
	good := s.Text()
	s.Restore([]byte(strings.Join([]string{
		`edge_steward_runs_total{result="failure",verb="renew"} NaN`, `edge_steward_runs_total{result="failure",verb="renew"} -4`,
		`edge_steward_runs_total{result="failure",verb="renew"} +Inf`, `edge_steward_runs_total{result="failure",verb="renew"} 7 1234`,
		`edge_steward_runs_total{result="failure",verb="renew"}7`, `edge_steward_runs_total{verb="renew",result="failure"} 7`,
		`edge_steward_runs_total{result="failure",verb="rm -rf"} 7`, `edge_steward_runs_total{verb="renew"} 7`, `edge_steward_runs_total 7`,
		`edge_steward_runs_total{result="failure",verb="renew",x="y"} 7`, `edge_steward_renewals_total{reason="x",result="failure"} 7`,
		`edge_steward_renewals_total{reason="dns",result="success"} 7`, `edge_lineage_renewal_failures{lineage="../x"} 7`,
		`edge_lineage_renewal_failures{lineage="x} 7`, `edge_lineage_renewal_failures{lineage="x\q"} 7`, `edge_lineage_renewal_failures{lineage="x\`,
		`edge_http_requests_total{site="x"} 7`, `up 7`, "\x00\xff", `{`, ` `, ``, `edge_steward_hook_seconds_total{} 7`,
	}, "\n")))
	if got := s.Text(); !bytes.Equal(got, good) {
		t.Errorf("garbage was taken up:\n%s", got)
	}
	again := NewSteward()
	again.Restore(good)
	if got := again.Text(); !bytes.Equal(got, good) {
		t.Errorf("read back:\n%s\nwritten:\n%s", got, good)
	}
	cut := NewSteward()
	cut.Restore(good[:len(good)/2])
	cut.Report(run(1, failed("mail", edge.ReasonDNS)))
	promtool(t, cut.Text())
}

// What is there instead of the file is neither followed nor waited for.
func TestTextfileInOthersFolder(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	link, fifo := filepath.Join(dir, "link.prom"), filepath.Join(dir, "fifo.prom")
	if err := os.Symlink(precious, link); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, fifo, dir, filepath.Join(dir, "nosuch", "edge.prom")} {
		if err := WriteTextfile(path, run(0)); err == nil || !strings.HasPrefix(err.Error(), "metrics file "+path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if b, err := os.ReadFile(precious); err != nil || string(b) != "x" {
		t.Errorf("what the link points to was touched: %q %v", b, err)
	}
}

// However many lineages are reported, series are bounded, and those that end
// soonest are kept.
func TestLineagesAreBounded(t *testing.T) {
	s := NewSteward()
	for half := range 2 {
		var all []edge.LineageReport
		for i := range edge.MaxReportLineages {
			n := 2*i + half
			all = append(all, edge.LineageReport{Name: fmt.Sprintf("l%d", n), Result: edge.ResultNotDue, NotAfter: day0.Add(time.Duration(n) * time.Minute)})
		}
		s.Report(run(0, all...))
	}
	text := string(s.Text())
	if n := strings.Count(text, "\nedge_lineage_not_after_timestamp_seconds{"); n != edge.MaxReportLineages {
		t.Errorf("%d lineages have series, want %d", n, edge.MaxReportLineages)
	}
	if !strings.Contains(text, `{lineage="l4999"}`) || strings.Contains(text, `{lineage="l5000"}`) {
		t.Error("it is not those that end soonest")
	}
}

func FuzzRestore(f *testing.F) {
	s := NewSteward()
	s.Report(run(0, failed("mail", edge.ReasonDNS), renewed(`a"b\`)))
	f.Add(s.Text())
	f.Add([]byte(`edge_lineage_renewal_failures{lineage="x\\\"y"} 7e300`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, again := NewSteward(), NewSteward()
		s.Restore(text)
		s.Report(run(0, renewed("mail")))
		again.Restore(s.Text())
		if !bytes.Equal(s.Text(), again.Text()) {
			t.Errorf("read back:\n%s\nwritten:\n%s", again.Text(), s.Text())
		}
	})
}

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"edge/internal/durable"
)

const on, off = "enabled active", "disabled inactive"

func TestTakeoverAndBack(t *testing.T) {
	m := newMachine(t, map[string]string{ourTimer: off, "certbot.timer": on, "snap.certbot.renew.timer": on, "certbot-renew.timer": off}, debianCron)
	if err := os.Chown(filepath.Join(m.root, cronJob), -1, 1234); err != nil {
		t.Fatal(err)
	}
	before := m.snapshot()
	out := m.must()
	// Ours is on before theirs are off.
	if calls := m.calls(); calls != "enable --now edge-renew.timer\ndisable --now certbot.timer\ndisable --now snap.certbot.renew.timer" {
		t.Errorf("calls:\n%s", calls)
	}
	want := "edge-renew.timer: turned on\ncertbot.timer: turned off\nsnap.certbot.renew.timer: turned off\n/etc/cron.d/certbot: 2 jobs commented out\n" +
		"edge renews certificates from now on. To go back: edge takeover certbot --undo\n"
	if out != want {
		t.Errorf("it says\n%s", out)
	}
	cron := filepath.Join(m.root, cronJob)
	data, err := os.ReadFile(cron)
	if err != nil || string(data) != strings.ReplaceAll(strings.Replace(debianCron, "\n0 */", "\n"+mark+"0 */", 1), "  @daily", mark+"  @daily") {
		t.Errorf("%v: cron has\n%s", err, data)
	}
	if info, err := os.Stat(cron); err != nil || info.Mode() != 0o640 || gidOf(info) != 1234 {
		t.Errorf("%v, %v", info, err)
	}
	for path, mode := range map[string]os.FileMode{recordPath: 0o600, filepath.Dir(recordPath): 0o700 | os.ModeDir} {
		if info, err := os.Stat(filepath.Join(m.root, path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	// A second time, nothing happens, and the note stays what it is.
	taken := m.snapshot()
	if out := m.must(); !strings.HasPrefix(out, "Nothing is left to be done") || m.calls() != "" || m.snapshot() != taken {
		t.Errorf("twice: %s", out)
	}
	// An update of certbot turns its timer on again.
	m.set("certbot.timer", on)
	m.must()
	if calls := m.calls(); calls != "disable --now certbot.timer" || m.snapshot() != taken {
		t.Errorf("calls: %s", calls)
	}
	out = m.must("--undo")
	if m.snapshot() != before {
		t.Errorf("it was\n%s\nit is\n%s", before, m.snapshot())
	}
	if calls := m.calls(); !strings.HasSuffix(calls, "disable edge-renew.timer\nstop edge-renew.timer") || strings.Contains(out, "Nothing renews") {
		t.Errorf("calls:\n%s\n%s", calls, out)
	}
	if out := m.must("--undo"); !strings.HasPrefix(out, "There is nothing to undo") || m.calls() != "" || m.snapshot() != before {
		t.Errorf("undone twice: %s", out)
	}
}

// Whatever the states were, they come back, and there is always somebody who renews.
func TestTakeoverStates(t *testing.T) {
	states := []string{on, off, "enabled inactive", "enabled-runtime active", "disabled active", "static active", "masked inactive", ""}
	for _, ours := range []string{on, off, "enabled inactive", "disabled active"} {
		for _, theirs := range states {
			units := map[string]string{ourTimer: ours}
			if theirs != "" {
				units["certbot.timer"] = theirs
			}
			m := newMachine(t, units, "0 0 * * * root certbot renew\n")
			before := m.snapshot()
			m.must()
			if got := readFile(t, filepath.Join(m.systemd, ourTimer)); got != on+"\n" {
				t.Errorf("%s, %s: ours is %s", ours, theirs, got)
			}
			if theirs != "" {
				if got := readFile(t, filepath.Join(m.systemd, "certbot.timer")); strings.Contains(got, "enabled") || strings.Contains(got, " active") {
					t.Errorf("%s, %s: theirs is %s", ours, theirs, got)
				}
			}
			m.must("--undo")
			if m.snapshot() != before {
				t.Errorf("%s, %s: it was\n%s\nit is\n%s", ours, theirs, before, m.snapshot())
			}
		}
	}
}

func TestTakeoverRefuses(t *testing.T) {
	full := map[string]string{ourTimer: off, "certbot.timer": on}
	for name, c := range map[string]struct {
		units map[string]string
		cron  string
		spoil func(m *machine)
		want  string
	}{
		"no certbot":   {map[string]string{ourTimer: off}, "", nil, "certbot has no timer and no cron job here; nothing was changed"},
		"no own timer": {map[string]string{"certbot.timer": on}, debianCron, nil, "systemd knows no edge-renew.timer"},
		"no systemd":   {full, debianCron, func(m *machine) { _ = os.RemoveAll(filepath.Join(m.root, "run")) }, "systemd does not run here"},
		"linked cron job": {full, "", func(m *machine) {
			m.put("/srv/cron", debianCron, 0o644)
			m.put("/etc/cron.d/x", "", 0o644)
			_ = os.Symlink("/srv/cron", filepath.Join(m.root, cronJob))
		}, "is no plain file"},
		"endless cron job": {full, strings.Repeat("#\n", maxCron), nil, "longer than"},
		"foreign folder": {full, "", func(m *machine) {
			m.put(recordPath, "{}", 0o600)
			_ = os.Chmod(filepath.Dir(filepath.Join(m.root, recordPath)), 0o777)
		}, "nobody else can write"},
		"foreign folder for the note": {full, "", func(m *machine) {
			m.put(recordPath+"x", "", 0o600)
			_ = os.Chmod(filepath.Dir(filepath.Join(m.root, recordPath)), 0o777)
		}, "nobody else can write"},
		"foreign unit":  {full, "", func(m *machine) { m.put(recordPath, `{"version":1,"units":[{"name":"sshd.service"}]}`, 0o600) }, "is no timer of certbot's"},
		"foreign file":  {full, "", func(m *machine) { m.put(recordPath, `{"version":1,"cron":{"path":"/etc/passwd"}}`, 0o600) }, "another edge"},
		"later version": {full, "", func(m *machine) { m.put(recordPath, `{"version":2}`, 0o600) }, "another edge"},
		"broken note":   {full, "", func(m *machine) { m.put(recordPath, `{"version":1,"x":1}`, 0o600) }, "unknown field"},
		"masked":        {map[string]string{ourTimer: "masked inactive", "certbot.timer": on}, "", nil, "is masked"},
	} {
		m := newMachine(t, c.units, c.cron)
		if c.spoil != nil {
			c.spoil(m)
		}
		before := m.snapshot()
		out, err := m.run()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if name == "masked" {
			m.calls() // the note is written, and then the first change is tried
			if err := os.Remove(filepath.Join(m.root, recordPath)); err != nil {
				t.Error(err)
			}
		}
		if m.snapshot() != before || m.calls() != "" {
			t.Errorf("%s: something was changed", name)
		}
	}
	m := newMachine(t, full, debianCron)
	tk := takeover{root: m.root, systemctl: "/nonexistent", uid: 1000, now: time.Now}
	if err := tk.possible(); err == nil || !strings.Contains(err.Error(), "only root") {
		t.Error(err)
	}
	tk.dry = true
	if err := tk.possible(); err != nil {
		t.Error(err)
	}
}

func TestTakeoverDryRun(t *testing.T) {
	m := newMachine(t, map[string]string{ourTimer: off, "certbot.timer": on}, debianCron)
	before := m.snapshot()
	want := "would run: systemctl enable --now edge-renew.timer\nwould run: systemctl disable --now certbot.timer\nwould change /etc/cron.d/certbot\n"
	if out := m.must("--dry-run"); out != want || m.snapshot() != before || m.calls() != "" {
		t.Errorf("it says\n%s", out)
	}
	m.must()
	taken := m.snapshot()
	m.calls()
	want = "would change /etc/cron.d/certbot\nwould run: systemctl enable certbot.timer\nwould run: systemctl start certbot.timer\n" +
		"would run: systemctl disable edge-renew.timer\nwould run: systemctl stop edge-renew.timer\n"
	if out := m.must("--undo", "--dry-run"); out != want || m.snapshot() != taken || m.calls() != "" {
		t.Errorf("it says\n%s", out)
	}
}

// Wherever it fails, in systemd or in writing files, another try completes it, and
// going back is possible from there as well.
func TestTakeoverFailsHalfway(t *testing.T) {
	units := map[string]string{ourTimer: off, "certbot.timer": on, "snap.certbot.renew.timer": on}
	var fails []func(m *machine) (repair func())
	for _, call := range []string{"enable --now edge-renew.timer", "disable --now certbot.timer", "disable --now snap.certbot.renew.timer"} {
		fails = append(fails, func(m *machine) func() {
			path := filepath.Join(m.systemd, "fail")
			if err := os.WriteFile(path, []byte(call+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			return func() { _ = os.Remove(path) }
		})
	}
	steps := 0
	m := newMachine(t, units, debianCron)
	m.files.Before = func(durable.Step, string) error { steps++; return nil }
	m.must()
	for n := range steps {
		fails = append(fails, func(m *machine) func() {
			left := n + 1
			m.files.Before = func(durable.Step, string) error {
				if left--; left == 0 {
					return errors.New("no space left on device")
				}
				return nil
			}
			return func() { m.files.Before = nil }
		})
	}
	for i, fail := range fails {
		for _, direction := range []string{"on", "back"} {
			m := newMachine(t, units, debianCron)
			before := m.snapshot()
			repair := fail(m)
			out, err := m.run()
			if err == nil || strings.Contains(out, "from now on") {
				t.Fatalf("%d: no error\n%s", i, out)
			}
			if !strings.Contains(m.snapshot(), on) {
				t.Errorf("%d: nobody renews", i)
			}
			repair()
			if direction == "on" {
				m.must()
				if s := m.snapshot(); strings.Count(s, on) != 1 || strings.Contains(s, `\n0 */12`) {
					t.Errorf("%d: %s", i, s)
				}
			}
			m.must("--undo")
			if m.snapshot() != before {
				t.Errorf("%d %s: it was\n%s\nit is\n%s", i, direction, before, m.snapshot())
			}
		}
	}
}

// Undo that fails keeps ours on, and goes on later.
func TestUndoFailsHalfway(t *testing.T) {
	m := newMachine(t, map[string]string{ourTimer: off, "certbot.timer": on, "snap.certbot.renew.timer": on}, debianCron)
	before := m.snapshot()
	m.must()
	fail := filepath.Join(m.systemd, "fail")
	if err := os.WriteFile(fail, []byte("enable certbot.timer\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := m.run("--undo")
	if err == nil || !strings.Contains(err.Error(), "stays on") || !strings.Contains(err.Error(), `Failed: \x1b[31mno`) || readFile(t, filepath.Join(m.systemd, ourTimer)) != on+"\n" {
		t.Errorf("%v\n%s", err, out)
	}
	if got := readFile(t, filepath.Join(m.systemd, "snap.certbot.renew.timer")); got != on+"\n" {
		t.Errorf("the other one is %s", got)
	}
	if err := os.Remove(fail); err != nil {
		t.Fatal(err)
	}
	m.must("--undo")
	if m.snapshot() != before {
		t.Errorf("it was\n%s\nit is\n%s", before, m.snapshot())
	}
}

// What became of things in between is respected.
func TestUndoLater(t *testing.T) {
	m := newMachine(t, map[string]string{ourTimer: off, "certbot.timer": on}, debianCron)
	m.must()
	cron := filepath.Join(m.root, cronJob)
	edited := strings.Replace(readFile(t, cron), "PATH=/bin", "PATH=/usr/bin\n# mine", 1)
	if err := os.WriteFile(cron, []byte(edited), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(m.systemd, "certbot.timer")); err != nil {
		t.Fatal(err)
	}
	out := m.must("--undo")
	if readFile(t, cron) != strings.Replace(debianCron, "PATH=/bin", "PATH=/usr/bin\n# mine", 1) || !strings.Contains(out, "certbot.timer: does not exist any more") {
		t.Errorf("%s\n%s", out, readFile(t, cron))
	}
	// Somebody has turned certbot's on again: that is not done twice.
	m = newMachine(t, map[string]string{ourTimer: on, "certbot.timer": on}, "")
	m.must()
	m.set("certbot.timer", on)
	m.calls()
	if m.must("--undo"); m.calls() != "" {
		t.Error("something was turned on twice")
	}
	// certbot was removed altogether.
	m = newMachine(t, map[string]string{ourTimer: off, "certbot.timer": on}, debianCron)
	m.must()
	if err := errors.Join(os.Remove(filepath.Join(m.systemd, "certbot.timer")), os.Remove(filepath.Join(m.root, cronJob))); err != nil {
		t.Fatal(err)
	}
	if out := m.must("--undo"); !strings.Contains(out, "Nothing renews certificates now") {
		t.Error(out)
	}
}

// Jobs of people's own are named and stay.
func TestTakeoverNamesOtherJobs(t *testing.T) {
	m := newMachine(t, map[string]string{ourTimer: off, "certbot.timer": on}, "")
	m.put("/var/spool/cron/crontabs/root", "# certbot renew\nMAILTO=certbot-renew@x\n5 5 * * * certbot renew --quiet\x1b[2J\n", 0o600)
	m.put("/etc/cron.daily/le", "#!/bin/sh\n/opt/certbot/bin/certbot renew\n", 0o755)
	m.put("/etc/cron.d/other", "0 0 * * * root certbot certificates\n", 0o644)
	before := readFile(t, filepath.Join(m.root, "var/spool/cron/crontabs/root"))
	out := m.must()
	want := "Left alone, look at it yourself: /etc/cron.daily/le:2: /opt/certbot/bin/certbot renew\n" +
		`Left alone, look at it yourself: /var/spool/cron/crontabs/root:3: 5 5 * * * certbot renew --quiet\x1b[2J` + "\n"
	if !strings.HasPrefix(out, want) || strings.Count(out, "Left alone") != 2 || readFile(t, filepath.Join(m.root, "var/spool/cron/crontabs/root")) != before {
		t.Errorf("it says\n%s", out)
	}
}

func FuzzCronComments(f *testing.F) {
	f.Add(debianCron)
	f.Add("A = b\n\"Q\"=c\n@reboot x\n\n#y\r\n")
	f.Add(mark + mark + "x")
	f.Fuzz(func(t *testing.T, data string) {
		out := commentOut(data)
		for line := range strings.Lines(out) {
			if isJob(line) {
				t.Errorf("%q is still run", line)
			}
		}
		if !strings.Contains(data, mark) && commentIn(out) != data {
			t.Errorf("%s becomes %s", strconv.Quote(data), strconv.Quote(commentIn(out)))
		}
	})
}

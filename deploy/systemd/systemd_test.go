package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func analyze(t *testing.T) string {
	t.Helper()
	bin, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("systemd-analyze is missing (Debian package systemd)")
		}
		t.Skip("not run: systemd-analyze is missing (Debian package systemd)")
	}
	return bin
}

var allUnits = []string{"edge.service", "edge.socket", "edge-renew.service", "edge-renew.timer", "edge-deliver.service", "edge-deliver.path"}

// units copies the units, with an executable that is really there.
func units(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	bin := filepath.Join(dir, "edge")
	if err := os.WriteFile(bin, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range allUnits {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), "/usr/bin/edge", bin)
		text = strings.ReplaceAll(text, "Documentation=man:edge(8)\n", "")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestUnitsVerify(t *testing.T) {
	dir := units(t)
	args := []string{"verify"}
	for _, name := range allUnits {
		args = append(args, filepath.Join(dir, name))
	}
	out, err := exec.Command(analyze(t), args...).CombinedOutput()
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, dir) || strings.Contains(line, "edge.s") || strings.Contains(line, "edge-renew.") || strings.Contains(line, "edge-deliver.") {
			t.Error(line)
		}
	}
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// maxExposure is what the sandbox may leave open, on systemd's scale of 0 to 10.
const maxExposure = 1.6

func TestServiceSandbox(t *testing.T) {
	out, err := exec.Command(analyze(t), "security", "--offline=true", "--no-pager", filepath.Join(units(t), "edge.service")).CombinedOutput()
	m := regexp.MustCompile(`Overall exposure level for edge.service: ([0-9.]+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no exposure level (%v): %s", err, out)
	}
	level, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil || level > maxExposure {
		t.Errorf("exposure %v, want at most %v\n%s", level, maxExposure, out)
	}
	t.Logf("exposure %v", level)
}

// setting returns what a unit has for a key, all of its lines.
func setting(t *testing.T, unit, key string) (values []string) {
	t.Helper()
	b, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && k == key {
			values = append(values, v)
		}
	}
	return values
}

// What would break people's hooks and programs stays out of the units that run them.
func TestRootsUnitsLeaveProgramsAlone(t *testing.T) {
	for unit, start := range map[string]string{
		"edge-renew.service":   "/usr/bin/edge renew --no-random-sleep-on-renew",
		"edge-deliver.service": "/usr/bin/edge deliver apply --spool /var/lib/edge/deliver",
	} {
		for _, key := range []string{"User", "ProtectSystem", "ProtectHome", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "NoNewPrivileges", "RestrictSUIDSGID",
			"PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectClock", "ProtectControlGroups", "RestrictNamespaces", "ProtectKernelModules", "MemoryDenyWriteExecute",
			"SystemCallFilter", "SystemCallArchitectures", "RestrictAddressFamilies", "PrivateNetwork", "DynamicUser", "ProtectProc", "Nice"} {
			if v := setting(t, unit, key); v != nil {
				t.Errorf("%s: %s=%v", unit, key, v)
			}
		}
		for key, want := range map[string]string{"Type": "oneshot", "ExecStart": start, "KillMode": "process", "UMask": "0022"} {
			if v := setting(t, unit, key); len(v) != 1 || v[0] != want {
				t.Errorf("%s: %s=%v, want %s", unit, key, v, want)
			}
		}
		for _, kept := range []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE"} {
			if v := setting(t, unit, "CapabilityBoundingSet"); strings.Contains(strings.Join(v, " "), kept) {
				t.Errorf("%s: %s is taken from programs", unit, kept)
			}
		}
	}
}

// The path unit looks where the door writes and where the service reads: below the
// state folder of the door's unit.
func TestSpool(t *testing.T) {
	watched := setting(t, "edge-deliver.path", "DirectoryNotEmpty")
	if len(watched) != 1 || watched[0] != "/var/lib/"+setting(t, "edge.service", "StateDirectory")[0]+"/deliver" {
		t.Errorf("the path unit looks at %v", watched)
	}
	if start := setting(t, "edge-deliver.service", "ExecStart"); len(start) != 1 || !strings.HasSuffix(start[0], " --spool "+watched[0]) {
		t.Errorf("the service empties another folder: %v", start)
	}
	if v := setting(t, "edge-deliver.path", "Unit"); v != nil {
		t.Errorf("the path starts %v", v)
	}
	// One run in two seconds is what the door can ask for.
	if b := setting(t, "edge-deliver.service", "StartLimitBurst"); len(b) != 1 || b[0] != "150" {
		t.Errorf("StartLimitBurst=%v in five minutes", b)
	}
}

// Twice a day, half a day apart, and after the machine was off.
func TestTimer(t *testing.T) {
	calendar := setting(t, "edge-renew.timer", "OnCalendar")
	if len(calendar) != 1 {
		t.Fatal(calendar)
	}
	out, err := exec.Command(analyze(t), "calendar", "--base-time=2026-11-23 00:00:00 UTC", "--iterations=3", calendar[0]).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	at := regexp.MustCompile(`2026-11-2[34] (\d\d):27:00`).FindAllStringSubmatch(strings.ReplaceAll(string(out), "(in UTC)", ""), -1)
	if len(at) != 3 || at[0][1] != "03" || at[1][1] != "15" || at[2][1] != "03" {
		t.Errorf("%v: %s", at, out)
	}
	for key, want := range map[string]string{"Persistent": "true", "RandomizedDelaySec": "4h", "OnBootSec": "5min"} {
		if v := setting(t, "edge-renew.timer", key); len(v) != 1 || v[0] != want {
			t.Errorf("%s=%v, want %s", key, v, want)
		}
	}
	if v := setting(t, "edge-renew.timer", "Unit"); v != nil {
		t.Errorf("the timer starts %v", v)
	}
}

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

// units copies the units, with an executable that is really there.
func units(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	bin := filepath.Join(dir, "edge")
	if err := os.WriteFile(bin, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"edge.service", "edge.socket"} {
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
	out, err := exec.Command(analyze(t), "verify", filepath.Join(dir, "edge.service"), filepath.Join(dir, "edge.socket")).CombinedOutput()
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, dir) || strings.Contains(line, "edge.s") {
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

package hooks

import (
	"slices"
	"strings"
	"testing"
)

func TestReportInCertbotsWords(t *testing.T) {
	for _, c := range []struct {
		name     string
		res      Result
		notice   string
		warnings []string
	}{
		{"nothing to say", Result{Stdout: " \n\n", Stderr: "\t\n"}, "", nil},
		{"output", Result{Stdout: "\n one\n\ntwo \n\n"}, "Hook 'deploy-hook' ran with output:\n one\n\n two", nil},
		{"code", Result{ExitCode: 3}, "", []string{"Hook 'deploy-hook' reported error code 3"}},
		{"signal", Result{ExitCode: -15}, "", []string{"Hook 'deploy-hook' reported error code -15"}},
		{"error output of a success", Result{Stderr: "a\nb\n"}, "", []string{"Hook 'deploy-hook' ran with error output:\n a\n b"}},
		{"all", Result{ExitCode: 1, Stdout: "o", Stderr: "e", Truncated: true}, "Hook 'deploy-hook' ran with output:\n o", []string{
			"Hook 'deploy-hook' reported error code 1",
			"Hook 'deploy-hook' ran with error output:\n e",
			"Hook 'deploy-hook' wrote more than is shown",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			notice, warnings := c.res.Report("Hook 'deploy-hook'")
			if notice != c.notice || !slices.Equal(warnings, c.warnings) {
				t.Errorf("got %q, %q\nwant %q, %q", notice, warnings, c.notice, c.warnings)
			}
		})
	}
}

func TestOutputIsCaptured(t *testing.T) {
	res := run(t, &Runner{}, "echo out; echo err >&2", nil)
	if res.Stdout != "out\n" || res.Stderr != "err\n" || res.Truncated || res.ExitCode != 0 || res.TimedOut {
		t.Errorf("result is %+v", res)
	}
}

// A hook that writes without end is not stopped by us, and takes no memory.
func TestOutputIsCapped(t *testing.T) {
	r := &Runner{MaxOutput: 10}
	for _, c := range []struct {
		shell          string
		stdout, stderr string
		truncated      bool
	}{
		{"printf 0123456789", "0123456789", "", false},
		{"printf 0123456789a", "0123456789", "", true},
		{"printf 01234; printf 56789; printf abc", "0123456789", "", true},
		{"printf 0123456789a >&2; printf o", "o", "0123456789", true},
	} {
		res := run(t, r, c.shell, nil)
		if res.Stdout != c.stdout || res.Stderr != c.stderr || res.Truncated != c.truncated {
			t.Errorf("%s: %q, %q, truncated %v", c.shell, res.Stdout, res.Stderr, res.Truncated)
		}
	}
	res := run(t, &Runner{}, "head -c 3000000 /dev/zero | tr '\\0' x && echo done >&2", nil)
	if len(res.Stdout) != DefaultMaxOutput || !res.Truncated || res.Stderr != "done\n" || strings.Trim(res.Stdout, "x") != "" {
		t.Errorf("%d bytes, truncated %v, %q", len(res.Stdout), res.Truncated, res.Stderr)
	}
}

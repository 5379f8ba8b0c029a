package hooks

import (
	"fmt"
	"strings"
)

// capped keeps the first max bytes and takes all others, so that the writer is
// never stopped by us.
type capped struct {
	max  int
	b    strings.Builder
	more bool
}

func (c *capped) Write(p []byte) (int, error) {
	keep := p
	if free := c.max - c.b.Len(); len(keep) > free {
		keep, c.more = keep[:free], true
	}
	c.b.Write(keep)
	return len(p), nil
}

func (c *capped) String() string { return c.b.String() }

// Report returns what certbot says about a hook under that name, such as
// "Hook 'deploy-hook'" or "Hook '--manual-auth-hook' for example.com": its output
// as a notice, its exit code and error output as warnings (certbot:
// display/ops.py, report_executed_command).
func (r Result) Report(name string) (notice string, warnings []string) {
	if r.ExitCode != 0 {
		warnings = append(warnings, fmt.Sprintf("%s reported error code %d", name, r.ExitCode))
	}
	if out := strings.TrimSpace(r.Stdout); out != "" {
		notice = fmt.Sprintf("%s ran with output:\n%s", name, indent(out))
	}
	if out := strings.TrimSpace(r.Stderr); out != "" {
		warnings = append(warnings, fmt.Sprintf("%s ran with error output:\n%s", name, indent(out)))
	}
	if r.Truncated {
		warnings = append(warnings, fmt.Sprintf("%s wrote more than is shown", name))
	}
	return notice, warnings
}

// indent puts a blank before each line that has more than blanks.
func indent(s string) string {
	lines := strings.SplitAfter(s, "\n")
	for i, l := range lines {
		if strings.TrimSpace(l) != "" {
			lines[i] = " " + l
		}
	}
	return strings.Join(lines, "")
}

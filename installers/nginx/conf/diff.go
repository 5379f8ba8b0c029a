package conf

import "edge/internal/diff"

// Diff returns the change as a unified diff, empty when nothing differs.
func (c Change) Diff() string {
	from := c.Path
	if c.Created {
		from = "/dev/null"
	}
	return diff.Unified(from, c.Path, c.Old, c.New)
}

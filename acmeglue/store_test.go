package acmeglue

import (
	"strings"
	"syscall"

	"edge/internal/durable"
)

// failWrites makes every write below a path that has one of parts fail.
func failWrites(parts ...string) func(durable.Step, string) error {
	return func(step durable.Step, path string) error {
		for _, p := range parts {
			if step == durable.Write && strings.Contains(path, p) {
				return syscall.ENOSPC
			}
		}
		return nil
	}
}

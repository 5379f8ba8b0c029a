package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers"
)

// runProgram runs somebody's program: a reload, a hook. Like hooks, it is also looked for
// where cron's PATH does not lead.
func runProgram(ctx context.Context, argv []string) (output string, err error) {
	return installers.Run(ctx, located(argv))
}

// located gives the program its path where PATH has none. env(1), which sets variables
// for programs, would look in PATH as well.
func located(argv []string) []string {
	at := 0
	if len(argv) > 0 && argv[0] == "env" {
		at = 1 + slices.IndexFunc(argv[1:], func(a string) bool { return !strings.Contains(a, "=") })
	}
	if at >= len(argv) || strings.Contains(argv[at], "/") {
		return argv
	}
	if _, err := exec.LookPath(argv[at]); err == nil {
		return argv
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, argv[at])); err == nil {
			argv = slices.Clone(argv)
			argv[at] = path
			return argv
		}
	}
	return argv
}

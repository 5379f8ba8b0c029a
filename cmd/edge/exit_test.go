package main

import (
	"context"
	"io"
	"testing"
)

// The exit codes that docs/cli.md promises.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"version"}, exitOK},
		{[]string{"nosuchverb"}, exitUsage},
		{[]string{"status", "--nosuch"}, exitUsage},
		{[]string{"check", "extra"}, exitUsage},
		{[]string{"check", "--config", "/nosuch/edge.yaml"}, exitUsage},
		{[]string{"check", "--config", "/nosuch/edge.yaml", "-o", "json"}, exitUsage},
		{[]string{"serve", "--domain", "a.test"}, exitUsage},
		{[]string{"status", "--admin", "/nosuch/admin.sock"}, exitFailed},
		{[]string{"reload", "--admin", "/nosuch/admin.sock"}, exitFailed},
	} {
		if got := run(context.Background(), c.args, io.Discard, io.Discard); got != c.want {
			t.Errorf("%v: exit status %d, want %d", c.args, got, c.want)
		}
	}
}

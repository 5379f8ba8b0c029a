package steward

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// No test may leave a goroutine behind. Pebble's validator never ends, and cannot be
// told to.
func TestMain(m *testing.M) {
	options := []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.process"),
	}
	// The tests of crashes sync files thousands of times, which is free in memory.
	if dir, err := os.MkdirTemp("/dev/shm", "edge-steward-"); err == nil {
		os.Setenv("TMPDIR", dir)
		options = append(options, goleak.Cleanup(func(code int) {
			_ = os.RemoveAll(dir)
			os.Exit(code)
		}))
	}
	goleak.VerifyTestMain(m, options...)
}

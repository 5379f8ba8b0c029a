package acmeglue

import (
	"testing"

	"go.uber.org/goleak"
)

// No test may leave a goroutine behind. certmagic's lock files do, for five
// seconds each, and Pebble's validator never ends; neither can be told to stop.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"),
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.process"))
}

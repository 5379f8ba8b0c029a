package display

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(asAsker) != "" {
		askForPTY()
	}
	goleak.VerifyTestMain(m)
}

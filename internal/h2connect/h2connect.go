// Package h2connect makes net/http take extended CONNECT on HTTP/2 (RFC 8441),
// which WebSockets there need. net/http looks for a setting in the environment when
// it is initialised, and nowhere else; so this package has an effect, by being
// imported, on the process as a whole. It is initialised first: packages are, in the
// order of their import paths, once what they import is (Go specification, "Program
// initialization"), and this one imports nothing that net/http does not.
//
// Servers that are not made for it are not affected: without a handler that
// answers such a request it is one more method.
package h2connect

import (
	"os"
	"strings"
)

const (
	variable = "GODEBUG"
	setting  = "http2xconnect"
)

var _ = enable()

func enable() bool {
	have := os.Getenv(variable)
	if strings.Contains(have, setting+"=") {
		return false // somebody has decided
	}
	if have != "" {
		have += ","
	}
	return os.Setenv(variable, have+setting+"=1") == nil
}

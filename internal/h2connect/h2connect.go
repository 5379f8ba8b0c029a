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

// before is the variable as it was; changed reports that it is not that any more.
var before, changed = enable()

func enable() (before string, changed bool) {
	before = os.Getenv(variable)
	if strings.Contains(before, setting+"=") {
		return before, false // somebody has decided
	}
	with := setting + "=1"
	if before != "" {
		with = before + "," + with
	}
	return before, os.Setenv(variable, with) == nil
}

// Restore puts the environment back, so that programs that are started do not
// inherit the setting. It is for a package variable of one that imports net/http,
// which by then has read it.
func Restore() bool {
	switch {
	case !changed:
	case before == "":
		os.Unsetenv(variable)
	default:
		os.Setenv(variable, before)
	}
	return changed
}

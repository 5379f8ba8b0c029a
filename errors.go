package edge

import (
	"errors"
	"fmt"
	"time"
)

// Reason is the closed set of causes into which every failed issuance is
// classified. It is a metric label.
type Reason string

// The reasons.
const (
	ReasonDNS          Reason = "dns"
	ReasonConnection   Reason = "connection"
	ReasonUnauthorized Reason = "unauthorized"
	ReasonRateLimited  Reason = "rate_limited"
	ReasonCAA          Reason = "caa"
	ReasonServer       Reason = "server"
	ReasonTimeout      Reason = "timeout"
	ReasonPermission   Reason = "permission"
)

// ErrNotPermitted is returned where policy does not allow a certificate for a name.
var ErrNotPermitted = errors.New("not permitted")

// ErrNoCertificate is returned by certificate sources that have nothing for a
// name. The engine answers it with an unrecognized_name alert (RFC 6066 section 3).
var ErrNoCertificate = errors.New("no certificate for this name")

// IssueError is a failed attempt to obtain or renew a certificate.
type IssueError struct {
	Name       string
	CA         string // directory URL; empty where no CA was asked
	Reason     Reason
	RetryAfter time.Time // from the CA; zero where it named none
	Err        error
}

func (e *IssueError) Error() string {
	if e.Name == "" { // about an account, or all that the CA does
		return fmt.Sprintf("CA %s: %s: %v", e.CA, e.Reason, e.Err)
	}
	if e.CA == "" {
		return fmt.Sprintf("certificate for %s: %s: %v", e.Name, e.Reason, e.Err)
	}
	return fmt.Sprintf("certificate for %s from %s: %s: %v", e.Name, e.CA, e.Reason, e.Err)
}

// Unwrap returns the cause.
func (e *IssueError) Unwrap() error { return e.Err }

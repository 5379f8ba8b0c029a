package acmeglue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/mholt/acmez/v3/acme"

	"edge"
)

// problemReasons maps the error types of RFC 8555 section 6.7 to the causes
// that people act on.
var problemReasons = map[string]edge.Reason{
	acme.ProblemTypeDNS:                     edge.ReasonDNS,
	acme.ProblemTypeConnection:              edge.ReasonConnection,
	acme.ProblemTypeTLS:                     edge.ReasonConnection,
	acme.ProblemTypeUnauthorized:            edge.ReasonUnauthorized,
	acme.ProblemTypeIncorrectResponse:       edge.ReasonUnauthorized,
	acme.ProblemTypeRateLimited:             edge.ReasonRateLimited,
	acme.ProblemTypeCAA:                     edge.ReasonCAA,
	acme.ProblemTypeServerInternal:          edge.ReasonServer,
	acme.ProblemTypeBadNonce:                edge.ReasonServer,
	acme.ProblemTypeRejectedIdentifier:      edge.ReasonPermission,
	acme.ProblemTypeUnsupportedIdentifier:   edge.ReasonPermission,
	acme.ProblemTypeExternalAccountRequired: edge.ReasonPermission,
	acme.ProblemTypeUserActionRequired:      edge.ReasonPermission,
	acme.ProblemTypeUnsupportedContact:      edge.ReasonPermission,
	acme.ProblemTypeInvalidContact:          edge.ReasonPermission,
	acme.ProblemTypeAccountDoesNotExist:     edge.ReasonPermission,
}

// reasonOf classifies an error of the ACME flow.
func reasonOf(err error) edge.Reason {
	var p acme.Problem
	if errors.As(err, &p) {
		if r, ok := problemReasons[p.Type]; ok {
			return r
		}
		for _, sub := range p.Subproblems {
			if r, ok := problemReasons[sub.Type]; ok {
				return r
			}
		}
		switch {
		case p.Status == 429:
			return edge.ReasonRateLimited
		case p.Status == 401 || p.Status == 403:
			return edge.ReasonPermission
		}
		return edge.ReasonServer
	}
	var dns *net.DNSError
	var op *net.OpError
	var timeout net.Error
	var none *NoChallengeError
	switch {
	case errors.Is(err, errProfile), errors.As(err, &none), errors.Is(err, ErrAnswer), errors.Is(err, ErrNoAccount), errors.Is(err, ErrEABRequired):
		return edge.ReasonPermission
	case errors.Is(err, errIssuance), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return edge.ReasonTimeout
	case strings.Contains(err.Error(), "HTTP 429"):
		return edge.ReasonRateLimited
	case errors.As(err, &dns):
		return edge.ReasonDNS
	case errors.As(err, &op):
		return edge.ReasonConnection
	case errors.Is(err, os.ErrPermission):
		return edge.ReasonPermission
	}
	var v *AuthorizationError
	if errors.As(err, &v) && v.Failed[0].Challenge == edge.DNS01 {
		return edge.ReasonDNS
	}
	return edge.ReasonServer
}

// hints say what people can do about a reason.
var hints = map[edge.Reason]string{
	edge.ReasonDNS:          "check the A and AAAA records of the name",
	edge.ReasonConnection:   "check that ports 80 and 443 of this machine can be reached from the internet under that name",
	edge.ReasonUnauthorized: "check that the name points to this machine and that nothing else answers for it",
	edge.ReasonCAA:          "check the CAA records of the domain",
}

// classify makes an *edge.IssueError of whatever went wrong.
func (i *Issuer) classify(err error, name string) error {
	ie := &edge.IssueError{Name: name, CA: i.o.Directory, Reason: reasonOf(err), Err: err}
	var e *explained
	if errors.As(err, &e) {
		ie.RetryAfter, ie.Err = e.retryAfter, e.err
	}
	// That the CA itself cannot be found says nothing about the name's records.
	var lookup *net.DNSError
	if u, uerr := url.Parse(i.o.Directory); uerr == nil && errors.As(err, &lookup) && lookup.Name == u.Hostname() {
		ie.Reason = edge.ReasonConnection
	}
	var v *AuthorizationError
	if errors.As(err, &v) {
		hint := hints[ie.Reason]
		if v.Failed[0].Challenge == edge.DNS01 {
			hint = "check acme.dns, and that the zone is served by who is named there"
		}
		if hint != "" {
			ie.Err = fmt.Errorf("%w; %s", ie.Err, hint)
		}
	}
	return ie
}

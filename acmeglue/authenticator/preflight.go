package authenticator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"edge"
	"edge/acmeglue"
)

// Resolver looks up addresses, as *net.Resolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// PreflightOptions say how to look. The zero value looks as a CA would, from here.
type PreflightOptions struct {
	Resolver  Resolver                                                             // nil: the system's
	Dial      func(ctx context.Context, network, address string) (net.Conn, error) // nil: the system's
	Addresses func() ([]netip.Addr, error)                                         // of this machine; nil: the system's
	HTTPPort  int                                                                  // where the CA comes to; 0: 80
	TLSPort   int                                                                  // 0: 443
	Time      time.Duration                                                        // for all of it; 0: ten seconds
}

// Verdict is what Preflight came to about a name.
type Verdict string

// The verdicts. Only WouldFail is a reason to leave the CA alone.
const (
	Fine      Verdict = "fine"       // our own answer was seen, or nothing speaks against the name
	Unknown   Verdict = "unknown"    // it cannot be tried from here
	WouldFail Verdict = "would fail" // a CA would not find the answer
)

// Finding is what Preflight found out about one name.
type Finding struct {
	Identifier edge.Identifier
	Challenge  edge.ChallengeType // that was tried
	Verdict    Verdict
	Problem    string // what was seen, empty where all is well
	Fix        string // what to do about it
}

// Findings are those of an order, in the order of its names.
type Findings []Finding

// Err names what would fail, as *acmeglue.AuthorizationError, or is nil.
func (f Findings) Err() error {
	var e acmeglue.AuthorizationError
	for _, x := range f {
		if x.Verdict == WouldFail {
			e.Failed = append(e.Failed, acmeglue.FailedAuthorization{Identifier: x.Identifier, Challenge: x.Challenge,
				Err: fmt.Errorf("%s; %s (--no-preflight skips this check)", x.Problem, x.Fix)})
		}
	}
	if len(e.Failed) == 0 {
		return nil
	}
	return &e
}

// atATime bounds the names that are looked at together.
const atATime = 8

// Preflight looks whether a CA would find what auth presents, without asking the
// CA. types are those that the order may use, in order of preference; nil: auth's.
// It presents answers of its own for a moment and looks for them, except where
// that would bother a person or run scripts (manual), or can only be told by name
// servers (DNS-01).
//
// A verdict is WouldFail only where there is no doubt: names that do not exist, or a
// wrong answer at an address that is ours. From behind NAT or with a resolver of
// its own a network looks different than from outside; that is Unknown.
func Preflight(ctx context.Context, auth acmeglue.Authenticator, types []edge.ChallengeType, ids []edge.Identifier, o PreflightOptions) Findings {
	if o.Time == 0 {
		o.Time = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, o.Time)
	defer cancel()
	p := newFlight(auth, o)
	findings := make(Findings, len(ids))
	var batch []edge.Answer
	answers := make([]edge.Answer, len(ids))
	for n, id := range ids {
		kind := chooseType(auth, types, id)
		findings[n] = Finding{Identifier: id, Challenge: kind, Verdict: Unknown}
		if kind == edge.DNS01 || kind == "" {
			continue // the CA looks elsewhere, or the order itself says what is wrong
		}
		answers[n] = trial(kind, id)
		if p.tries {
			batch = append(batch, answers[n])
		}
	}
	if len(batch) > 0 {
		defer p.cleanup(ctx, batch)
		if err := auth.Present(ctx, slices.Clone(batch)); err != nil {
			return presentFailed(findings, err)
		}
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, atATime)
	for n := range findings {
		if answers[n].Type == "" {
			continue
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			p.look(ctx, answers[n], &findings[n])
		})
	}
	wait.Wait()
	return findings
}

// chooseType is the type by which the order will try a name first.
func chooseType(auth acmeglue.Authenticator, types []edge.ChallengeType, id edge.Identifier) edge.ChallengeType {
	able := auth.Types()
	if len(types) == 0 {
		types = able
	}
	for _, t := range types {
		if slices.Contains(able, t) && !(id.IsWildcard() && t != edge.DNS01) && !(id.Type == edge.IP && t == edge.DNS01) {
			return t
		}
	}
	return ""
}

// presentFailed tells of names whose answer cannot be given at all: a port that is
// taken, a webroot that is missing.
func presentFailed(findings Findings, err error) Findings {
	var by *acmeglue.AuthorizationError
	if !errors.As(err, &by) {
		return findings // the order will say so
	}
	for n := range findings {
		at := slices.IndexFunc(by.Failed, func(f acmeglue.FailedAuthorization) bool {
			return f.Identifier == findings[n].Identifier && f.Challenge == findings[n].Challenge
		})
		if at >= 0 {
			findings[n].Verdict, findings[n].Problem, findings[n].Fix = WouldFail, by.Failed[at].Err.Error(), "nothing was ordered"
		}
	}
	return findings
}

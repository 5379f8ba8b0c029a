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

// Resolver looks names up, as *net.Resolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupNS(ctx context.Context, name string) ([]*net.NS, error)
}

// PreflightOptions say how to look. The zero value looks as a CA would, from here.
type PreflightOptions struct {
	Resolver  Resolver                                                             // nil: the system's
	Dial      func(ctx context.Context, network, address string) (net.Conn, error) // nil: the system's
	Addresses func() ([]netip.Addr, error)                                         // of this machine; nil: the system's
	HTTPPort  int                                                                  // where the CA comes to; 0: 80
	TLSPort   int                                                                  // 0: 443
	Time      time.Duration                                                        // for all that is looked for; 0: ten seconds
}

// Verdict is what Preflight came to about a name.
type Verdict string

// The verdicts. Only WouldFail is a reason to leave the CA alone.
const (
	Fine      Verdict = "fine"       // our own answer was seen, or nothing speaks against the name
	Unknown   Verdict = "unknown"    // it cannot be told from here
	WouldFail Verdict = "would fail" // a CA would not find the answer
)

// Finding is what Preflight found out about one name.
type Finding struct {
	Identifier edge.Identifier
	Challenge  edge.ChallengeType // the first that would not fail, else the last; "" where none can be used
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
				Err: fmt.Errorf("%s; %s", x.Problem, x.Fix)})
		}
	}
	if len(e.Failed) == 0 {
		return nil
	}
	return &e
}

// Preflight looks whether a CA would find what auth presents, without asking the
// CA. types are those that the order may use, in order of preference; nil: auth's.
// It presents answers of its own for a moment and looks for them, except where
// that would bother a person or run scripts (manual), or can only be told by name
// servers (DNS-01). Where one type would fail, the next is tried, as the order does.
//
// A verdict is WouldFail only where there is no doubt: a name that the public name
// servers of its zone do not have, or a wrong answer of each of its addresses, at
// which from here one arrives as a CA does. From behind NAT, with a resolver of its
// own, or with a redirect of ports in its kernel, a machine sees another network
// than the CA; that is Unknown, and Problem says what was seen.
//
// It is bounded by the time of o, and by that which auth needs for Present: a
// person may be asked there about a port that is taken, and not hurried.
func Preflight(ctx context.Context, auth acmeglue.Authenticator, types []edge.ChallengeType, ids []edge.Identifier, o PreflightOptions) Findings {
	if o.Time == 0 {
		o.Time = 10 * time.Second
	}
	p := newFlight(auth, o)
	findings := make(Findings, len(ids))
	names := make([]*subject, len(ids))
	for n, id := range ids {
		findings[n] = Finding{Identifier: id, Verdict: Unknown}
		names[n] = &subject{id: id, found: &findings[n], kinds: usable(auth, types, id)}
	}
	p.each(ctx, names, p.resolve)
	for open := names; len(open) > 0; {
		p.round(ctx, open)
		open = slices.DeleteFunc(slices.Clone(open), func(s *subject) bool {
			return s.found.Verdict != WouldFail || len(s.kinds) == 0
		})
	}
	return findings
}

// subject is one name.
type subject struct {
	id     edge.Identifier
	found  *Finding
	kinds  []edge.ChallengeType // still to be tried
	ips    []netip.Addr         // where a CA would look; none: noAddr says why
	noAddr Finding
	answer edge.Answer // of this round
}

// usable are the types by which the order will try a name, one after the other.
func usable(auth acmeglue.Authenticator, types []edge.ChallengeType, id edge.Identifier) []edge.ChallengeType {
	able := auth.Types()
	if len(types) == 0 {
		types = able
	}
	return slices.DeleteFunc(slices.Clone(types), func(t edge.ChallengeType) bool {
		return !slices.Contains(able, t) || id.IsWildcard() && t != edge.DNS01 || id.Type == edge.IP && t == edge.DNS01
	})
}

// atATime bounds the names that are looked at together.
const atATime = 8

// each does something for all names, in the time that is left.
func (p *flight) each(ctx context.Context, names []*subject, f func(context.Context, *subject)) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.left)
	defer cancel()
	var wait sync.WaitGroup
	slots := make(chan struct{}, atATime)
	for _, s := range names {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			f(ctx, s)
		})
	}
	wait.Wait()
	p.left -= time.Since(began)
}

// round tries the next type of each name.
func (p *flight) round(ctx context.Context, names []*subject) {
	var batch []edge.Answer
	var asked []*subject
	for _, s := range names {
		*s.found = Finding{Identifier: s.id, Verdict: Unknown}
		if len(s.kinds) == 0 {
			continue // the order itself says what is wrong
		}
		kind := s.kinds[0]
		s.kinds = s.kinds[1:]
		s.found.Challenge = kind
		switch {
		case kind == edge.DNS01: // the CA looks elsewhere
		case len(s.ips) == 0:
			s.found.Verdict, s.found.Problem, s.found.Fix = s.noAddr.Verdict, s.noAddr.Problem, s.noAddr.Fix
		default:
			s.answer = trial(kind, s.id)
			asked = append(asked, s)
			batch = append(batch, s.answer)
		}
	}
	if p.tries && len(batch) > 0 {
		defer p.cleanup(ctx, batch)
		if err := p.auth.Present(ctx, slices.Clone(batch)); err != nil {
			presentFailed(asked, err)
			return
		}
	}
	p.each(ctx, asked, p.look)
}

// presentFailed tells of names whose answer cannot be given at all: a port that is
// taken, a webroot that is missing.
func presentFailed(names []*subject, err error) {
	var by *acmeglue.AuthorizationError
	if !errors.As(err, &by) {
		return // the order will say so
	}
	for _, s := range names {
		at := slices.IndexFunc(by.Failed, func(f acmeglue.FailedAuthorization) bool {
			return f.Identifier == s.id && f.Challenge == s.answer.Type
		})
		if at >= 0 {
			s.found.Verdict, s.found.Problem, s.found.Fix = WouldFail, by.Failed[at].Err.Error(), "nothing was ordered"
		}
	}
}

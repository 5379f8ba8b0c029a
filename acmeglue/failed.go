package acmeglue

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mholt/acmez/v3/acme"

	"edge"
)

// Problem is what a CA says is wrong (RFC 8555 section 6.7).
type Problem struct {
	Type     string // "unauthorized": without the prefix where it is one of ACME's
	Detail   string // for people
	Status   int    // of the HTTP answer, 0 where there was none
	Instance string // URL of terms to agree to, for "userActionRequired"
}

// ProblemOf returns what a CA complained about, if err comes from that.
func ProblemOf(err error) (Problem, bool) {
	var p acme.Problem
	if !errors.As(err, &p) {
		return Problem{}, false
	}
	return problemFrom(p), true
}

func problemFrom(p acme.Problem) Problem {
	return Problem{strings.TrimPrefix(p.Type, acme.ProblemTypeNamespace), p.Detail, p.Status, p.Instance}
}

// FailedAuthorization is one identifier whose control was not proved.
type FailedAuthorization struct {
	Identifier edge.Identifier    // as it was ordered, with the "*." of a wildcard
	Challenge  edge.ChallengeType // "" where the CA refused the identifier itself
	Problem    *Problem           // of the CA; nil where it was not asked: Err says why
	Err        error

	token string // of the challenge, "" where it is not known
}

// AuthorizationError names every identifier of an order that failed, in the CA's order.
type AuthorizationError struct {
	Failed []FailedAuthorization
}

// Error says once what is the same for several.
func (e *AuthorizationError) Error() string {
	var whys []string
	names := map[string][]string{}
	for _, f := range e.Failed {
		why := fmt.Sprintf("%s was refused: %v", "%s", f.Err)
		if f.Challenge != "" {
			why = fmt.Sprintf("validation of %s by %s: %v", "%s", f.Challenge, f.Err)
		}
		if names[why] == nil {
			whys = append(whys, why)
		}
		names[why] = append(names[why], f.Identifier.String())
	}
	for n, why := range whys {
		whys[n] = strings.Replace(why, "%s", strings.Join(names[why], ", "), 1)
	}
	return strings.Join(whys, "; ")
}

// Unwrap returns the causes.
func (e *AuthorizationError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for n, f := range e.Failed {
		errs[n] = f.Err
	}
	return errs
}

// retryable returns the challenge types that failed, nil where another one
// could do no better.
func (e *AuthorizationError) retryable() []edge.ChallengeType {
	var types []edge.ChallengeType
	for _, f := range e.Failed {
		if f.Challenge == "" {
			return nil
		}
		if f.Problem != nil && slices.Contains([]string{"caa", "rateLimited", "rejectedIdentifier"}, f.Problem.Type) {
			return nil
		}
		if !slices.Contains(types, f.Challenge) {
			types = append(types, f.Challenge)
		}
	}
	return types
}

// AnswerFailed is what an Authenticator returns where err concerns some answers
// of a batch and not the others.
func AnswerFailed(err error, answers ...edge.Answer) *AuthorizationError {
	e := &AuthorizationError{}
	for _, a := range answers {
		e.Failed = append(e.Failed, FailedAuthorization{Identifier: a.Identifier, Challenge: a.Type, Err: err, token: a.Token})
	}
	return e
}

// failedTask is one authorization that the CA has not granted.
func failedTask(t *task, err error) FailedAuthorization {
	f := FailedAuthorization{Identifier: t.ordered(), Challenge: t.kind, Err: err}
	if p, ok := ProblemOf(err); ok {
		f.Problem = &p
	}
	return f
}

// failedBatch is what an authenticator could not do. Where it does not say
// for which identifiers, it is for all of them.
func failedBatch(tasks []*task, err error) error {
	var own *AuthorizationError
	if !errors.As(err, &own) {
		own = &AuthorizationError{}
		for _, t := range tasks {
			own.Failed = append(own.Failed, FailedAuthorization{Identifier: t.ordered(), Challenge: t.kind, Err: err})
		}
		return own
	}
	// An answer is for the base name of a wildcard; people ordered the wildcard.
	named := &AuthorizationError{Failed: slices.Clone(own.Failed)}
	for n, f := range named.Failed {
		at := slices.IndexFunc(tasks, func(t *task) bool {
			return t.kind == f.Challenge && t.id == f.Identifier && (f.token == "" || f.token == t.challenge.Token)
		})
		if at >= 0 {
			named.Failed[n].Identifier = tasks[at].ordered()
		}
	}
	return named
}

// refused turns the complaint of a CA that names identifiers (RFC 8555 section
// 6.7.1) into an *AuthorizationError; other errors stay as they are.
func refused(err error) error {
	var p acme.Problem
	if !errors.As(err, &p) {
		return err
	}
	var e AuthorizationError
	for _, sub := range p.Subproblems {
		if sub.Identifier.Value == "" {
			continue
		}
		of := problemFrom(sub.Problem)
		e.Failed = append(e.Failed, FailedAuthorization{
			Identifier: edge.Identifier{Type: edge.IdentifierType(sub.Identifier.Type), Value: sub.Identifier.Value},
			Problem:    &of, Err: sub.Problem,
		})
	}
	if len(e.Failed) == 0 {
		return err
	}
	return &e
}

// NoChallengeError says that an authorization cannot be had with what the
// authenticator can do.
type NoChallengeError struct {
	Identifier       edge.Identifier
	Offered, Allowed []edge.ChallengeType
}

func (e *NoChallengeError) Error() string {
	return fmt.Sprintf("no common challenge type for %s: the CA offers %v, allowed are %v", e.Identifier, e.Offered, e.Allowed)
}

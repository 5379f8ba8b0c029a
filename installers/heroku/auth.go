package heroku

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"edge"
	"edge/installers/answer"
	"edge/installers/selfcheck"
)

// Authenticator answers HTTP-01 by a config variable, with which an app answers requests
// below /.well-known/acme-challenge/. One order at a time has an app's variable. Safe for
// concurrent use.
type Authenticator struct {
	o   *Options
	api *platform

	mu   sync.Mutex
	busy map[string]chan struct{} // by app; a token in it is the right to its variable
	ours map[string]string        // by app, the value that was put there and not yet taken away
}

// NewAuthenticator makes an authenticator for one app, or several.
func NewAuthenticator(o Options) (*Authenticator, error) {
	for _, app := range append(slices.Collect(maps.Values(o.Apps)), o.App) {
		if !appForm.MatchString(app) {
			return nil, fmt.Errorf("app %.70q is no name of an app", app)
		}
	}
	if !variableForm.MatchString(o.Variable) {
		return nil, fmt.Errorf("config_var %.70q is no name of a variable", o.Variable)
	}
	p, err := newPlatform(&o)
	return &Authenticator{o: &o, api: p, busy: map[string]chan struct{}{}, ours: map[string]string{}}, err
}

// Name is as in renewal files.
func (a *Authenticator) Name() string { return name }

// Types returns HTTP-01.
func (a *Authenticator) Types() []edge.ChallengeType { return []edge.ChallengeType{edge.HTTP01} }

// split is a batch by app. Answers that nobody can give are left out.
func (a *Authenticator) split(batch []edge.Answer) map[string][]edge.Answer {
	apps := map[string][]edge.Answer{}
	for _, one := range batch {
		if answer.Check(name, one, answer.Options{}) != nil {
			continue
		}
		app, ok := a.o.Apps[strings.ToLower(one.Identifier.Value)]
		if !ok {
			app = a.o.App
		}
		apps[app] = append(apps[app], one)
	}
	return apps
}

// value is what a variable has for a batch: one answer, or several, a line each, of which
// the app has to choose.
func value(batch []edge.Answer) string {
	var lines []string
	for _, one := range batch {
		lines = append(lines, one.KeyAuth)
	}
	return strings.Join(lines, "\n")
}

// keep is the variable that has what was there before, while a challenge is on.
func (a *Authenticator) keep() string { return a.o.Variable + "_BEFORE" }

// Present sets the variable of each app, once no other order has it.
func (a *Authenticator) Present(ctx context.Context, batch []edge.Answer) error {
	for _, one := range batch {
		if err := answer.Check(name, one, answer.Options{}); err != nil {
			return err
		}
	}
	apps := a.split(batch)
	for _, app := range slices.Sorted(maps.Keys(apps)) { // in order: nobody waits for one that waits for him
		if err := a.take(ctx, app, value(apps[app])); err != nil {
			return fmt.Errorf("config variable %s of %s: %w", a.o.Variable, app, err)
		}
	}
	return nil
}

func (a *Authenticator) take(ctx context.Context, app, want string) error {
	a.mu.Lock()
	right := a.busy[app]
	if right == nil {
		right = make(chan struct{}, 1)
		a.busy[app] = right
	}
	a.mu.Unlock()
	select {
	case right <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("another order has it: %w", context.Cause(ctx))
	}
	a.mu.Lock()
	a.ours[app] = want
	a.mu.Unlock()
	has, err := a.free(ctx, app, want)
	if err != nil {
		return err
	}
	body := map[string]any{a.o.Variable: want}
	if has != "" && !isAnswers(has) {
		body[a.keep()] = has
	}
	return a.set(ctx, app, body)
}

const (
	patience  = 12              // looks at a variable that another process has
	patienceT = 5 * time.Second // between two of them
)

// free waits until no other process has an app's variable, and returns what is in it. What
// stays there for a minute, from the same account, is of a process that died.
func (a *Authenticator) free(ctx context.Context, app, want string) (string, error) {
	for look := 1; ; look++ {
		vars, err := a.vars(ctx, app)
		if err != nil {
			return "", err
		}
		has := vars[a.o.Variable]
		switch {
		case !isAnswers(has) || has == want:
			return has, nil
		case account(has) != account(want):
			return "", errors.New("it has an answer for another ACME account; when nobody is at it, unset it: heroku config:unset " + a.o.Variable + " -a " + app)
		case look == patience:
			return has, nil
		}
		if err := a.o.Env.Pause(ctx, patienceT); err != nil {
			return "", err
		}
	}
}

var answersForm = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}(\n[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43})*$`)

// isAnswers reports whether a value was put there for a challenge, by whomever.
func isAnswers(value string) bool { return answersForm.MatchString(value) }

// account is the thumbprint of the account that an answer is for.
func account(value string) string { return value[strings.LastIndexByte(value, '.')+1:] }

// vars are the config variables of an app. They are secret.
func (a *Authenticator) vars(ctx context.Context, app string) (map[string]string, error) {
	var vars map[string]string
	err := a.api.do(ctx, http.MethodGet, app, "/config-vars", nil, &vars)
	return vars, err
}

// set changes config variables, all at once: Heroku makes one release of them.
func (a *Authenticator) set(ctx context.Context, app string, vars map[string]any) error {
	return a.api.do(ctx, http.MethodPatch, app, "/config-vars", vars, nil)
}

// Cleanup gives the variables back what they had before. What somebody else has put there
// since stays.
func (a *Authenticator) Cleanup(ctx context.Context, batch []edge.Answer) error {
	var errs []error
	for app, part := range a.split(batch) {
		if err := a.give(ctx, app, value(part)); err != nil {
			errs = append(errs, fmt.Errorf("config variable %s of %s: %w; heroku config:unset %[1]s -a %[2]s", a.o.Variable, app, err))
		}
	}
	return errors.Join(errs...)
}

func (a *Authenticator) give(ctx context.Context, app, mine string) error {
	a.mu.Lock()
	right, held := a.busy[app], a.ours[app] == mine
	if held {
		delete(a.ours, app)
	}
	a.mu.Unlock()
	if held {
		defer func() { <-right }()
	}
	vars, err := a.vars(ctx, app)
	if err != nil || vars[a.o.Variable] != mine {
		return err
	}
	body := map[string]any{a.o.Variable: nil, a.keep(): nil}
	if before, ok := vars[a.keep()]; ok {
		body[a.o.Variable] = before
	} else {
		delete(body, a.keep())
	}
	return a.set(ctx, app, body)
}

// Ready waits until the app's dynos have the variable and the app answers with it.
func (a *Authenticator) Ready(ctx context.Context, batch []edge.Answer) error {
	apps := a.split(batch)
	for _, app := range slices.Sorted(maps.Keys(apps)) {
		preboot, err := a.started(ctx, app)
		if err != nil {
			return fmt.Errorf("dynos of %s: %w", app, err)
		}
		p := selfcheck.Patience{Tries: 15, Pause: 4 * time.Second, Hint: a.hint(app, len(apps[app]))}
		if preboot {
			p.Tries = int(prebootTime / p.Pause)
		}
		switch {
		case a.o.SelfCheck:
			err = selfcheck.Await(ctx, a.o.Env, apps[app], p)
		case preboot:
			err = a.o.Env.Pause(ctx, prebootTime)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *Authenticator) hint(app string, answers int) string {
	hint := "the app " + app + " has to answer requests below /.well-known/acme-challenge/ with its variable " + a.o.Variable
	if answers > 1 {
		hint += "; for several names at once, with the line of it that begins with the last part of the path, or the names need certificates of their own"
	}
	return hint + "; self_check: false leaves this out"
}

package haproxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"edge"
	"edge/installers/answer"
	"edge/installers/target"
)

// The values of mode.
const (
	mapMode       = "map"
	statelessMode = "stateless"
	helperMode    = "helper"
)

// Answers say how HTTP-01 is answered.
type Answers struct {
	Mode     string // "map", "stateless" or "helper"
	Map      string // of map: the path, as in the rule
	Variable string // of stateless: the variable with the account's thumbprint
	Port     int    // of helper, on 127.0.0.1
	Address  string // where HAProxy is asked for an answer; empty: found out
}

// Authenticator has HAProxy answer HTTP-01. Safe for concurrent use.
type Authenticator struct {
	o Options
	a Answers

	given sync.Map // key authorizations by token, as strings

	mu     sync.Mutex // held by Present and Cleanup
	helper *listener  // nil: it does not listen
}

var _ target.Authenticator = (*Authenticator)(nil)

// NewAuthenticator checks the options, as far as that can be done without looking at the
// disk.
func NewAuthenticator(o Options, a Answers) (*Authenticator, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains([]string{mapMode, statelessMode, helperMode}, a.Mode):
		return nil, fmt.Errorf("haproxy: mode %q is not known", a.Mode)
	case a.Mode == mapMode && !plain(a.Map):
		return nil, fmt.Errorf("haproxy: map: HAProxy's socket cannot be told of %q", a.Map)
	case a.Mode == statelessMode && (a.Variable == "" || strings.ContainsFunc(a.Variable, func(r rune) bool { return r > 0x7f || !wordChar(byte(r)) })):
		return nil, fmt.Errorf("haproxy: thumbprint: %q is no name of a variable", a.Variable)
	case a.Mode == helperMode && (a.Port < 1 || a.Port > 65535):
		return nil, fmt.Errorf("haproxy: http_01_port: %d is no port", a.Port)
	}
	return &Authenticator{o: o, a: a}, nil
}

// Name implements target.Authenticator.
func (a *Authenticator) Name() string { return "haproxy" }

// Types implements target.Authenticator.
func (a *Authenticator) Types() []edge.ChallengeType { return []edge.ChallengeType{edge.HTTP01} }

// Present implements target.Authenticator.
func (a *Authenticator) Present(ctx context.Context, batch []edge.Answer) error {
	for _, one := range batch {
		if err := answer.Check("haproxy", one, answer.Options{}); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.a.Mode == mapMode {
		return a.fill(ctx, batch)
	}
	a.give(batch)
	if a.a.Mode == helperMode {
		return a.listen()
	}
	return nil
}

// give notes what is going to be answered, and to be taken back.
func (a *Authenticator) give(batch []edge.Answer) {
	for _, one := range batch {
		a.given.Store(one.Token, one.KeyAuth)
	}
}

// Ready implements target.Authenticator: HAProxy is asked, as the CA is going to.
func (a *Authenticator) Ready(ctx context.Context, batch []edge.Answer) error {
	w, err := a.o.look()
	if err != nil {
		return err
	}
	for _, one := range batch {
		if err := a.ask(ctx, w, one); err != nil {
			return err
		}
	}
	return nil
}

// Cleanup implements target.Authenticator.
func (a *Authenticator) Cleanup(ctx context.Context, batch []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var mine []string
	for _, one := range batch {
		// What cannot be taken back now, the next Present does.
		if _, given := a.given.LoadAndDelete(one.Token); given {
			mine = append(mine, one.Token)
		}
	}
	if a.a.Mode == mapMode && len(mine) > 0 {
		if err := a.empty(ctx, mine); err != nil {
			return err
		}
	}
	waiting := false
	a.given.Range(func(any, any) bool {
		waiting = true
		return false
	})
	if a.helper == nil || waiting {
		return nil
	}
	err := a.helper.close()
	a.helper = nil
	return err
}

// socket is one by which HAProxy's maps can be changed.
func (a *Authenticator) socket(ctx context.Context) (*cli, *world, error) {
	w, err := a.o.look()
	if err != nil {
		return nil, nil, err
	}
	c, _, err := w.answering(ctx)
	if errors.Is(err, errNoSocket) {
		err = fmt.Errorf("%w: write \"stats socket /run/haproxy/admin.sock mode 600 level admin\" into its section global", err)
	}
	return c, w, err
}

// fill puts answers into the map, and takes out what runs that died have left: entries of
// the same account that nobody here is waiting for.
func (a *Authenticator) fill(ctx context.Context, batch []edge.Answer) error {
	c, w, err := a.socket(ctx)
	if err != nil {
		return err
	}
	left, err := c.showMap(ctx, a.a.Map)
	if err != nil {
		if errors.Is(err, errNoMap) {
			err = fmt.Errorf("%w; %s", err, a.advice(w, batch[0]))
		}
		return err
	}
	a.give(batch)
	for _, e := range left {
		token, challenge := strings.CutPrefix(e.key, edge.HTTP01Prefix)
		value, waits := a.given.Load(token)
		stale := waits && value != e.value || !waits && thumbprint(e.value) == thumbprint(batch[0].KeyAuth)
		if challenge && stale && plain(e.key) {
			if err := c.delMap(ctx, a.a.Map, e.key); err != nil {
				return err
			}
		}
	}
	for _, one := range batch {
		key := edge.HTTP01Prefix + one.Token
		if slices.Contains(left, mapEntry{key, one.KeyAuth}) {
			continue // a second entry would answer no better
		}
		if err := c.want(ctx, "add map "+a.a.Map+" "+key+" "+one.KeyAuth, "", ""); err != nil {
			return err
		}
	}
	return nil
}

func (a *Authenticator) empty(ctx context.Context, tokens []string) error {
	c, _, err := a.socket(ctx)
	if err != nil {
		return err
	}
	for _, token := range tokens {
		if err := c.delMap(ctx, a.a.Map, edge.HTTP01Prefix+token); err != nil {
			return err
		}
	}
	return nil
}

// thumbprint is that of the account in a key authorization (RFC 8555 section 8.1).
func thumbprint(keyAuth string) string {
	_, thumb, _ := strings.Cut(keyAuth, ".")
	return thumb
}

// errNoMap is for a map that no rule of HAProxy uses.
var errNoMap = errors.New("HAProxy has no such map")

func (c *cli) showMap(ctx context.Context, file string) ([]mapEntry, error) {
	answer, err := c.worker(ctx, "show map "+file, "")
	switch {
	case err != nil:
		return nil, err
	case strings.HasPrefix(answer, "Unknown map identifier"):
		return nil, fmt.Errorf("%w: %s", errNoMap, file)
	}
	return parseMap(answer)
}

// delMap takes an entry out that may not be there.
func (c *cli) delMap(ctx context.Context, file, key string) error {
	return c.want(ctx, "del map "+file+" "+key, "", "", "Key not found.")
}

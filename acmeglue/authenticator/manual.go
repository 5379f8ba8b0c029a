package authenticator

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"edge"
	"edge/acmeglue"
)

// The kinds of hooks that Manual runs, as in certbot's flags.
const (
	authHook    = "manual-auth-hook"
	cleanupHook = "manual-cleanup-hook"
)

// HookRunner runs people's scripts.
type HookRunner interface {
	// Run runs a command line by the shell, with env beside the environment, and
	// shows its output and exit code to people as those of a hook of that kind for
	// env["CERTBOT_DOMAIN"]. It bounds stdout, and finds a way for values that are
	// too long for an environment. err says that the command could not be run, or
	// not to its end; one that ran and failed has an exit code.
	Run(ctx context.Context, kind, shell string, env map[string]string) (stdout string, exit int, err error)
}

// ManualOptions are certbot's flags for its manual plugin.
type ManualOptions struct {
	AuthHook    string // --manual-auth-hook; empty: a person is asked
	CleanupHook string // --manual-cleanup-hook; empty: none
	Hooks       HookRunner
	// KeepGoing is certbot's way with an auth hook that fails: a warning, and the
	// CA is asked all the same. Otherwise that is the end, since a validation that
	// fails counts against the CA's limits.
	KeepGoing bool

	In  io.Reader // of the person; nil: nobody is there
	Out io.Writer

	SNI     bool   // TLS-SNI-01 was asked for by name
	SNIPort int    // for the text; 0: 443
	WorkDir string // has the files of TLS-SNI-01
	Log     *slog.Logger
}

// Manual has hooks or a person do what it takes (certbot:
// _internal/plugins/manual.py). Safe for concurrent use; a person is asked by one
// order after the other.
type Manual struct {
	o     ManualOptions
	asked chan struct{} // has the token of whoever may ask the person

	mu  sync.Mutex
	ran map[edge.Answer][]manualRun
}

// manualRun is what is to be cleaned up.
type manualRun struct {
	env   map[string]string // of the cleanup hook
	files []string
	hook  bool // the auth hook was run, or the person was asked
}

// NewManual checks that there is somebody to ask.
func NewManual(o ManualOptions) (*Manual, error) {
	switch {
	case o.AuthHook == "" && o.In == nil:
		return nil, textError("An authentication script must be provided with --manual-auth-hook when using the manual plugin non-interactively.")
	case (o.AuthHook != "" || o.CleanupHook != "") && o.Hooks == nil:
		return nil, errors.New("manual: there is nothing to run hooks with")
	case o.SNI && o.WorkDir == "":
		return nil, errors.New("manual: TLS-SNI-01 needs a folder for its files")
	}
	if o.SNIPort == 0 {
		o.SNIPort = 443
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	o.Log = logger(o.Log)
	return &Manual{o: o, asked: make(chan struct{}, 1), ran: map[edge.Answer][]manualRun{}}, nil
}

// Name implements acmeglue.Authenticator.
func (m *Manual) Name() string { return "manual" }

// Types implements acmeglue.Authenticator.
func (m *Manual) Types() []edge.ChallengeType {
	types := []edge.ChallengeType{edge.HTTP01, edge.DNS01}
	if m.o.SNI {
		types = append(types, edge.TLSSNI01)
	}
	return types
}

// Present implements acmeglue.Authenticator: one auth hook after the other, in the
// CA's order.
func (m *Manual) Present(ctx context.Context, batch []edge.Answer) error {
	if m.o.AuthHook == "" {
		select {
		case m.asked <- struct{}{}:
			defer func() { <-m.asked }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for n, a := range batch {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if !slices.Contains(m.Types(), a.Type) {
			return acmeglue.AnswerFailed(unable(m, a), a)
		}
		run := manualRun{env: manualEnv(batch, n)}
		err := m.present(ctx, batch, n, &run)
		m.mu.Lock()
		m.ran[a] = append(m.ran[a], run)
		m.mu.Unlock()
		if err != nil {
			return acmeglue.AnswerFailed(err, a)
		}
	}
	return nil
}

func (m *Manual) present(ctx context.Context, batch []edge.Answer, n int, run *manualRun) error {
	a := batch[n]
	if a.Type == edge.TLSSNI01 {
		cert, key, err := m.sniFiles(a, run)
		if err != nil {
			return err
		}
		run.env["CERTBOT_CERT_PATH"], run.env["CERTBOT_KEY_PATH"], run.env["CERTBOT_SNI_DOMAIN"] = cert, key, edge.SNI01Name(a.KeyAuth)
	}
	run.hook = true
	if m.o.AuthHook == "" {
		return m.ask(ctx, m.instructions(batch, n, run.env))
	}
	out, exit, err := m.o.Hooks.Run(ctx, authHook, m.o.AuthHook, maps.Clone(run.env))
	run.env["CERTBOT_AUTH_OUTPUT"] = strings.TrimSpace(out)
	if err == nil && exit != 0 {
		err = hookFailed(authHook, a, exit)
		if m.o.KeepGoing {
			m.o.Log.Warn("the auth hook failed; as certbot does, the CA is asked all the same", "error", err)
			err = nil
		}
	}
	return err
}

// textError is an error in certbot's words.
type textError string

func (e textError) Error() string { return string(e) }

func hookFailed(kind string, a edge.Answer, exit int) error {
	return textError(fmt.Sprintf("Hook '--%s' for %s reported error code %d", kind, a.Identifier, exit))
}

// manualEnv is what both hooks are told (certbot.md section 5.1).
func manualEnv(batch []edge.Answer, n int) map[string]string {
	a := batch[n]
	var all []string
	for _, b := range batch {
		all = append(all, b.Identifier.Value)
	}
	env := map[string]string{
		"CERTBOT_DOMAIN":               a.Identifier.Value,
		"CERTBOT_IDENTIFIER":           a.Identifier.Value,
		"CERTBOT_ALL_DOMAINS":          strings.Join(all, ","),
		"CERTBOT_ALL_IDENTIFIERS":      strings.Join(all, ","),
		"CERTBOT_REMAINING_CHALLENGES": strconv.Itoa(len(batch) - n - 1),
	}
	switch a.Type {
	case edge.HTTP01:
		env["CERTBOT_VALIDATION"], env["CERTBOT_TOKEN"] = a.KeyAuth, a.Token
	case edge.DNS01:
		env["CERTBOT_VALIDATION"] = dnsValue(a)
	}
	return env
}

// dnsValue is the text of the TXT record (RFC 8555 section 8.4), dnsName its name.
func dnsValue(a edge.Answer) string {
	sum := sha256.Sum256([]byte(a.KeyAuth))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func dnsName(a edge.Answer) string { return "_acme-challenge." + a.Identifier.Value }

// Ready implements acmeglue.Authenticator: hooks and people come back when it is done.
func (m *Manual) Ready(context.Context, []edge.Answer) error { return nil }

// Cleanup runs the cleanup hook for each challenge whose auth hook ran, in the
// same order, with the variables of its own run. Hooks take the time that they
// take, as certbot's do: for the last of many names the deadline of ctx, which is
// for all of them together, would be over before its hook has begun.
func (m *Manual) Cleanup(ctx context.Context, batch []edge.Answer) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, a := range batch {
		m.mu.Lock()
		list := m.ran[a]
		if len(list) == 0 {
			m.mu.Unlock()
			continue
		}
		run := list[len(list)-1]
		if m.ran[a] = list[:len(list)-1]; len(list) == 1 {
			delete(m.ran, a)
		}
		m.mu.Unlock()
		if run.hook && m.o.CleanupHook != "" {
			_, exit, err := m.o.Hooks.Run(ctx, cleanupHook, m.o.CleanupHook, maps.Clone(run.env))
			if err == nil && exit != 0 {
				err = hookFailed(cleanupHook, a, exit)
			}
			errs = append(errs, err)
		}
		errs = append(errs, removeFiles(run.files))
	}
	return errors.Join(errs...)
}

package plesk

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

func TestMain(m *testing.M) { targettest.Main(m) }

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// said are the settings for the fake; more are pairs, of which an empty one takes away.
func (f *fake) said(more ...string) map[string][]string {
	said := map[string][]string{
		"server": {f.URL}, "address": {f.At.Addr}, "timeout": {"300ms"}, "psa": {f.psa}, "nameservers": {f.dns.Addr()},
		"secret_key": {"file:" + write(f.t, "key", secretKey+"\n")}, "ca": {write(f.t, "ca.pem", string(f.RootsPEM))},
	}
	for i := 0; i < len(more); i += 2 {
		said[more[i]] = []string{more[i+1]}
		if more[i+1] == "" {
			delete(said, more[i])
		}
	}
	return said
}

func (f *fake) local() map[string][]string {
	return map[string][]string{"plesk": {f.program}, "psa": {f.psa}, "address": {f.At.Addr}}
}

func values(t *testing.T, said map[string][]string, proves bool) target.Values {
	t.Helper()
	k := Kind()
	v, problems := target.Parse(&k, said, nil, proves, !proves)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return v
}

func (f *fake) rig(said map[string][]string) *targettest.Rig {
	return &targettest.Rig{
		Target: func(ctx context.Context, env *target.Env) (delivery.Target, error) {
			return Kind().Target(ctx, values(f.t, said, false), env)
		},
		At: []installers.Endpoint{f.At}, Snapshot: f.snapshot, Fault: f.Fault, Secrets: []string{secretKey, password, "seen-by-nobody"},
	}
}

func TestTarget(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) *targettest.Rig{
		"api": func(t *testing.T) *targettest.Rig {
			f := newFake(t)
			return f.rig(f.said())
		},
		"programs": func(t *testing.T) *targettest.Rig {
			f := newFake(t)
			rig := f.rig(f.local())
			rig.Fault = nil
			rig.Unreadable = func(*testing.T) func() {
				f.set(func() { f.broken = true })
				return func() { f.set(func() { f.broken = false }) }
			}
			rig.IgnoreReload = func(t *testing.T) func() { return f.Fault(t, targettest.Never) }
			rig.Cannot = map[string]string{
				"in flight":   "which connections the site's web server keeps is Plesk's affair, and a fake would show nothing",
				"server down": "Plesk itself stops and starts the web server; what is not shown is the case of a reload that is ignored",
			}
			return rig
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			targettest.Run(t, start)
		})
	}
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func TestProof(t *testing.T) {
	for _, kind := range []edge.ChallengeType{edge.HTTP01, edge.DNS01} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			targettest.Prove(t, func(t *testing.T) *targettest.Proof { return newFake(t).proof(kind) })
		})
	}
}

func (f *fake) proof(kind edge.ChallengeType) *targettest.Proof {
	return &targettest.Proof{
		Type: kind, Secrets: []string{secretKey, "seen-by-nobody"}, Left: f.left,
		Authenticator: func(ctx context.Context, env *target.Env) (target.Authenticator, error) {
			return Kind().Authenticator(ctx, values(f.t, f.said(), true), f.world(env))
		},
		Answers: f.answers,
		Down:    func(t *testing.T) (restore func()) { return f.Fault(t, targettest.Silent) },
	}
}

// world has port 80 of all names lead to the fake's web server.
func (f *fake) world(env *target.Env) *target.Env {
	w := *env
	w.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasSuffix(addr, ":80") {
			addr = f.web.Listener.Addr().String()
		}
		return env.Dial(ctx, network, addr)
	}
	return &w
}

func (f *fake) answers(a edge.Answer) error {
	if a.Type == edge.DNS01 {
		name := "_acme-challenge." + a.Identifier.Value
		got, err := edgetest.LookupTXT(f.dns.Addr(), name)
		if err == nil && !slices.Contains(got, edge.DNS01Value(a.KeyAuth)) {
			err = fmt.Errorf("%s has %v", name, got)
		}
		return err
	}
	r, err := http.NewRequest(http.MethodGet, f.web.URL+edge.HTTP01Prefix+a.Token, nil)
	if err != nil {
		return err
	}
	r.Host = a.Identifier.Value
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && string(body) != a.KeyAuth {
		err = fmt.Errorf("%s says %q", resp.Status, body)
	}
	return err
}

// env is a world in which no time passes, with a folder for what is kept.
func (f *fake) env(state string) *target.Env {
	return f.world(&target.Env{
		Name: "one", State: state, Run: installers.Run, Dial: new(net.Dialer).DialContext, Log: slog.New(slog.DiscardHandler),
		Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
}

func material(t *testing.T, names ...string) *delivery.Material {
	t.Helper()
	m, err := delivery.NewMaterial("one", edgetest.NewChain(t, time.Now().Add(time.Hour), names...), names, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (f *fake) put(t *testing.T, state string, said map[string][]string, m *delivery.Material) (delivery.Change, error) {
	t.Helper()
	tg, err := Kind().Target(t.Context(), values(t, said, false), f.env(state))
	if err != nil {
		return delivery.Change{}, err
	}
	return tg.Put(t.Context(), m, nil)
}

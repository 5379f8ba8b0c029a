package proxmox

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// said are the settings for the fake's API; more are pairs.
func (f *fake) said(more ...string) map[string][]string {
	said := map[string][]string{
		"server": {f.URL}, "product": {string(f.product)}, "address": {f.At.Addr}, "timeout": {"300ms"},
		"token": {"file:" + write(f.t, "token", theToken+"\n")}, "ca": {write(f.t, "ca.pem", string(f.RootsPEM))},
	}
	for i := 0; i < len(more); i += 2 {
		said[more[i]] = []string{more[i+1]}
		if more[i+1] == "" {
			delete(said, more[i])
		}
	}
	return said
}

func values(t *testing.T, said map[string][]string) target.Values {
	t.Helper()
	k := Kind()
	v, problems := target.Parse(&k, said, nil, false, true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return v
}

func (f *fake) rig(said map[string][]string) *targettest.Rig {
	return &targettest.Rig{
		Target: func(ctx context.Context, env *target.Env) (delivery.Target, error) {
			return Kind().Target(ctx, values(f.t, said), env)
		},
		At: []installers.Endpoint{f.At}, Single: true, Snapshot: f.snapshot, Fault: f.Fault,
		Secrets: []string{theToken, strings.TrimPrefix(theToken, "edge@pve!delivery="), password, ticket, csrf},
	}
}

func TestTarget(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) *targettest.Rig{
		"ve": func(t *testing.T) *targettest.Rig {
			f := newFake(t, VE)
			return f.rig(f.said())
		},
		"ticket": func(t *testing.T) *targettest.Rig {
			f := newFake(t, VE)
			return f.rig(f.said("token", "", "user", "root@pam", "password", "file:"+write(t, "password", password)))
		},
		"backup": func(t *testing.T) *targettest.Rig {
			f := newFake(t, Backup)
			return f.rig(f.said())
		},
		"pvenode": func(t *testing.T) *targettest.Rig { return newFake(t, VE).localRig() },
	} {
		t.Run(name, func(t *testing.T) {
			if (name == "ticket" || name == "backup") && os.Getenv("EDGE_SOAK") == "" {
				return // what is different there is tried by TestRefused and TestBackup
			}
			t.Parallel()
			targettest.Run(t, start)
		})
	}
}

// localRig is the node itself.
func (f *fake) localRig() *targettest.Rig {
	rig := f.rig(map[string][]string{"pvenode": {f.pvenode}, "address": {f.At.Addr}})
	rig.Fault = nil
	set := func(flag *bool) func(*testing.T) func() {
		return func(*testing.T) func() {
			change := func(to bool) {
				f.mu.Lock()
				defer f.mu.Unlock()
				*flag = to
			}
			change(true)
			return func() { change(false) }
		}
	}
	rig.Unreadable, rig.IgnoreReload = set(&f.broken), set(&f.stuck)
	rig.Stop = func(t *testing.T) { set(&f.stopped)(t) }
	rig.Start = func(*testing.T) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.stopped = false
		f.take()
	}
	rig.Cannot = map[string]string{"in flight": "which connections pveproxy keeps is its own affair, and a fake would show nothing"}
	return rig
}

// make is a target for which no time passes, with a folder for what is kept.
func (f *fake) make(t *testing.T, state string, said map[string][]string) (delivery.Target, error) {
	t.Helper()
	env := &target.Env{Name: "one", State: state, Run: installers.Run, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	return Kind().Target(t.Context(), values(t, said), env)
}

func material(t *testing.T) *delivery.Material {
	t.Helper()
	m, err := delivery.NewMaterial("one", edgetest.NewChain(t, time.Now().Add(time.Hour), "a.test"), []string{"a.test"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (f *fake) put(t *testing.T, said map[string][]string, m *delivery.Material) (delivery.Change, error) {
	t.Helper()
	tg, err := f.make(t, t.TempDir(), said)
	if err != nil {
		t.Fatal(err)
	}
	return tg.Put(t.Context(), m, nil)
}

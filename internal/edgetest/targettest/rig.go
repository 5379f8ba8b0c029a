package targettest

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
)

// Rig is one target with a live server behind it, made anew for each case.
type Rig struct {
	// Target makes the target, as a process that has just started would.
	Target func(ctx context.Context, env *target.Env) (delivery.Target, error)
	// At is where the live server is asked for its certificate, without names.
	At []installers.Endpoint
	// Item, where set, changes how the engine is told of the delivery, such as Within.
	Item func(it *delivery.Item)
	// Snapshot is all that an undo has to bring back: files, what a service says. Keys and
	// certificates may be in it.
	Snapshot func(t *testing.T) string
	// Secrets are tokens and passwords, which must not be seen anywhere.
	Secrets []string

	// Of servers on this machine. A case whose function is nil needs its reason in Cannot.
	Stop, Start  func(t *testing.T)                      // the server
	IgnoreReload func(t *testing.T) (restore func())     // it says yes and goes on as before
	Unreadable   func(t *testing.T) (restore func())     // a file that it or edge needs cannot be used
	Hold         func(t *testing.T) (alive func() error) // a connection in flight
	// Parallel has the cases run side by side, for servers that let one wait.
	Parallel bool
	// Single says that the server has one certificate for all names.
	Single bool

	// Fault has a service misbehave, see Faults, until restore; nil: it is no service.
	Fault func(t *testing.T, f Fault) (restore func())

	// Cannot has the reason for each case that there cannot be, by its name: "in flight".
	Cannot map[string]string
	// AnyKey says that it takes RSA and P-256 only, say; nil: P-256 is used.
	NewChain func(t testing.TB, names ...string) edge.Bundle
}

// Fault is how a service misbehaves.
type Fault string

// The faults.
const (
	Unauthorized Fault = "401"
	TooMany      Fault = "429"            // the first request, with Retry-After
	Failing      Fault = "5xx"            // every request, with 500 or 503
	FailingOnce  Fault = "5xx once"       // the first request
	Silent       Fault = "timeout"        // no request is answered
	Half         Fault = "half an answer" // every answer ends early
	Slow         Fault = "slow"           // 200, and the certificate is shown a second later
	Never        Fault = "never"          // 200, and the certificate is never shown
)

// work is a rig with all that a case needs.
type work struct {
	*Rig
	t      *testing.T
	k      *killer
	dir    string
	mu     sync.Mutex
	seen   bytes.Buffer // all that was said and run
	extra  []installers.Endpoint
	within time.Duration // how long a server may take that is going to fail; 0: what is usual
}

func newWork(t *testing.T, rig *Rig) *work {
	return &work{Rig: rig, t: t, k: &killer{}, dir: t.TempDir()}
}

// Write takes what is logged.
func (w *work) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen.Write(p)
}

func (w *work) run(ctx context.Context, argv []string) (string, error) {
	_, _ = w.Write([]byte("run " + strings.Join(argv, " ") + "\n"))
	return installers.Run(ctx, argv)
}

// env is the world of one process.
func (w *work) env(name string) *target.Env {
	log := slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	runner := &installers.Runner{Work: filepath.Join(w.dir, "work"), Durable: w.k.durable(), Log: log}
	return &target.Env{
		Name: name, Durable: w.k.durable(), Run: w.k.run(w.run), Exec: w.k.exec, Signal: w.k.signal, Dial: w.k.dial, Transport: w.k.transport,
		Wait:   func(ctx context.Context, d time.Duration) error { return ctx.Err() },
		Getenv: os.Getenv, Now: time.Now, Log: log, Runner: runner, Verify: w.extra, Within: w.within, State: filepath.Join(w.dir, "state"),
		Lock: func(ctx context.Context, s installers.Server, _ string) (func() error, error) {
			_, err := runner.Recover(ctx, func(string) installers.Server { return s })
			return func() error { return nil }, err
		},
	}
}

// engine delivers as a new process would, and returns what came of it.
func (w *work) apply(m *delivery.Material) delivery.Result {
	w.t.Helper()
	env := w.env(m.Name)
	if err := os.MkdirAll(filepath.Join(w.dir, "records"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(w.dir, "work"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	e := &delivery.Engine{Dir: filepath.Join(w.dir, "records"), Durable: env.Durable, Run: env.Run, Now: time.Now, Log: env.Log}
	tg, err := w.Target(w.t.Context(), env)
	if err != nil {
		return delivery.Result{Name: m.Name, State: delivery.Failed, Error: err.Error()}
	}
	it := delivery.Item{Name: m.Name, Target: tg}
	if w.Item != nil {
		w.Item(&it)
	}
	if w.within != 0 {
		it.Within = w.within
	}
	look := e.Look(w.t.Context(), it, m)
	res := e.Apply(w.t.Context(), it, m)
	for _, r := range []delivery.Result{look, res} {
		raw, err := json.Marshal(r)
		if err != nil {
			w.t.Fatal(err)
		}
		_, _ = w.Write(append(raw, '\n'))
	}
	w.t.Logf("%s: %s %s", m.Name, res.State, res.Error)
	return res
}

// material is a new certificate for names, as lineage name.
func (w *work) material(name string, names ...string) *delivery.Material {
	w.t.Helper()
	var b edge.Bundle
	if w.NewChain != nil {
		b = w.NewChain(w.t, names...)
	} else {
		b = edgetest.NewChain(w.t, time.Now().Add(24*time.Hour), names...)
	}
	m, err := delivery.NewMaterial(name, b, names, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	// As in certbot's tree, for targets that name files.
	m.Live = filepath.Join(w.dir, "live", name)
	if err := os.MkdirAll(m.Live, 0o700); err != nil {
		w.t.Fatal(err)
	}
	for file, content := range map[string][]byte{"cert": m.CertPEM, "chain": m.ChainPEM, "fullchain": m.FullChainPEM, "privkey": m.KeyPEM} {
		if err := os.WriteFile(filepath.Join(m.Live, file+".pem"), content, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	return m
}

// deliver wants a delivery to succeed, and to be seen.
func (w *work) deliver(m *delivery.Material) {
	w.t.Helper()
	if res := w.apply(m); !res.OK() {
		w.t.Fatalf("delivery of %v: %s: %s", m.Hosts, res.State, res.Error)
	}
	w.shows(m)
}

// shows wants the live server to show a certificate for all its names.
func (w *work) shows(m *delivery.Material) {
	w.t.Helper()
	for _, host := range m.Hosts {
		if rest, wild := strings.CutPrefix(host, "*."); wild {
			host = "any." + rest
		}
		w.showsFor(host, m.Certs[0])
	}
}

func (w *work) showsFor(host string, want *x509.Certificate) {
	w.t.Helper()
	for _, at := range w.At {
		at.Name = host
		w.eventually(func() string {
			got, err := installers.Shows(w.t.Context(), at, want)
			switch {
			case err != nil:
				return err.Error()
			case !got.Equal(want):
				return "it shows " + got.Subject.String() + " with serial " + got.SerialNumber.Text(16) + ", want " + want.SerialNumber.Text(16)
			}
			return ""
		}, "%s at %s", host, at.Addr)
	}
}

// eventually waits until why is empty.
func (w *work) eventually(why func() string, what string, args ...any) {
	w.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		says := why()
		if says == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf(what+": %s", append(args, says)...)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *work) snapshot() string {
	w.t.Helper()
	if w.Snapshot == nil {
		return ""
	}
	return w.Snapshot(w.t)
}

// clean looks for secrets in all that was said, run and noted.
func (w *work) clean() {
	w.t.Helper()
	w.mu.Lock()
	texts := map[string]string{"what was said": w.seen.String()}
	w.mu.Unlock()
	for _, sub := range []string{"records", "work"} {
		err := filepath.WalkDir(filepath.Join(w.dir, sub), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			raw, err := os.ReadFile(path)
			texts[path] = string(raw)
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			w.t.Fatal(err)
		}
	}
	for where, text := range texts {
		for _, s := range w.Secrets {
			if strings.Contains(text, s) {
				w.t.Errorf("a secret is in %s", where)
			}
		}
		if strings.Contains(text, "PRIVATE KEY") {
			w.t.Errorf("a private key is in %s", where)
		}
	}
}

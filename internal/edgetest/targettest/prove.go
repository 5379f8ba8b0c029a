package targettest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/target"
)

// Proof is an authenticator with whatever answers a CA behind it, made anew for each
// case.
type Proof struct {
	// Authenticator makes it, as a process that has just started would.
	Authenticator func(ctx context.Context, env *target.Env) (target.Authenticator, error)
	Type          edge.ChallengeType // that is tried
	// Answers asks as a CA would; nil where the answer is there.
	Answers func(a edge.Answer) error
	// Left is what is there beside what was at first, "" for nothing.
	Left func() string
	// Down makes what answers unreachable.
	Down func(t *testing.T) (restore func())
	// Secrets must not be seen anywhere.
	Secrets []string
	Cannot  map[string]string
}

// Answer makes the answer to a challenge, with a token that is used once.
func Answer(kind edge.ChallengeType, name, token string) edge.Answer {
	a := edge.Answer{Identifier: edge.Identifier{Type: edge.DNS, Value: name}, Type: kind, Token: token}
	a.KeyAuth = token + ".bKTW1EJ9P1WQcHxtzT9bCNbEoM8gJNqNf0ASj1sEmxE"
	return a
}

// Prove tries an authenticator with all cases.
func Prove(t *testing.T, start func(t *testing.T) *Proof) {
	for name, try := range map[string]func(w *work, p *Proof){
		"answers": answers, "two at once": twoAtOnce, "hostile": hostile, "down": down, "killed in between": dies,
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			if why, cannot := p.Cannot[name]; cannot {
				t.Logf("n/a: %s", why)
				return
			}
			w := newWork(t, &Rig{Secrets: p.Secrets})
			try(w, p)
			w.clean()
		})
	}
}

func (w *work) authenticator(p *Proof) target.Authenticator {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, sub := range []string{"work", "records"} {
		if err := os.MkdirAll(filepath.Join(w.dir, sub), 0o700); err != nil {
			w.t.Fatal(err)
		}
	}
	env := w.env("")
	env.Log = log
	env.Runner = &installers.Runner{Work: filepath.Join(w.dir, "work"), Durable: w.k.durable(), Log: log}
	a, err := p.Authenticator(w.t.Context(), env)
	if err != nil {
		w.t.Fatal(err)
	}
	if !slices.Contains(a.Types(), p.Type) {
		w.t.Fatalf("it does %v, not %s", a.Types(), p.Type)
	}
	return a
}

func (w *work) present(p *Proof, a target.Authenticator, batch ...edge.Answer) {
	w.t.Helper()
	if err := a.Present(w.t.Context(), batch); err != nil {
		w.t.Fatal(err)
	}
	if err := a.Ready(w.t.Context(), batch); err != nil {
		w.t.Fatal(err)
	}
	for _, one := range batch {
		w.eventually(func() string { return text(p.Answers(one)) }, "the answer for %s", one.Identifier.Value)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (w *work) cleanup(p *Proof, a target.Authenticator, batch ...edge.Answer) {
	w.t.Helper()
	if err := a.Cleanup(context.WithoutCancel(w.t.Context()), batch); err != nil {
		w.t.Fatal(err)
	}
	for _, one := range batch {
		w.eventually(func() string {
			if p.Answers(one) == nil {
				return "it is still there"
			}
			return ""
		}, "the answer for %s", one.Identifier.Value)
	}
	w.eventually(p.Left, "left behind")
}

func answers(w *work, p *Proof) {
	for _, token := range []string{"tokenOne_-1", "tokenTwo_-2"} {
		a, one := w.authenticator(p), Answer(p.Type, nameA, token)
		w.present(p, a, one)
		w.cleanup(p, a, one)
		if err := a.Cleanup(w.t.Context(), []edge.Answer{one}); err != nil { // once more does no harm
			w.t.Error(err)
		}
	}
}

func twoAtOnce(w *work, p *Proof) {
	a := w.authenticator(p)
	batch := []edge.Answer{Answer(p.Type, nameA, "tokenOne"), Answer(p.Type, nameB, "tokenTwo")}
	w.present(p, a, batch...)
	w.cleanup(p, a, batch...)
}

// hostile: what comes from the network gets into no configuration, command or path.
func hostile(w *work, p *Proof) {
	for _, token := range []string{"../../x", "a b", "a\"b", "a\nb", "a;b", "a{b", "$(x)", ""} {
		a, one := w.authenticator(p), Answer(p.Type, nameA, token)
		err := a.Present(w.t.Context(), []edge.Answer{one})
		if cerr := a.Cleanup(w.t.Context(), []edge.Answer{one}); cerr != nil {
			w.t.Errorf("token %q: %v", token, cerr)
		}
		if err == nil {
			w.t.Errorf("token %q was taken", token)
		}
		w.eventually(p.Left, "left behind after %q", token)
	}
}

func down(w *work, p *Proof) {
	restore := p.Down(w.t)
	a, one := w.authenticator(p), Answer(p.Type, nameA, "tokenOne")
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	err := a.Present(ctx, []edge.Answer{one})
	if err == nil {
		err = a.Ready(ctx, []edge.Answer{one})
	}
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		w.t.Errorf("nothing is there, and it says: %v", err)
	}
	_ = a.Cleanup(ctx, []edge.Answer{one}) // it may fail: nothing is there
	restore()
	a = w.authenticator(p)
	w.present(p, a, one)
	w.cleanup(p, a, one)
}

// dies: what a process that was killed left is no obstacle to the next one.
func dies(w *work, p *Proof) {
	every := 5
	if os.Getenv("EDGE_SOAK") != "" {
		every = 1
	}
	for n := 1; ; n += every {
		a, one := w.authenticator(p), Answer(p.Type, nameA, "tokenDead")
		w.k.arm(n)
		err := a.Present(w.t.Context(), []edge.Answer{one})
		_ = a.Cleanup(w.t.Context(), []edge.Answer{one})
		if !w.k.disarm() {
			if err != nil {
				w.t.Fatal(err)
			}
			return
		}
		a, one = w.authenticator(p), Answer(p.Type, nameA, "tokenNext")
		w.present(p, a, one)
		if err := a.Cleanup(w.t.Context(), []edge.Answer{one}); err != nil {
			w.t.Fatal(err)
		}
	}
}

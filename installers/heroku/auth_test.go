package heroku

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/internal/edgetest/targettest"
)

func (b *bench) authenticator() *Authenticator {
	b.t.Helper()
	a, err := NewAuthenticator(b.o)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func one(host, token string) edge.Answer { return targettest.Answer(edge.HTTP01, host, token) }

func batch(tokens ...string) []edge.Answer {
	var list []edge.Answer
	for i, token := range tokens {
		list = append(list, one([]string{"a.example.test", "b.example.test"}[i], token))
	}
	return list
}

func (b *bench) has(want string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got, ok := b.vars[variable]; got != want || ok != (want != "") {
		b.t.Errorf("the variable is %q, want %q", got, want)
	}
	if _, ok := b.vars["DATABASE_URL"]; !ok {
		b.t.Error("another variable is lost")
	}
}

// What the variable had before is back afterwards, also when the process that put the
// answer there has died.
func TestValueBefore(t *testing.T) {
	b := newBench(t)
	b.vars[variable] = "none yet"
	dead := b.authenticator()
	if err := dead.Present(t.Context(), batch("tokDead")); err != nil {
		t.Fatal(err)
	}
	b.has(value(batch("tokDead")))
	a := b.authenticator()
	if err := a.Present(t.Context(), batch("tokNext")); err != nil || b.waits != patience-1 {
		t.Fatalf("%v after %d waits", err, b.waits)
	}
	b.has(value(batch("tokNext")))
	if err := dead.Cleanup(t.Context(), batch("tokDead")); err != nil { // it lived after all
		t.Error(err)
	}
	b.has(value(batch("tokNext")))
	if err := a.Cleanup(t.Context(), batch("tokNext")); err != nil {
		t.Error(err)
	}
	b.has("none yet")
	if _, left := b.vars[variable+"_BEFORE"]; left {
		t.Error("something is left")
	}
}

// Another account's order is not disturbed, and that the other ends is waited for.
func TestOthersOrder(t *testing.T) {
	b := newBench(t)
	theirs := "tok." + strings.Repeat("x", 43)
	b.vars[variable] = theirs
	a := b.authenticator()
	if err := a.Present(t.Context(), batch("tokOne")); err == nil || !strings.Contains(err.Error(), "another ACME account") || !strings.Contains(err.Error(), "heroku config:unset "+variable+" -a "+fakeApp) {
		t.Error(err)
	}
	if err := a.Cleanup(t.Context(), batch("tokOne")); err != nil {
		t.Error(err)
	}
	b.has(theirs)
	other := b.authenticator()
	delete(b.vars, variable)
	if err := other.Present(t.Context(), batch("tokOther")); err != nil {
		t.Fatal(err)
	}
	b.env.Wait = func(ctx context.Context, _ time.Duration) error {
		if b.waits++; b.waits == 3 {
			return other.Cleanup(ctx, batch("tokOther"))
		}
		return nil
	}
	if err := a.Present(t.Context(), batch("tokOne")); err != nil || b.waits != 3 {
		t.Errorf("%v after %d waits", err, b.waits)
	}
	b.has(value(batch("tokOne")))
}

// Two orders for one app, in one process: one after the other.
func TestOneAfterTheOther(t *testing.T) {
	b := newBench(t)
	a := b.authenticator()
	if err := a.Present(t.Context(), batch("tokOne")); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errors.New("it took too long"))
	defer cancel()
	if err := a.Present(short, batch("tokThree")); err == nil || !strings.Contains(err.Error(), "another order has it: it took too long") {
		t.Error(err)
	}
	if err := a.Cleanup(t.Context(), batch("tokThree")); err != nil { // takes nobody's right away
		t.Error(err)
	}
	b.has(value(batch("tokOne")))
	second := make(chan error)
	go func() { second <- a.Present(t.Context(), batch("tokTwo")) }()
	select {
	case err := <-second:
		t.Fatalf("the second did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	b.has(value(batch("tokOne")))
	if err := a.Cleanup(t.Context(), batch("tokOne")); err != nil {
		t.Error(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
	b.has(value(batch("tokTwo")))
	if err := a.Cleanup(t.Context(), batch("tokTwo")); err != nil {
		t.Error(err)
	}
	b.has("")
}

// The app answers with all of its variable, so it cannot answer for two names at once.
func TestSimpleApp(t *testing.T) {
	b := newBench(t)
	b.whole = true
	a := b.authenticator()
	for _, tokens := range [][]string{{"tokOne"}, {"tokOne", "tokTwo"}} {
		if err := a.Present(t.Context(), batch(tokens...)); err != nil {
			t.Fatal(err)
		}
		err := a.Ready(t.Context(), batch(tokens...))
		if (err == nil) != (len(tokens) == 1) || err != nil && !strings.Contains(err.Error(), "certificates of their own") {
			t.Errorf("%q: %v", tokens, err)
		}
		if err := a.Cleanup(t.Context(), batch(tokens...)); err != nil {
			t.Error(err)
		}
	}
}

// With preboot, old dynos go on answering when the new ones are up.
func TestPreboot(t *testing.T) {
	b := newBench(t)
	b.enabled = true
	a := b.authenticator()
	if err := a.Present(t.Context(), batch("tokOne")); err != nil {
		t.Fatal(err)
	}
	if err := a.Ready(t.Context(), batch("tokOne")); err != nil || b.preboot != 0 || b.live[variable] == "" {
		t.Errorf("%v, %d more requests", err, b.preboot)
	}
	b.o.SelfCheck = false
	waited := time.Duration(0)
	b.env.Wait = func(_ context.Context, d time.Duration) error { waited += d; return nil }
	if err := b.authenticator().Ready(t.Context(), batch("tokOne")); err != nil || waited < 5*time.Minute {
		t.Errorf("%v after %v", err, waited)
	}
}

func TestDynos(t *testing.T) {
	for says, change := range map[string]func(b *bench){
		"there is no web dyno":         func(b *bench) { b.dynos = "job" },
		"web.1 has crashed":            func(b *bench) { b.state = "crashed" },
		"web.1 is still down after 5m": func(b *bench) { b.state = "down" },
		"":                             func(b *bench) { b.state = "idle" }, // it wakes up with the new release
	} {
		b := newBench(t)
		change(b)
		a := b.authenticator()
		if err := a.Present(t.Context(), batch("tokOne")); err != nil {
			t.Fatal(err)
		}
		err := a.Ready(t.Context(), batch("tokOne"))
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func TestApps(t *testing.T) {
	b := newBench(t)
	b.o.App, b.o.Apps = "elsewhere", map[string]string{"a.example.test": fakeApp}
	a := b.authenticator()
	if err := a.Present(t.Context(), batch("tokOne")); err != nil {
		t.Fatal(err)
	}
	b.has(value(batch("tokOne")))
	if err := a.Present(t.Context(), []edge.Answer{one("c.example.test", "tok")}); err == nil || !strings.Contains(err.Error(), "is there an app elsewhere") {
		t.Error(err)
	}
}

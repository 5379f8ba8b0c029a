package delivery

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"edge/installers"
)

// patient is a Target that takes long.
type patient struct{ Target }

func (patient) Kind() string          { return "slow" }
func (patient) Within() time.Duration { return time.Hour }

// A target that is told where it is shown is asked for there, for each name, and has the
// time that it takes.
func TestShownAt(t *testing.T) {
	if got, err := ShownAt(patient{}, nil); err != nil || got != (patient{}) {
		t.Errorf("%v %v", got, err)
	}
	got, err := ShownAt(patient{}, []string{"h.test:443", "[::1]:25/smtp"})
	if err != nil {
		t.Fatal(err)
	}
	at, err := got.(Placed).Places(t.Context(), &Material{Hosts: []string{"a.test", "*.b.test"}}, nil)
	if err != nil || len(at) != 4 || at[0] != (installers.Endpoint{Addr: "h.test:443", Name: "a.test"}) || at[3] != (installers.Endpoint{Addr: "[::1]:25", Name: "edge-probe.b.test", StartTLS: "smtp"}) {
		t.Errorf("%+v %v", at, err)
	}
	it := Item{Target: got}
	if it.within() != time.Hour || !it.verified() {
		t.Errorf("%v", it.within())
	}
	it.Target = &Shown{Target: struct{ Target }{}}
	if it.within() != 10*time.Second {
		t.Errorf("%v", it.within())
	}
	for _, bad := range []string{"h.test", "h.test:", "h.test:25/smpt", "h.test:25/", ""} {
		if _, err := ShownAt(patient{}, []string{bad}); err == nil || !strings.Contains(err.Error(), "slow: verify") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// placeless is a target that found places, until there were none any more.
type placeless struct {
	nowhere
	at *[]installers.Endpoint
}

func (p placeless) Places(context.Context, *Material, json.RawMessage) ([]installers.Endpoint, error) {
	return *p.at, nil
}

// Where a target finds no place to look at, nobody has seen the certificate: that is not in
// sync, also where it was seen before.
func TestNoPlace(t *testing.T) {
	m := material(t, "a.test")
	e := &Engine{Dir: t.TempDir(), Now: time.Now}
	at := []installers.Endpoint{}
	it := Item{Name: "a", Target: placeless{at: &at}}
	sees := func(what string, want State, do func(context.Context, Item, *Material) Result) {
		t.Helper()
		if res := do(t.Context(), it, m); res.State != want || res.Verified.IsZero() != (want != InSync) {
			t.Errorf("%s: %+v", what, res)
		}
	}
	sees("no place", Unverified, e.Apply)
	sees("still none", Unverified, e.Check)
	at = []installers.Endpoint{{Addr: served(t, pairOf(t, m)), Name: "a.test"}}
	sees("a place", InSync, e.Check)
	sees("the same", InSync, e.Apply)
	at = nil
	if res := e.Look(t.Context(), it, m); res.State != Unverified {
		t.Errorf("gone: %+v", res)
	}
	sees("gone again", Unverified, e.Apply)
}

// A server that is asked by the target itself was seen when it was last looked at, and by
// nobody where there is no place to ask at any more.
func TestLocalIsSeen(t *testing.T) {
	m := material(t, "a.test")
	plan := &installers.Plan{Serves: []installers.Endpoint{{Addr: served(t, pairOf(t, m)), Name: "a.test"}}}
	now := time.Now()
	e := &Engine{Dir: t.TempDir(), Now: func() time.Time { return now }}
	it := Item{Name: "a", Target: &Local{Planner: planner{plan: plan}}}
	r := &record{Leaf: hex.EncodeToString(m.Leaf[:]), Chain: m.chainSum(), Settings: "hot", Verified: now.Add(-time.Hour)}
	if err := e.save(&it, r); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func(context.Context, Item, *Material) Result{"check": e.Check, "apply": e.Apply} {
		now = now.Add(time.Minute)
		if res := do(t.Context(), it, m); res.State != InSync || !res.Verified.Equal(now) || res.Changed {
			t.Errorf("%s: %+v", what, res)
		}
	}
	plan.Serves = nil
	if res := e.Check(t.Context(), it, m); res.State != Unverified {
		t.Errorf("without a place: %+v", res)
	}
}

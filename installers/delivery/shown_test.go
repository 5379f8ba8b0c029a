package delivery

import (
	"context"
	"crypto/tls"
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
	b := chain(t, "a.test")
	m, err := NewMaterial("a", b, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(b.Chain, b.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
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
	at = []installers.Endpoint{{Addr: l.Addr().String(), Name: "a.test"}}
	sees("a place", InSync, e.Check)
	sees("the same", InSync, e.Apply)
	at = nil
	if res := e.Look(t.Context(), it, m); res.State != Unverified {
		t.Errorf("gone: %+v", res)
	}
	sees("gone again", Unverified, e.Apply)
}

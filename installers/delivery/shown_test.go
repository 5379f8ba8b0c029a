package delivery

import (
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

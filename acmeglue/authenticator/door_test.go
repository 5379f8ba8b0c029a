package authenticator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"edge"
	"edge/acmeglue"
	"edge/internal/admin"
	"edge/internal/edgetest"
)

// frontDoor is what a door is to us: listeners, a registry, and an admin socket
// that fills it. Its listeners are those of a Standalone.
type frontDoor struct {
	admin.Backend // Reload and Certificate are not called
	s             *Standalone
	plain, tls    []string

	mu  sync.Mutex
	has []edge.Answer
}

func (d *frontDoor) Status() admin.Status {
	st := admin.Status{}
	for _, a := range d.plain {
		st.Listeners = append(st.Listeners, admin.Listener{Name: "http", Address: a})
	}
	for _, a := range d.tls {
		st.Listeners = append(st.Listeners, admin.Listener{Name: "https", Address: a})
	}
	return st
}

func (d *frontDoor) PutChallenge(a edge.Answer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.has = append(d.has, a)
	return d.s.Present(context.Background(), []edge.Answer{a})
}

func (d *frontDoor) RemoveChallenge(a edge.Answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := slices.Index(d.has, a); n >= 0 {
		d.has = slices.Delete(d.has, n, n+1)
	}
	_ = d.s.Cleanup(context.Background(), []edge.Answer{a})
}

func (d *frontDoor) answers() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.has)
}

// client is the wiring that cmd/edge has.
type client struct{ *admin.Client }

func (c client) Listeners(ctx context.Context) (plain, tls []string, err error) {
	st, err := c.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range st.Listeners {
		if l.Name == "https" {
			tls = append(tls, l.Address)
		} else {
			plain = append(plain, l.Address)
		}
	}
	return plain, tls, nil
}

func wire(a edge.Answer) admin.Challenge {
	return admin.Challenge{Type: a.Type, Identifier: a.Identifier.Value, Token: a.Token, KeyAuth: a.KeyAuth}
}

func (c client) PutChallenge(ctx context.Context, a edge.Answer) error {
	return c.Client.PutChallenge(ctx, wire(a))
}

func (c client) RemoveChallenge(ctx context.Context, a edge.Answer) error {
	return c.Client.RemoveChallenge(ctx, wire(a))
}

// openDoor starts a door on free ports.
func openDoor(t *testing.T) (*frontDoor, client) {
	t.Helper()
	d := &frontDoor{s: newStandalone(t, nil)}
	d.plain = []string{fmt.Sprintf("[::]:%d", d.s.o.HTTP.Port)}
	d.tls = []string{fmt.Sprintf("[::]:%d", d.s.o.TLSALPN.Port)}
	path := t.TempDir() + "/admin.sock"
	srv, err := admin.Listen(admin.Options{Path: path, Backend: d})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	c := client{admin.NewClient(path)}
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return d, c
}

func TestDoorIssues(t *testing.T) {
	d, c := openDoor(t)
	auth, err := OpenDoor(t.Context(), c, false)
	if err != nil {
		t.Fatal(err)
	}
	ca := newCA(t, edgetest.CAOptions{HTTPPort: d.s.o.HTTP.Port, TLSPort: d.s.o.TLSALPN.Port})
	for _, kind := range auth.Types() {
		mustIssue(t, ca, auth, []edge.ChallengeType{kind}, "a.test", "b.test")
	}
	if d.answers() != 0 {
		t.Errorf("the door still has %d answers", d.answers())
	}
}

func TestDoorTypes(t *testing.T) {
	d, c := openDoor(t)
	for _, w := range []struct {
		plain, tls []string
		sni        bool
		types      []edge.ChallengeType
	}{
		{[]string{":80"}, []string{":443"}, false, []edge.ChallengeType{edge.HTTP01, edge.TLSALPN01}},
		{nil, []string{":443"}, true, []edge.ChallengeType{edge.TLSALPN01, edge.TLSSNI01}},
		{[]string{":80"}, nil, true, []edge.ChallengeType{edge.HTTP01}},
		{nil, nil, true, nil},
	} {
		d.plain, d.tls = w.plain, w.tls
		auth, err := OpenDoor(t.Context(), c, w.sni)
		if w.types == nil {
			if err == nil {
				t.Error("a door without a listener was taken")
			}
			continue
		}
		if err != nil || !slices.Equal(auth.Types(), w.types) {
			t.Errorf("%+v: %v %v", w, auth.Types(), err)
		}
		if err := auth.Present(t.Context(), []edge.Answer{answer(t, edge.DNS01, "a.test")}); err == nil {
			t.Error("it took DNS-01")
		}
	}
	if _, err := OpenDoor(t.Context(), client{admin.NewClient(t.TempDir() + "/none")}, false); err == nil || !strings.Contains(err.Error(), "no edge is running") {
		t.Errorf("got %v", err)
	}
}

// What the door refuses fails, and only what was put is taken back.
func TestDoorRefuses(t *testing.T) {
	d, c := openDoor(t)
	auth, err := OpenDoor(t.Context(), c, false)
	if err != nil {
		t.Fatal(err)
	}
	good, bad := answer(t, edge.HTTP01, "a.test"), answer(t, edge.TLSALPN01, "b.test")
	bad.KeyAuth = "x"
	err = auth.Present(t.Context(), []edge.Answer{good, bad})
	var failed *acmeglue.AuthorizationError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].Identifier != bad.Identifier {
		t.Errorf("got %v", err)
	}
	if err := auth.Cleanup(t.Context(), []edge.Answer{good, bad}); err != nil {
		t.Error(err)
	}
	if n := d.answers(); n != 1 { // the bad one was kept by this door, and is not ours
		t.Errorf("the door has %d answers", n)
	}
}

// A standalone lineage: through the door where it has the port, else by itself.
func TestChoose(t *testing.T) {
	d, c := openDoor(t)
	// The door is there, and has the port of HTTP.
	s := newStandalone(t, func(o *StandaloneOptions) { o.HTTP.Port = d.s.o.HTTP.Port })
	auth := Choose(s, c)
	if auth.Name() != "standalone" {
		t.Error(auth.Name())
	}
	batch := []edge.Answer{answer(t, edge.HTTP01, "a.test"), answer(t, edge.TLSALPN01, "a.test")}
	if err := auth.Present(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if d.answers() != 1 || len(s.held) != 1 || s.held[batch[1]] != 1 {
		t.Errorf("the door has %d answers, own listeners %d", d.answers(), len(s.held))
	}
	if err := auth.Cleanup(t.Context(), batch); err != nil || d.answers() != 0 || len(s.servers) != 0 {
		t.Errorf("left behind: %v", err)
	}
	ca := newCA(t, edgetest.CAOptions{HTTPPort: d.s.o.HTTP.Port, TLSPort: s.o.TLSALPN.Port})
	for _, kind := range []edge.ChallengeType{edge.HTTP01, edge.TLSALPN01} {
		mustIssue(t, ca, auth, []edge.ChallengeType{kind}, "a.test")
	}
	// No door: all by itself.
	none := client{admin.NewClient(t.TempDir() + "/none")}
	alone := Choose(s, none)
	mustIssue(t, ca, alone, []edge.ChallengeType{edge.HTTP01}, "a.test")
}

// The door is where a listener of ours could not be.
func TestHolds(t *testing.T) {
	for _, c := range []struct {
		door string
		at   Listen
		want bool
	}{
		{"[::]:80", Listen{"", 80}, true},
		{"0.0.0.0:80", Listen{"192.0.2.1", 80}, true},
		{":80", Listen{"::", 80}, true},
		{"192.0.2.1:80", Listen{"", 80}, true},
		{"192.0.2.1:80", Listen{"192.0.2.1", 80}, true},
		{"192.0.2.1:80", Listen{"::ffff:192.0.2.1", 80}, true},
		{"[2001:db8::1]:80", Listen{"2001:db8:0::1", 80}, true},
		{"192.0.2.1:80", Listen{"192.0.2.2", 80}, false},
		{"[::]:8080", Listen{"", 80}, false},
		{"fd:http", Listen{"", 80}, false},
	} {
		if got := holds(c.door, c.at); got != c.want {
			t.Errorf("%s and %+v: %v", c.door, c.at, got)
		}
	}
}

package authenticator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
	path          string
	stop          func()

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
	d.path = t.TempDir() + "/admin.sock"
	d.start(t)
	c := client{admin.NewClient(d.path)}
	t.Cleanup(func() {
		c.Close()
		d.die()
	})
	return d, c
}

func (d *frontDoor) start(t *testing.T) {
	t.Helper()
	srv, err := admin.Listen(admin.Options{Path: d.path, Backend: d})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// die takes the door away, with its ports and all that it was told.
func (d *frontDoor) die() {
	d.stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.s.Cleanup(context.Background(), d.has)
	d.has = nil
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

// A door that dies has taken its answers with it: nothing is left to clean up.
func TestDoorDies(t *testing.T) {
	d, c := openDoor(t)
	auth, err := OpenDoor(t.Context(), c, false)
	if err != nil {
		t.Fatal(err)
	}
	batch := []edge.Answer{answer(t, edge.HTTP01, "a.test"), answer(t, edge.TLSALPN01, "b.test")}
	placeAll(t, auth, batch...)
	d.die()
	cleanAll(t, auth, batch...)
	if len(auth.put) != 0 {
		t.Errorf("%d answers are remembered", len(auth.put))
	}
	if err := auth.Present(t.Context(), batch); err == nil || !strings.Contains(err.Error(), "the front door did not take the answer: ") {
		t.Errorf("got %v", err)
	}
	// What it was told in between, and another one has now, is taken away from that.
	d.start(t)
	placeAll(t, auth, batch...)
	d.die()
	d.start(t)
	cleanAll(t, auth, batch...)
}

// stuck is a door that takes answers and never says so.
type stuck struct {
	client
	removed int
}

func (s *stuck) PutChallenge(ctx context.Context, a edge.Answer) error {
	if err := s.client.PutChallenge(ctx, a); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *stuck) RemoveChallenge(ctx context.Context, a edge.Answer) error {
	if s.removed++; s.removed == 1 {
		return errors.New("busy")
	}
	return s.client.RemoveChallenge(ctx, a)
}

// Where nobody knows whether the door has an answer, it is taken back; where the
// door keeps it, that is said.
func TestDoorIsStuck(t *testing.T) {
	d, c := openDoor(t)
	auth, err := OpenDoor(t.Context(), &stuck{client: c}, false)
	if err != nil {
		t.Fatal(err)
	}
	a := answer(t, edge.HTTP01, "a.test")
	for n, says := range []string{"the front door still answers http-01 for a.test: busy", ""} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := auth.Present(ctx, []edge.Answer{a}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		err := auth.Cleanup(t.Context(), []edge.Answer{a})
		if says == "" && err != nil || says != "" && (err == nil || err.Error() != says) {
			t.Errorf("round %d: %v", n, err)
		}
	}
	if n := d.answers(); n != 1 { // that of the first round
		t.Errorf("the door has %d answers", n)
	}
}

// between does something between the steps of an order.
type between struct {
	acmeglue.Authenticator
	ready func()
}

func (b between) Ready(ctx context.Context, batch []edge.Answer) error {
	b.ready()
	return b.Authenticator.Ready(ctx, batch)
}

// dying is a door that does something when it is told the first answer.
type dying struct {
	client
	once, missed func() // missed: somebody has seen that it is dead
}

func (d dying) Listeners(ctx context.Context) (plain, tls []string, err error) {
	if plain, tls, err = d.client.Listeners(ctx); err != nil {
		d.missed()
	}
	return plain, tls, err
}

func (d dying) PutChallenge(ctx context.Context, a edge.Answer) error {
	d.once()
	return d.client.PutChallenge(ctx, a)
}

// The door dies in the middle of an order: own listeners take over. Where it is
// started again at once, it goes on.
func TestChooseDoorDies(t *testing.T) {
	for _, c := range []struct {
		what           string
		present, ready bool // when it dies
		back           bool // it is started again
		byDoor, byOwn  int  // answers, when the CA looks
	}{
		{"before it is told, for good", true, false, false, 0, 2},
		{"before it is told, for a moment", true, false, true, 2, 0},
		{"afterwards, for good", false, true, false, 0, 2},
		{"afterwards, for a moment", false, true, true, 2, 0},
		{"never", false, false, false, 2, 0},
	} {
		d, door := openDoor(t)
		s := newStandalone(t, func(o *StandaloneOptions) {
			o.HTTP.Port, o.TLSALPN.Port, o.TLSSNI.Port = d.s.o.HTTP.Port, d.s.o.TLSALPN.Port, d.s.o.TLSALPN.Port
		})
		die := sync.OnceFunc(d.die)
		back := sync.OnceFunc(func() { d.start(t) })
		auth := Choose(s, dying{door, func() {
			if c.present {
				die()
			}
		}, func() {
			if c.back {
				back()
			}
		}}).(*chosen)
		auth.patience = 200 * time.Millisecond
		ca := newCA(t, edgetest.CAOptions{HTTPPort: d.s.o.HTTP.Port, TLSPort: d.s.o.TLSALPN.Port})
		looked := false
		ca.Fault(func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.URL.Path, "/chalZ/") && !looked {
				looked = true
				s.mu.Lock()
				own := len(s.held)
				s.mu.Unlock()
				if d.answers() != c.byDoor || own != c.byOwn {
					t.Errorf("%s: the door has %d answers, own listeners %d", c.what, d.answers(), own)
				}
			}
			return false
		})
		mustIssue(t, ca, between{Authenticator: auth, ready: func() {
			if c.ready {
				die()
			}
		}}, []edge.ChallengeType{edge.HTTP01}, "a.test", "b.test")
		if d.answers() != 0 || len(s.held) != 0 || len(s.servers) != 0 || len(auth.door.put) != 0 {
			t.Errorf("%s: something is left", c.what)
		}
	}
}

// A door that refuses is not given up on.
func TestChooseDoorRefuses(t *testing.T) {
	d, c := openDoor(t)
	s := newStandalone(t, func(o *StandaloneOptions) {
		o.HTTP.Port, o.TLSALPN.Port, o.TLSSNI.Port = d.s.o.HTTP.Port, d.s.o.TLSALPN.Port, d.s.o.TLSALPN.Port
	})
	auth := Choose(s, c)
	bad := answer(t, edge.TLSALPN01, "a.test")
	bad.KeyAuth = "x"
	err := auth.Present(t.Context(), []edge.Answer{bad})
	if err == nil || !strings.Contains(err.Error(), "the front door did not take the answer") || len(s.held) != 0 {
		t.Errorf("got %v, own listeners have %d", err, len(s.held))
	}
	cleanAll(t, auth, bad)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := auth.Present(ctx, []edge.Answer{answer(t, edge.HTTP01, "a.test")}); err == nil {
		t.Error("after the end it was presented")
	}
	if len(s.held) != 0 {
		t.Errorf("own listeners have %d", len(s.held))
	}
}

package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/internal/edgetest"
)

// planner is a server whose plan is what a test says.
type planner struct {
	plan *installers.Plan
	err  error
}

func (planner) Name() string                   { return "oven" }
func (planner) Root() string                   { return "/etc/oven" }
func (planner) Settings() string               { return "hot" }
func (planner) Test(context.Context) error     { return nil }
func (planner) Activate(context.Context) error { return nil }
func (planner) Commands() (test, activate []string) {
	return []string{"oven", "-t"}, []string{"oven", "reload"}
}
func (p planner) Plan(context.Context, *Material) (*installers.Plan, error) { return p.plan, p.err }

// served is a TLS server that shows a certificate.
func served(t *testing.T, c tls.Certificate) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_ = conn.(*tls.Conn).HandshakeContext(t.Context())
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

func pairOf(t *testing.T, m *Material) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(m.FullChainPEM, m.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func material(t *testing.T, hosts ...string) *Material {
	t.Helper()
	m, err := NewMaterial("a", edgetest.NewChain(t, time.Now().Add(time.Hour), hosts...), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A server is in sync when its files are, and when it shows the certificate at all places:
// those of its own plan and those that somebody named.
func TestLocalLook(t *testing.T) {
	m, other := material(t, "a.test"), material(t, "a.test")
	right, wrong := served(t, pairOf(t, m)), served(t, pairOf(t, other))
	change := []installers.Change{{Path: "/etc/oven/pem", Op: installers.Rewrite}}
	for _, c := range []struct {
		name   string
		plan   installers.Plan
		verify string
		want   []string // each line begins so
	}{
		{"all is there", installers.Plan{Serves: []installers.Endpoint{{Addr: right, Name: "a.test"}}}, right, nil},
		{"a file is not", installers.Plan{Changes: change}, right, []string{"/etc/oven/pem is not as it should be"}},
		{"a command is to be run", installers.Plan{Commands: []installers.Command{{Do: []string{"x"}}}}, "", []string{"oven is not configured with it"}},
		{"its own place shows another", installers.Plan{Serves: []installers.Endpoint{{Addr: wrong, Name: "a.test"}}}, right, []string{"a.test at " + wrong}},
		{"a named place shows another", installers.Plan{Serves: []installers.Endpoint{{Addr: right, Name: "a.test"}}}, wrong, []string{"a.test at " + wrong}},
		{"a place for another certificate", installers.Plan{Serves: []installers.Endpoint{{Addr: wrong, Leaf: [32]byte{1}}}}, "", nil},
	} {
		l := &Local{Planner: planner{plan: &c.plan}}
		if c.verify != "" {
			l.Verify = []installers.Endpoint{{Addr: c.verify}}
		}
		got, err := l.Look(t.Context(), m, nil)
		same := slices.EqualFunc(got, c.want, strings.HasPrefix)
		if err != nil || !same {
			t.Errorf("%s: %q %v", c.name, got, err)
		}
	}
	l := &Local{Planner: planner{err: errors.New("cold")}}
	if _, err := l.Look(t.Context(), m, nil); err == nil || err.Error() != "oven: cold" {
		t.Error(err)
	}
	if got := l.Plan(t.Context(), m); !slices.Equal(got, []string{"nothing can be planned: oven: cold"}) {
		t.Errorf("%q", got)
	}
}

// A plan's steps are told in the order in which they are done.
func TestLocalPlan(t *testing.T) {
	l := &Local{Verify: []installers.Endpoint{{Addr: "127.0.0.1:1"}}, Planner: planner{plan: &installers.Plan{
		Notes:    []string{"Successfully deployed certificate", "and more"},
		Commands: []installers.Command{{Do: []string{"warm", "up"}}},
		Changes:  []installers.Change{{Path: "/etc/oven/pem"}},
	}}}
	want := []string{"deploy the certificate", "and more", "run warm up", "change /etc/oven/pem", "run oven -t", "run oven reload", "look whether 127.0.0.1:1 (a.test) shows it"}
	if got := l.Plan(t.Context(), material(t, "a.test")); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// Nothing is planned or done without the lock, which is given back.
func TestLocalLock(t *testing.T) {
	busy := errors.New("busy")
	l := &Local{Planner: planner{err: errors.New("planned without the lock")}, Lock: func(_ context.Context, s installers.Server, root string) (func() error, error) {
		if s.Name() != "oven" || root != "/etc/oven" {
			t.Errorf("locked %s at %s", s.Name(), root)
		}
		return nil, busy
	}}
	m := material(t, "a.test")
	if _, err := l.Put(t.Context(), m, nil); !errors.Is(err, busy) || strings.Contains(err.Error(), "planned") {
		t.Error(err)
	}
	released, stuck := 0, errors.New("stuck")
	l.Planner = planner{err: errors.New("cold")}
	l.Lock = func(context.Context, installers.Server, string) (func() error, error) {
		return func() error { released++; return stuck }, nil
	}
	if _, err := l.Put(t.Context(), m, nil); released != 1 || !errors.Is(err, stuck) || !strings.Contains(err.Error(), "oven: cold") {
		t.Errorf("released %d times: %v", released, err)
	}
}

// Each name is asked for at each place: of a wildcard one that it is for, of an address none.
func TestAsked(t *testing.T) {
	m := &Material{Hosts: []string{"a.test", "*.b.test", "192.0.2.1", "2001:db8::1"}}
	got := Asked([]installers.Endpoint{{Addr: "h:1"}, {Addr: "h:2", StartTLS: "ldap"}}, m)
	var names []string
	for _, e := range got {
		names = append(names, e.Addr+e.StartTLS+"/"+e.Name)
	}
	want := []string{"h:1/a.test", "h:1/edge-probe.b.test", "h:1/", "h:1/", "h:2ldap/a.test", "h:2ldap/edge-probe.b.test", "h:2ldap/", "h:2ldap/"}
	if !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
	m.Hosts = slices.Repeat([]string{"a.test"}, 200)
	if got := Asked([]installers.Endpoint{{Addr: net.JoinHostPort("h", "1")}}, m); len(got) != maxProbed {
		t.Errorf("%d handshakes", len(got))
	}
}

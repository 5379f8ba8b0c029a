package heroku

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

// bench is a Heroku with a target of it.
type bench struct {
	*fakeHeroku
	env   *target.Env
	o     Options
	said  *bytes.Buffer
	waits int
}

func newBench(t *testing.T) *bench {
	b := &bench{fakeHeroku: newFake(t), said: &bytes.Buffer{}}
	b.env = &target.Env{
		Name: "site", State: filepath.Join(t.TempDir(), "kept"), Now: time.Now, Log: slog.New(slog.NewTextHandler(b.said, nil)), Dial: new(net.Dialer).DialContext,
		Wait: func(ctx context.Context, _ time.Duration) error { b.waits++; return ctx.Err() },
	}
	b.o = b.options(b.env)
	return b
}

func (b *bench) target() *Target {
	b.t.Helper()
	tg, err := NewTarget(b.o)
	if err != nil {
		b.t.Fatal(err)
	}
	return tg
}

func (b *bench) material(names ...string) *delivery.Material {
	b.t.Helper()
	m, err := delivery.NewMaterial("site", edgetest.NewChain(b.t, time.Now().Add(time.Hour), names...), names, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

// put delivers, as a new process would, and commits.
func (b *bench) put(m *delivery.Material, data []byte) delivery.Change {
	b.t.Helper()
	c, err := b.target().Put(b.t.Context(), m, data)
	if err == nil {
		err = c.Commit(b.t.Context())
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// by has somebody make an endpoint, and have domains use it.
func (b *bench) by(m *delivery.Material, domains ...string) string {
	b.t.Helper()
	var made endpoint
	if err := b.target().api.do(b.t.Context(), "POST", fakeApp, "/sni-endpoints", pair{string(m.FullChainPEM), string(m.KeyPEM)}, &made); err != nil {
		b.t.Fatal(err)
	}
	for _, d := range domains {
		if err := b.target().attach(b.t.Context(), d, made.ID); err != nil {
			b.t.Fatal(err)
		}
	}
	return made.ID
}

func TestRefusesACM(t *testing.T) {
	b := newBench(t)
	b.acm = true
	if _, err := b.target().Put(t.Context(), b.material("a.example.test"), nil); err == nil || !strings.Contains(err.Error(), "certs:auto:disable -a "+fakeApp) || b.made > 0 {
		t.Error(err)
	}
}

// The endpoint is that of the last delivery, or the one with exactly the same names.
func TestChoose(t *testing.T) {
	b := newBench(t)
	b.pageSize = 1
	www := b.by(b.material("www.a.example.test"))
	two := b.by(b.material("a.example.test", "b.example.test"))
	exact := b.by(b.material("A.example.test"))
	before := b.snapshot(t)
	b.put(b.material("a.example.test"), nil)
	if b.domains["a.example.test"] != exact || b.made != 3 || !strings.HasPrefix(b.snapshot(t), before[:strings.Index(before, exact)]) {
		t.Errorf("%v, %d made", b.domains, b.made)
	}
	b.put(b.material("a.example.test"), []byte(`{"endpoint":"`+two+`"}`))
	if b.domains["a.example.test"] != two || b.made != 3 {
		t.Errorf("%v, %d made", b.domains, b.made)
	}
	c := b.put(b.material("b.example.test"), []byte(`{"endpoint":"gone"}`))
	if b.made != 4 || slices.Contains([]string{www, two, exact}, noted(c.Data)) || b.domains["b.example.test"] != noted(c.Data) {
		t.Errorf("%v, %d made", b.domains, b.made)
	}
}

// A wildcard's endpoint is given to the domain that it was wanted for, and to those that
// have none.
func TestOthersStay(t *testing.T) {
	b := newBench(t)
	mine := b.by(b.material("b.example.test"), "b.example.test")
	c := b.put(b.material("*.example.test"), nil)
	id := noted(c.Data)
	if want := map[string]string{"*.example.test": id, "a.example.test": id, "b.example.test": mine}; !maps.Equal(b.domains, want) {
		t.Errorf("%v, want %v", b.domains, want)
	}
	at, err := b.target().Places(t.Context(), b.material("*.example.test"), c.Data)
	if err != nil || len(at) != 2 || at[0].Name != "edge-probe.example.test" || at[1].Name != "a.example.test" {
		t.Errorf("%+v %v", at, err)
	}
	b.o.At = nil
	if at, err = b.target().Places(t.Context(), b.material("*.example.test"), c.Data); err != nil || at[1].Addr != "a.example.test.herokudns.com:443" {
		t.Errorf("%+v %v", at, err)
	}
	// Asked for by name, it is taken.
	c = b.put(b.material("b.example.test", "a.example.test"), nil)
	if b.domains["b.example.test"] != noted(c.Data) || b.domains["a.example.test"] != noted(c.Data) {
		t.Errorf("%v", b.domains)
	}
}

func TestNamesThatAreNotThere(t *testing.T) {
	b := newBench(t)
	if _, err := b.target().Put(t.Context(), b.material("x.test"), nil); err == nil || !strings.Contains(err.Error(), "has none of the names x.test; add them: heroku domains:add") || b.made > 0 {
		t.Error(err)
	}
	c := b.put(b.material("a.example.test", "x.test"), nil)
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "x.test is no domain of the app") {
		t.Errorf("%q", c.Warnings)
	}
}

func TestUndo(t *testing.T) {
	b := newBench(t)
	theirs := b.by(b.material("a.example.test", "b.example.test"), "a.example.test")
	before := b.snapshot(t)
	c, err := b.target().Put(t.Context(), b.material("a.example.test"), nil)
	if err != nil || b.domains["a.example.test"] == theirs {
		t.Fatal(err)
	}
	if err := c.Undo(t.Context()); err != nil || b.snapshot(t) != before {
		t.Errorf("%v\n%s\nnow\n%s", err, before, b.snapshot(t))
	}
	c = b.put(b.material("a.example.test"), nil)
	before = b.snapshot(t)
	if c, err = b.target().Put(t.Context(), b.material("a.example.test"), c.Data); err != nil || b.snapshot(t) == before {
		t.Fatal(err)
	}
	if err := c.Undo(t.Context()); err != nil || b.snapshot(t) != before {
		t.Errorf("%v\n%s\nnow\n%s", err, before, b.snapshot(t))
	}
}

// A run that died after it had put a certificate, first or later ones, leaves what the next
// run needs to put that back.
func TestUndoAfterADeath(t *testing.T) {
	b := newBench(t)
	var data []byte
	for n := range 2 {
		died, err := b.target().Put(t.Context(), b.material("a.example.test"), data)
		if err != nil {
			t.Fatal(err)
		}
		before := b.snapshot(t)
		c, err := b.target().Put(t.Context(), b.material("a.example.test"), died.Data)
		if err != nil || c.Undo == nil || len(c.Warnings) > 0 {
			t.Fatalf("%d: %v %q", n, err, c.Warnings)
		}
		if err := c.Undo(t.Context()); err != nil || b.snapshot(t) != before {
			t.Errorf("%d: %v\n%s\nnow\n%s", n, err, before, b.snapshot(t))
		}
		data = b.put(b.material("a.example.test"), died.Data).Data
	}
}

// What was not delivered from here cannot be put back: that is said before, and after.
func TestCannotUndo(t *testing.T) {
	b := newBench(t)
	b.by(b.material("a.example.test"), "a.example.test")
	c, err := b.target().Put(t.Context(), b.material("a.example.test"), nil)
	if err != nil || c.Undo != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "cannot be put back") {
		t.Errorf("%v %q", err, c.Warnings)
	}
	// Somebody has put another one there since the last delivery.
	c = b.put(b.material("a.example.test"), nil)
	m := b.material("a.example.test")
	if err := b.target().fill(t.Context(), noted(c.Data), pair{string(m.FullChainPEM), string(m.KeyPEM)}); err != nil {
		t.Fatal(err)
	}
	if c, err = b.target().Put(t.Context(), b.material("a.example.test"), c.Data); err != nil || c.Undo != nil || len(c.Warnings) != 1 {
		t.Errorf("%v %q", err, c.Warnings)
	}
	b = newBench(t)
	b.by(b.material("a.example.test"))
	c, err = b.target().Put(t.Context(), b.material("a.example.test"), nil)
	if err != nil || len(c.Warnings) != 1 {
		t.Fatal(err)
	}
	if err := c.Undo(t.Context()); err == nil || !strings.Contains(err.Error(), "gives no keys back") || len(b.domains) > 0 {
		t.Errorf("%v %v", err, b.domains)
	}
}

// Nobody knows whether the certificate was taken: it was, so it is taken back. What is
// there already is not put again.
func TestLostAnswer(t *testing.T) {
	b := newBench(t)
	m := b.material("a.example.test")
	c := b.put(m, nil)
	before := b.snapshot(t)
	b.asked = nil
	b.put(m, c.Data)
	if slices.ContainsFunc(b.asked, func(s string) bool { return !strings.HasPrefix(s, "GET ") }) {
		t.Errorf("%q", b.asked)
	}
	lost := 0
	b.env.Transport = func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil && r.Method == http.MethodPatch && lost < 4 {
				lost++
				resp.Body.Close()
				return nil, io.ErrUnexpectedEOF
			}
			return resp, err
		})
	}
	if _, err := b.target().Put(t.Context(), b.material("a.example.test"), c.Data); !errors.Is(err, io.ErrUnexpectedEOF) || b.snapshot(t) != before {
		t.Errorf("%v\n%s\nnow\n%s", err, before, b.snapshot(t))
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A domain cannot be changed in between: everything is as it was.
func TestPutTakesBack(t *testing.T) {
	b := newBench(t)
	before := b.snapshot(t)
	b.locked = "b.example.test"
	if _, err := b.target().Put(t.Context(), b.material("a.example.test", "b.example.test"), nil); err == nil || !strings.Contains(err.Error(), "it is locked") || b.snapshot(t) != before {
		// The undo cannot change it either, and it need not.
		t.Errorf("%v\n%s", err, b.snapshot(t))
	}
	if b.made != 1 || len(b.endpoints) != 0 {
		t.Errorf("%d were made, %d are there", b.made, len(b.endpoints))
	}
}

func TestLookAndPlan(t *testing.T) {
	b := newBench(t)
	m := b.material("a.example.test")
	before := b.snapshot(t)
	plan := strings.Join(b.target().Plan(t.Context(), m), "\n")
	if plan != "make a new SNI endpoint of the app shop-prod\nhave a.example.test use the SNI endpoint the new one\nlook whether Heroku shows it for a.example.test" || b.snapshot(t) != before {
		t.Error(plan)
	}
	c := b.put(m, nil)
	look := func(want string) {
		t.Helper()
		list, err := b.target().Look(t.Context(), m, c.Data)
		if err != nil || strings.Join(list, "; ") != want {
			t.Errorf("%q %v, want %q", list, err, want)
		}
	}
	look("")
	if plan = strings.Join(b.target().Plan(t.Context(), b.material("a.example.test")), "\n"); !strings.HasPrefix(plan, "put the certificate into the SNI endpoint tyrannosaurs-00001\nlook") {
		t.Error(plan)
	}
	if err := b.target().attach(t.Context(), "a.example.test", ""); err != nil {
		t.Fatal(err)
	}
	look("a.example.test does not have the SNI endpoint tyrannosaurs-00001")
	other := b.material("a.example.test")
	if err := b.target().fill(t.Context(), noted(c.Data), pair{string(other.FullChainPEM), string(other.KeyPEM)}); err != nil {
		t.Fatal(err)
	}
	look("the SNI endpoint tyrannosaurs-00001 has another certificate; a.example.test does not have the SNI endpoint tyrannosaurs-00001")
	c.Data = nil
	look("the app has no such SNI endpoint any more")
	b.at.Fault(t, targettest.Unauthorized)
	if plan = strings.Join(b.target().Plan(t.Context(), m), "\n"); !strings.HasPrefix(plan, "nothing can be planned: ") || strings.Contains(plan, fakeToken) {
		t.Error(plan)
	}
}

func TestBadOptions(t *testing.T) {
	b := newBench(t)
	for says, change := range map[string]func(o *Options){
		"no name of an app":     func(o *Options) { o.App = "../x" },
		"token is empty":        func(o *Options) { o.Token = "a\r\nb" },
		"over https only":       func(o *Options) { o.Base = "http://api.example.org" },
		"no name of a variable": func(o *Options) { o.Variable = "A B" },
	} {
		o := b.o
		change(&o)
		_, err := NewTarget(o)
		if err == nil {
			_, err = NewAuthenticator(o)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	k := Kind()
	v, problems := target.Parse(&k, map[string][]string{"app": {"x"}, "token": {"env:T"}, "apps": {"www.example.org"}}, func(string) string { return "t" }, true, true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if _, err := k.Authenticator(t.Context(), v, b.env); err == nil || !strings.Contains(err.Error(), "is not NAME=APP") {
		t.Error(err)
	}
}

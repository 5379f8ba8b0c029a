package gandi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"edge"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

func (f *livedns) options() Options {
	return Options{Token: pat, LiveDNS: f.URL + "/v5/livedns", Roots: f.Roots, Nameservers: []string{f.dns.Addr()}, Propagation: 10 * time.Second, Timeout: time.Second}
}

func TestProof(t *testing.T) {
	targettest.Prove(t, func(t *testing.T) *targettest.Proof {
		f := newLiveDNS(t)
		return &targettest.Proof{
			Type: edge.DNS01, Secrets: []string{pat}, Left: f.left,
			Authenticator: func(_ context.Context, env *target.Env) (target.Authenticator, error) {
				o := f.options()
				o.Dial, o.Wait, o.Log = env.Dial, env.Wait, env.Log
				return newAuthenticator(o, env.API)
			},
			Answers: func(a edge.Answer) error {
				got, err := edgetest.LookupTXT(f.dns.Addr(), recordName(a))
				if err == nil && !slices.Contains(got, edge.DNS01Value(a.KeyAuth)) {
					err = fmt.Errorf("%s has %v", recordName(a), got)
				}
				return err
			},
			Down: func(t *testing.T) (restore func()) { return f.Fault(t, targettest.Silent) },
		}
	})
}

// bench is an Authenticator for which no time passes.
func bench(t *testing.T, f *livedns, change func(o *Options)) (*Authenticator, *strings.Builder) {
	t.Helper()
	log := &strings.Builder{}
	o := f.options()
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	env := &target.Env{Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	o.Wait = env.Wait
	if change != nil {
		change(&o)
	}
	a, err := newAuthenticator(o, env.API)
	if err != nil {
		t.Fatal(err)
	}
	return a, log
}

func one(name, token string) edge.Answer { return targettest.Answer(edge.DNS01, name, token) }

// The values of a name and its wildcard live beside those of others, and each goes alone.
func TestValuesOfOthers(t *testing.T) {
	f := newLiveDNS(t)
	f.set("_acme-challenge", rrset{1234, []string{`"theirs \" with" "two parts"`}})
	a, _ := bench(t, f, nil)
	apex, wild := one(zone, "tokA"), one("*."+zone, "tokB")
	if err := a.Present(t.Context(), []edge.Answer{apex, wild}); err != nil {
		t.Fatal(err)
	}
	want := []string{`"theirs \" with" "two parts"`, quote(edge.DNS01Value(apex.KeyAuth)), quote(edge.DNS01Value(wild.KeyAuth))}
	if got := f.values("_acme-challenge"); !slices.Equal(got, want) || f.sets["_acme-challenge"].TTL != 1234 {
		t.Errorf("%q", got)
	}
	if err := a.Ready(t.Context(), []edge.Answer{apex, wild}); err != nil {
		t.Error(err)
	}
	for i, one := range []edge.Answer{apex, wild} {
		if err := a.Cleanup(t.Context(), []edge.Answer{one}); err != nil {
			t.Fatal(err)
		}
		want = slices.Delete(want, 1, 2)
		if got := f.values("_acme-challenge"); !slices.Equal(got, want) {
			t.Errorf("%d: %q", i, got)
		}
	}
	if slices.Contains(f.changed, "DELETE") {
		t.Error("the records of others were deleted")
	}
}

// A name below others finds its zone; what the account does not have is said so.
func TestZones(t *testing.T) {
	f := newLiveDNS(t)
	a, _ := bench(t, f, nil)
	deep := one("x.y."+zone, "tok")
	if err := a.Present(t.Context(), []edge.Answer{deep}); err != nil {
		t.Fatal(err)
	}
	if f.values("_acme-challenge.x.y") == nil {
		t.Error(f.sets)
	}
	if err := a.Cleanup(t.Context(), []edge.Answer{deep}); err != nil || f.left() != "" || f.changed[len(f.changed)-1] != "DELETE" {
		t.Errorf("%v %s %v", err, f.left(), f.changed)
	}
	for _, name := range []string{"a.elsewhere.test", "denied.test"} {
		if err := a.Present(t.Context(), []edge.Answer{one(name, "tok")}); err == nil || !strings.Contains(err.Error(), "no zone") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Somebody else writes what was read before ours was there: ours comes again, and theirs
// stays. So does what is written while the name servers are asked.
func TestRace(t *testing.T) {
	f := newLiveDNS(t)
	a, _ := bench(t, f, nil)
	x := one(zone, "tok")
	steal := func() { f.set("_acme-challenge", rrset{300, []string{`"theirs"`}}) }
	f.after = steal
	if err := a.Present(t.Context(), []edge.Answer{x}); err != nil {
		t.Fatal(err)
	}
	want := []string{`"theirs"`, quote(edge.DNS01Value(x.KeyAuth))}
	if got := f.values("_acme-challenge"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	steal()
	if err := a.Ready(t.Context(), []edge.Answer{x}); err != nil || !slices.Equal(f.values("_acme-challenge"), want) {
		t.Errorf("%v %q", err, f.values("_acme-challenge"))
	}
	f.after = func() { f.set("_acme-challenge", rrset{300, want}) }
	if err := a.Cleanup(t.Context(), []edge.Answer{x}); err != nil || !slices.Equal(f.values("_acme-challenge"), want[:1]) {
		t.Errorf("%v %q", err, f.values("_acme-challenge"))
	}
	var always func()
	always = func() { steal(); f.after = always }
	f.after = always
	if err := a.Present(t.Context(), []edge.Answer{x}); err == nil || !strings.Contains(err.Error(), "does not stay") {
		t.Errorf("%v", err)
	}
}

// Many at once, each with a process of its own: none loses a value in the end.
func TestManyAtOnce(t *testing.T) {
	f := newLiveDNS(t)
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			a, _ := bench(t, f, nil)
			x := one(zone, fmt.Sprintf("tok%d", i))
			err := a.Present(t.Context(), []edge.Answer{x})
			if err == nil {
				err = a.Ready(t.Context(), []edge.Answer{x})
			}
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
			if err := a.Cleanup(t.Context(), []edge.Answer{x}); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	group.Wait()
}

// Ready waits for the name servers, asks those of the zone where none are named, and
// goes on blindly where that is wanted, or nobody can be asked.
func TestReady(t *testing.T) {
	f := newLiveDNS(t)
	x := []edge.Answer{one(zone, "tok")}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent.Close()
	dials := []string{}
	for name, c := range map[string]struct {
		late   bool
		change func(o *Options)
		want   string // an error
		says   string // in the log
	}{
		"shown":      {},
		"not shown":  {late: true, want: "does not show the record"},
		"not asked":  {late: true, change: func(o *Options) { o.Blind = time.Second }},
		"one silent": {change: func(o *Options) { o.Nameservers = []string{silent.Addr().String(), f.dns.Addr()} }},
		"all silent": {change: func(o *Options) { o.Nameservers = []string{silent.Addr().String()} }, says: "no name server could be asked"},
		"of the zone": {change: func(o *Options) {
			o.Nameservers = nil
			o.LookupNS = func(_ context.Context, of string) ([]*net.NS, error) {
				if of != zone+"." {
					return nil, errors.New(of)
				}
				return []*net.NS{{Host: "ns1.gandi.test."}}, nil
			}
			o.Dial = func(ctx context.Context, _, addr string) (net.Conn, error) {
				dials = append(dials, addr)
				return new(net.Dialer).DialContext(ctx, "tcp", f.dns.Addr())
			}
		}},
		"no zone": {change: func(o *Options) {
			o.Nameservers = nil
			o.LookupNS = func(context.Context, string) ([]*net.NS, error) { return nil, errors.New("no network") }
		}, says: "no network"},
	} {
		f.mu.Lock()
		f.late = c.late
		f.mu.Unlock()
		a, log := bench(t, f, c.change)
		if err := a.Present(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		err := a.Ready(t.Context(), x)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || !strings.Contains(log.String(), c.says) {
			t.Errorf("%s: %v; %s", name, err, log)
		}
		if err := a.Cleanup(t.Context(), x); err != nil {
			t.Error(err)
		}
		f.dns.SetTXT("_acme-challenge." + zone)
	}
	if len(dials) == 0 || dials[0] != "ns1.gandi.test:53" {
		t.Errorf("dialled: %v", dials)
	}
}

// Credentials: what they are sent as, what is said when they are bad.
func TestTokens(t *testing.T) {
	f := newLiveDNS(t)
	x := []edge.Answer{one(zone, "tok")}
	f.scheme = "Apikey " + apiKey
	a, _ := bench(t, f, func(o *Options) { o.Token = apiKey })
	if err := a.Present(t.Context(), x); err != nil {
		t.Error(err)
	}
	a, _ = bench(t, f, nil)
	if err := a.Present(t.Context(), x); err == nil || !strings.Contains(err.Error(), "token is not valid") {
		t.Errorf("%v", err)
	}
	for _, o := range []Options{{Token: ""}, {Token: "a b"}, {Token: pat, LiveDNS: "http://x.test"}, {Token: pat, LiveDNS: f.URL, Nameservers: []string{"ns1"}}} {
		if _, err := newAuthenticator(o, (&target.Env{}).API); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestRefused(t *testing.T) {
	f := newLiveDNS(t)
	a, _ := bench(t, f, nil)
	for _, x := range []edge.Answer{
		targettest.Answer(edge.HTTP01, zone, "tok"), one("A."+zone, "tok"), one("a/b."+zone, "tok"), one(zone, "a b"),
		{Type: edge.DNS01, Identifier: edge.Identifier{Type: edge.IP, Value: "192.0.2.1"}, Token: "t", KeyAuth: "t.k"},
	} {
		if err := a.Present(t.Context(), []edge.Answer{one(zone, "good"), x}); err == nil || len(f.changed) > 0 {
			t.Errorf("%+v: %v", x, err)
		}
	}
}

// The kind makes both from settings, and the old interface only where that is said.
func TestKind(t *testing.T) {
	k := Kind()
	env := &target.Env{}
	getenv := func(n string) string { return map[string]string{"GANDI_PAT": pat, "GANDI_API_KEY": apiKey}[n] }
	v, problems := target.Parse(&k, map[string][]string{"propagation_seconds": {"7"}}, getenv, true, false)
	if problems != nil {
		t.Fatal(problems)
	}
	a, err := k.Authenticator(t.Context(), v, env)
	if err != nil {
		t.Fatal(err)
	}
	if o := a.(*Authenticator).o; o.Token != pat || o.Blind != 7*time.Second || o.LiveDNS != "https://api.gandi.net/v5/livedns" || o.Propagation != 5*time.Minute {
		t.Errorf("%+v", o)
	}
	v, problems = target.Parse(&k, nil, getenv, false, true)
	if problems != nil {
		t.Fatal(problems)
	}
	if _, err := k.Target(t.Context(), v, env); err == nil || !strings.Contains(err.Error(), "legacy_hosting: true") {
		t.Errorf("%v", err)
	}
	v, _ = target.Parse(&k, map[string][]string{"legacy_hosting": {"true"}}, getenv, false, true)
	tg, err := k.Target(t.Context(), v, env)
	if err != nil {
		t.Fatal(err)
	}
	if h := tg.(*Hosting); h.Where() != "https://rpc.gandi.net/xmlrpc/" || h.o.Key != apiKey || h.path != "/" {
		t.Errorf("%+v", h)
	}
}

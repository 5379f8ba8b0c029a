package installers

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/internal/diff"
)

// installTwo has one installation open c.test, and another one put d.test beside it. It
// returns what there was before both.
func (b *bench) installTwo(t *testing.T) (before string) {
	t.Helper()
	for i, name := range []string{"c.test", "d.test"} {
		c := recipe{serial: int64(20 + i), names: []string{name}}.make(t).lineage(t, b.dir+"/"+name)
		b.request.Names, b.request.Certificate = []string{name}, c
		b.plan = &Plan{
			Titles:  []string{name},
			Changes: []Change{{Path: b.dir + "/sites/" + name, Op: Create, New: []byte(name + " " + c.FullChain + " " + c.Key + "\n"), Mode: 0o644}},
			Serves:  []Endpoint{{Addr: b.tls, Name: name}},
			Watch:   []Endpoint{{Addr: b.tls, Name: "a.test"}, {Addr: b.tls, Name: "b.test"}},
		}
		if i == 0 {
			before = snapshot(t, b.dir+"/sites", true)
		} else {
			b.plan.Watch = append(b.plan.Watch, Endpoint{Addr: b.tls, Name: "c.test"})
		}
		if _, err := b.runner.Apply(t.Context(), b, b.plan, b.request); err != nil {
			t.Fatal(err)
		}
	}
	return before
}

// What the older of two checkpoints opened is gone with both, though the newer one found
// it there.
func TestRollbackOfWhatOlderOpened(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	before := b.installTwo(t)
	out, err := b.runner.Rollback(t.Context(), 2, b.find, false)
	if err != nil || len(out.Checkpoints) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	if now := snapshot(t, b.dir+"/sites", true); now != before {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}
	for _, name := range []string{"c.test", "d.test"} {
		if got := probe(t.Context(), Endpoint{Addr: b.tls, Name: name}, nil); got.err == nil {
			t.Errorf("%s is shown still", name)
		}
	}
}

// What both found there has to stay, and what the older one opened has to be back when
// that does not.
func TestRollbackOfWhatOlderOpenedFails(t *testing.T) {
	t.Parallel()
	for _, back := range []bool{true, false} {
		b := setUp(t)
		b.installTwo(t)
		before, reloads := snapshot(t, b.dir+"/sites", true), b.reloads
		b.onReload = func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.reloads == reloads+1 {
				b.sites["b.test"] = b.sites["a.test"]
			} else if !back {
				delete(b.sites, "c.test")
			}
		}
		_, err := b.runner.Rollback(t.Context(), 2, b.find, false)
		failed, ok := errors.AsType[*StepError](err)
		if want := map[bool]UndoState{true: Undone, false: NotUndone}[back]; !ok || failed.Step != Verify || failed.State != want || !strings.Contains(err.Error(), "(b.test) shows") {
			t.Errorf("%v", err)
		}
		if !back && !strings.Contains(failed.UndoErr.Error(), "(c.test): the TLS handshake failed") {
			t.Errorf("%v", failed.UndoErr)
		}
		if now := snapshot(t, b.dir+"/sites", true); now != before {
			t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
		}
	}
}

// certbot does not say what it opened.
func TestRollbackOfWhatCertbotOpened(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	before := snapshot(t, b.dir+"/sites", true)
	b.certbot(t, `
path = args[0] + "/sites/c"
r.register_file_creation(False, path)
open(path, "w").write("c.test %s/old/fullchain.pem %s/old/privkey.pem\n" % (args[0], args[0]))
r.finalize_checkpoint("c.test")
`, b.dir)
	if err := b.load(); err != nil {
		t.Fatal(err)
	}
	b.plan.Watch = append(b.plan.Watch, Endpoint{Addr: b.tls, Name: "c.test"})
	if _, err := b.runner.Apply(t.Context(), b, b.plan, b.request); err != nil {
		t.Fatal(err)
	}
	if _, err := b.runner.Rollback(t.Context(), 2, b.find, false); err != nil {
		t.Fatal(err)
	}
	if now := snapshot(t, b.dir+"/sites", true); now != before || b.shows(t, "a.test") != 1 {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}
}

func TestExpectedBack(t *testing.T) {
	a, b := Endpoint{Addr: "0.0.0.0:443", Name: "a.test"}, Endpoint{Addr: "0.0.0.0:443", Name: "b.test"}
	other, six := Endpoint{Addr: "127.0.0.1:8443", Name: "a.test"}, Endpoint{Addr: "[2001:db8::1]:443"}
	found := func(same bool, all ...Endpoint) *record {
		r := new(record)
		for _, e := range all {
			r.Places, r.Looked = append(r.Places, placeBefore{e, same}), append(r.Looked, e.Addr)
		}
		return r
	}
	opened := func(addrs ...string) *record { return &record{Looked: addrs} }
	for _, c := range []struct {
		name    string
		records []*record // the newest first
		want    string
	}{
		{"one that changed it", []*record{found(false, a)}, "any"},
		{"one that changed nothing", []*record{found(true, a)}, "same"},
		{"the newer changed it", []*record{found(false, a), found(true, a)}, "any"},
		{"the older changed it", []*record{found(true, a), found(false, a)}, "any"},
		{"the older opened it", []*record{found(true, a), opened("0.0.0.0:443")}, "free"},
		{"the older opened it by another name of it", []*record{found(true, a), opened("127.0.0.1:443")}, "free"},
		{"the older opened all addresses", []*record{found(true, six), opened("*:443")}, "free"},
		{"the older opened one address", []*record{found(true, six), opened("0.0.0.0:8443", "192.0.2.1:443", "unix:/x")}, "same"},
		{"the newer opened something else", []*record{opened("0.0.0.0:443"), found(true, a)}, "same"},
		{"the older opened another port", []*record{found(true, other), opened("0.0.0.0:443")}, "same"},
		{"the older has nothing to look at", []*record{found(true, a), opened()}, "same"},
		{"the older found others at the address", []*record{found(true, a), found(true, b)}, "free same"},
		{"closed and opened in between", []*record{found(true, a), opened(a.Addr), found(true, a)}, "any"},
		{"opened at first", []*record{found(true, a), found(true, a), opened(a.Addr)}, "free"},
		{"certbot's is the oldest", []*record{found(true, a), nil}, "free"},
		{"certbot's is between", []*record{found(true, a), nil, found(true, a)}, "any"},
		{"certbot's is the newest", []*record{nil, found(true, a)}, "same"},
	} {
		var got []string
		for _, at := range expectedBack(c.records) {
			switch {
			case at.free:
				got = append(got, "free")
			case at.watch:
				got = append(got, "same")
			default:
				got = append(got, "any")
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %s", c.name, got, c.want)
		}
	}
}

// The first of two installations opens the TLS socket of nginx. Both at once are taken
// back, to a server without TLS.
func TestRollbackClosesSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	n, _, _ := startNginx(t, dir, Certificate{})
	// No ports: somebody else could take them while nginx does not listen there.
	write(t, dir+"/etc/sites/a", fmt.Sprintf("server {\n\tlisten unix:%s/plain;\n}\n", dir), 0o640)
	before := snapshot(t, dir+"/etc", true)
	n.start(t)
	waitFor(t, func() bool { return len(contentOf(dir+"/pid")) > 0 })

	b := &bench{toy: &toy{dir: dir}, runner: &Runner{Work: dir + "/work", Verify: 10 * time.Second}}
	var shown []Endpoint
	for i, name := range []string{"a.test", "b.test"} {
		c := recipe{serial: int64(30 + i), names: []string{name}}.make(t).lineage(t, dir+"/"+name)
		more := fmt.Sprintf("server {\n\tlisten unix:%s/tls ssl;\n\tserver_name %s;\n\tssl_certificate %s;\n\tssl_certificate_key %s;\n}\n", dir, name, c.FullChain, c.Key)
		e := Endpoint{Addr: "unix:" + dir + "/tls", Name: name}
		plan := &Plan{Titles: []string{name}, Changes: []Change{b.rewrite("etc/sites/a", read(t, dir+"/etc/sites/a")+more)}, Serves: []Endpoint{e}, Watch: slices.Clone(shown)}
		if _, err := b.runner.Apply(t.Context(), n, plan, Request{Names: []string{name}, Deploy: true, Certificate: c}); err != nil {
			t.Fatal(err)
		}
		shown = append(shown, e)
	}
	if _, err := b.runner.Rollback(t.Context(), 2, func(string) Server { return n }, false); err != nil {
		t.Fatal(err)
	}
	if now := snapshot(t, dir+"/etc", true); now != before {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}
	waitFor(t, func() bool { return probe(t.Context(), shown[0], nil).err != nil })
	conn, err := net.Dial("unix", dir+"/plain")
	if err != nil {
		t.Fatalf("nginx has ended: %v", err)
	}
	conn.Close()
}

// waitFor waits for a condition: nginx takes its time.
func waitFor(t *testing.T, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !met(); {
		if time.Now().After(deadline) {
			t.Fatal("it has not happened")
		}
	}
}

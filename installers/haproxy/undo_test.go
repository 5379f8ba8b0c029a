package haproxy

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/internal/durable"
)

// A new name that is not shown leaves nothing: on the disk, in the list, in memory.
func TestNewNameUndone(t *testing.T) {
	t.Parallel()
	for _, c := range []string{`crt "${CERTS}/"`, "crt-list DIR/list.txt"} {
		for _, update := range []string{byRuntime, byReload} {
			s := newServer(t, confWith(c))
			s.write("list.txt", s.path("certs/00-first.pem")+"\n")
			s.daemon.Start(t)
			before := s.disk(".") + s.disk("certs") + s.memory()
			l := s.target("one", "update", update, "master_socket", s.path("master.sock"))
			l.Verify = []installers.Endpoint{{Addr: s.web}} // speaks no TLS
			l.Within = time.Second
			_, err := l.Put(t.Context(), newMaterial(t, "one", "a.example.test"), nil)
			wants(t, err, "everything was put back")
			if after := s.disk(".") + s.disk("certs") + s.memory(); after != before {
				t.Errorf("%s, %s: not as it was:\n%s\nbefore\n%s", c, update, after, before)
			}
		}
	}
}

// By reloads, connections go on, and one that did not happen is found by a handshake.
func TestByReload(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	s.daemon.Start(t)
	settings := []string{"update", byReload, "master_socket", s.path("master-relay.sock")}
	m := newMaterial(t, "one", "a.example.test")
	s.mustPut(m, settings...)
	alive := s.hold(t)
	m = newMaterial(t, "one", "a.example.test")
	s.mustPut(m, settings...)
	if err := alive(); err != nil {
		t.Error(err)
	}
	before := s.disk("certs") + s.memory()
	s.master.deaf.Store(true)
	l := s.target("one", settings...)
	l.Within = time.Second
	_, err := l.Put(t.Context(), newMaterial(t, "one", "a.example.test"), nil)
	wants(t, err, "it ignored the reload")
	if after := s.disk("certs") + s.memory(); after != before {
		t.Errorf("not as it was:\n%s\nbefore\n%s", after, before)
	}
	s.master.deaf.Store(false)
	s.shows("a.example.test", m)
	s.mustPut(newMaterial(t, "one", "a.example.test"), settings...)
}

// A run dies when HAProxy has the certificate in memory. Whatever is delivered next, both
// are as before when that is taken back.
func TestRecovered(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	s.daemon.Start(t)
	s.mustPut(newMaterial(t, "one", "a.example.test"))
	before := s.disk("certs") + s.memory()

	work := t.TempDir()
	dead := false
	env := s.env("one")
	env.Runner.Work = work
	env.Runner.Durable.Before = func(durable.Step, string) error {
		if dead {
			return errors.New("the process was killed")
		}
		return nil
	}
	env.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if have, err := os.ReadFile(s.path("certs/one.pem")); err == nil && !strings.Contains(before, string(have)) && strings.Contains(s.memory(), fingerprintOf(have)) {
			dead = true
		}
		if dead {
			return nil, errors.New("the process was killed")
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	k := Kind()
	tg, err := k.Target(t.Context(), s.values(), env)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tg.Put(t.Context(), newMaterial(t, "one", "a.example.test"), nil); err == nil || !dead {
		t.Fatalf("dead %t: %v", dead, err)
	}
	if now := s.disk("certs") + s.memory(); now == before {
		t.Fatal("nothing was changed")
	}
	reloads := s.reloads()
	env = s.env("two")
	env.Runner.Work = work
	if tg, err = k.Target(t.Context(), s.values(), env); err != nil {
		t.Fatal(err)
	}
	l := tg.(*delivery.Local)
	if _, err := l.Planner.Plan(t.Context(), newMaterial(t, "two", "b.example.test")); err != nil {
		t.Fatal(err) // as a look does
	}
	release, err := l.Lock(t.Context(), l.Planner, l.Planner.Root())
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if after := s.disk("certs") + s.memory(); after != before || s.reloads() != reloads+1 {
		t.Errorf("not as it was:\n%s\nbefore\n%s", after, before)
	}
}

func fingerprintOf(raw []byte) string {
	sum := sha1.Sum(firstCert(raw).Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// A bad configuration is found before anything, and by the master's count of failures.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	s.daemon.Start(t)
	good, err := os.ReadFile(s.path("haproxy.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("haproxy.cfg", string(good)+"nonsense here\n")
	before := s.disk("certs") + s.memory()
	wants(t, s.put(newMaterial(t, "one", "a.example.test")), "unknown keyword 'nonsense'")
	wants(t, s.reload(), "failed: 1")
	if after := s.disk("certs") + s.memory(); after != before {
		t.Errorf("not as it was:\n%s", after)
	}
	s.write("haproxy.cfg", string(good))
	s.mustPut(newMaterial(t, "one", "a.example.test"))
}

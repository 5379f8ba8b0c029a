package icecast

import (
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/installers/delivery"
	"edge/internal/edgetest/targettest"
)

const name = "a.example.test"

func is(t *testing.T, r delivery.Result, want delivery.State) {
	t.Helper()
	if r.State != want || (r.Later != "") != (want == delivery.Pending) {
		t.Fatalf("%s: %s %s", r.State, r.Error, r.Later)
	}
}

// starts is how often Icecast was started.
func (s *server) starts() int { return strings.Count(s.read("log/starts"), "\n") }

// restart is what people do.
func (s *server) restart(t *testing.T) {
	s.stop(t)
	s.start(t)
}

// With restart: never, all is put where it has to be, and people restart Icecast.
func TestNever(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.said["restart"] = []string{"never"}
	b := targettest.NewBench(t, rig(s))
	for range 2 {
		m := b.Material("one", name)
		is(t, b.Apply(m), delivery.Pending)
		before, starts := s.snapshot(t), s.starts()
		r := b.Apply(m)
		is(t, r, delivery.Pending)
		if s.snapshot(t) != before || s.starts() != starts || !strings.Contains(r.Later, "restart: never") {
			t.Errorf("%d starts, %q", s.starts(), r.Later)
		}
		if s.read("edge.pem") != string(m.FullChainPEM)+string(m.KeyPEM) {
			t.Error("the certificate is not there")
		}
		s.restart(t)
		is(t, b.Apply(m), delivery.InSync)
		b.Shows(m)
	}
}

// With a time of the day, nothing happens before, and all of it then.
func TestWindow(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.said["restart"] = []string{"04:00-05:00"}
	b := targettest.NewBench(t, rig(s))
	day := time.Date(2026, 5, 6, 12, 0, 0, 0, time.Local)
	for range 2 {
		m := b.Material("one", name)
		before, starts := s.snapshot(t), s.starts()
		s.now = func() time.Time { return day }
		r := b.Apply(m)
		is(t, r, delivery.Pending)
		if s.snapshot(t) != before || s.starts() != starts || !strings.Contains(r.Later, "04:00-05:00") {
			t.Errorf("something was done: %d starts, %q", s.starts(), r.Later)
		}
		s.now = func() time.Time { return day.Add(16*time.Hour + 59*time.Minute) }
		is(t, b.Apply(m), delivery.InSync)
		b.Shows(m)
		if s.starts() != starts+1 {
			t.Errorf("%d starts, then %d", starts, s.starts())
		}
		s.now = func() time.Time { return day }
		is(t, b.Apply(m), delivery.InSync) // there is nothing to wait for
	}
}

// Wherever the first installation is killed, which edits the configuration too, the next
// run makes it whole.
func TestKilledAtFirst(t *testing.T) {
	t.Parallel()
	every := 19
	if os.Getenv("EDGE_SOAK") != "" {
		every = 1
	}
	for n := 1; ; n += every {
		s := newServer(t)
		b := targettest.NewBench(t, rig(s))
		m := b.Material("one", name)
		died := b.Killed(m, n)
		is(t, b.Apply(m), delivery.InSync)
		b.Shows(m)
		if got := s.read("icecast.xml"); strings.Count(got, "<ssl>1</ssl>") != 2 || strings.Count(got, "<ssl-certificate>") != 2 { // one each in a comment
			t.Errorf("killed at step %d, the configuration is\n%s", n, got)
		}
		s.stop(t)
		if !died {
			t.Logf("killed before step %d", n)
			return
		}
	}
}

// Only a new leaf is a reason for a restart.
func TestSameLeaf(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b := targettest.NewBench(t, rig(s))
	m := b.Material("one", name)
	is(t, b.Apply(m), delivery.InSync)
	starts := s.starts()
	m.ChainPEM = append(slices.Clone(m.ChainPEM), m.ChainPEM...)
	m.FullChainPEM = append(slices.Clone(m.CertPEM), m.ChainPEM...)
	is(t, b.Apply(m), delivery.InSync)
	if s.starts() != starts {
		t.Errorf("%d starts, then %d", starts, s.starts())
	}
	if s.read("edge.pem") != string(m.FullChainPEM)+string(m.KeyPEM) {
		t.Error("the new chain is not there")
	}
}

// Icecast that cannot read the file starts, and speaks plain HTTP: that is no success.
func TestUnreadableForIcecast(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.within = 5 * time.Second // it takes the handshake three to give up
	s.said["owner"], s.said["group"] = []string{"root"}, []string{"root"}
	b := targettest.NewBench(t, rig(s))
	before := s.snapshot(t)
	r := b.Apply(b.Material("one", name))
	is(t, r, delivery.Failed)
	if !strings.Contains(r.Error, "verify") || !strings.Contains(r.Error, "it answers 200 OK, without TLS") {
		t.Errorf("it says %s", r.Error)
	}
	if after := s.snapshot(t); after != before {
		t.Errorf("not as it was:\n%s\nnow\n%s", before, after)
	}
}

// The file belongs to Icecast's user, and keeps what people gave it.
func TestOwner(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b := targettest.NewBench(t, rig(s))
	is(t, b.Apply(b.Material("one", name)), delivery.InSync)
	u, err := user.Lookup("icecast2")
	if err != nil {
		t.Fatal(err)
	}
	path := s.dir + "/edge.pem"
	has := func(mode os.FileMode) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil || info.Mode() != mode || strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Uid)) != u.Uid {
			t.Errorf("it is %v, %v", info, err)
		}
	}
	has(0o640)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	is(t, b.Apply(b.Material("one", name)), delivery.InSync)
	has(0o600)
}

// changeowner says who Icecast is, unless somebody said it here.
func TestChangeOwner(t *testing.T) {
	doc, err := parse([]byte("<icecast><security><changeowner><user>nobody</user><group>nogroup</group></changeowner></security></icecast>"))
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]string{"": nobody.Uid, "root": "0"} {
		if got, err := (&Icecast{o: Options{Owner: who}}).owner(doc); err != nil || strconv.Itoa(got.UID) != want || strconv.Itoa(got.GID) != nobody.Gid {
			t.Errorf("%q: %+v, %v", who, got, err)
		}
	}
	for _, o := range []Options{{Owner: "no such user"}, {Group: "no such group"}} {
		if got, err := (&Icecast{o: o}).owner(doc); err == nil {
			t.Errorf("%+v: %+v", o, got)
		}
	}
}

func TestChroot(t *testing.T) {
	s := newServer(t)
	s.write("icecast.xml", strings.Replace(s.read("icecast.xml"), "<chroot>0", "<chroot>1", 1), 0o640)
	b := targettest.NewBench(t, &targettest.Rig{Target: s.target})
	if r := b.Apply(b.Material("one", name)); r.State != delivery.Failed || !strings.Contains(r.Error, "chroot is on") {
		t.Errorf("%s %s", r.State, r.Error)
	}
}

// A socket that may speak both is not asked whether it does.
func TestPlaces(t *testing.T) {
	doc, err := parse([]byte("<icecast><listen-socket><port>1</port><tls>auto</tls></listen-socket><listen-socket><port>2</port><bind-address>::1</bind-address><ssl>1</ssl></listen-socket><listen-socket/></icecast>"))
	if err != nil {
		t.Fatal(err)
	}
	at, strict := doc.places()
	if len(at) != 2 || at[0].Addr != ":1" || at[1].Addr != "[::1]:2" || len(strict) != 1 || strict[0] != "[::1]:2" {
		t.Errorf("%v, %v", at, strict)
	}
}

func TestTimes(t *testing.T) {
	at := func(hour, minute int) time.Time { return time.Date(2026, 1, 1, hour, minute, 30, 0, time.UTC) }
	for s, c := range map[string]struct{ in, out []time.Time }{
		"now":                  {in: []time.Time{at(0, 0), at(12, 0)}},
		"":                     {in: []time.Time{at(12, 0)}},
		"never":                {out: []time.Time{at(0, 0), at(12, 0)}},
		"04:00-05:00":          {in: []time.Time{at(4, 0), at(4, 59)}, out: []time.Time{at(3, 59), at(5, 0)}},
		`window "23:30-00:30"`: {in: []time.Time{at(23, 30), at(0, 0), at(0, 29)}, out: []time.Time{at(23, 29), at(0, 30), at(12, 0)}},
		"window 04:00-05:00":   {in: []time.Time{at(4, 0)}, out: []time.Time{at(5, 0)}},
	} {
		w, err := parseTimes(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
		}
		for _, now := range c.in {
			if !w.open(now) {
				t.Errorf("%q is not open at %v", s, now)
			}
		}
		for _, now := range c.out {
			if w.open(now) {
				t.Errorf("%q is open at %v", s, now)
			}
		}
	}
	for _, s := range []string{"later", "04:00", "04:00-04:00", "4-5", "25:00-26:00", "04:00-05:00-06:00", "window"} {
		if w, err := parseTimes(s); err == nil {
			t.Errorf("%q is %v", s, w)
		}
	}
}

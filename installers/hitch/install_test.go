package hitch

import (
	"crypto/tls"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest/targettest"
)

// hold opens a connection that has to stay.
func hold(t *testing.T, addr string) func() error {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	talk := func() error {
		if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("hello\n")); err != nil {
			return err
		}
		answer := make([]byte, 6)
		if _, err := io.ReadFull(c, answer); err != nil {
			return err
		}
		if string(answer) != "hello\n" {
			return errors.New("it says something else")
		}
		return nil
	}
	if err := talk(); err != nil {
		t.Fatal(err)
	}
	return talk
}

// hitch before 1.8 does not wait for the workers before the last ones: see its commit
// 5d10953. A connection survives one reload.
func TestInFlight(t *testing.T) {
	t.Parallel()
	s := newServer(t, "pem-file = \"DIR/first.pem\"\n")
	b := targettest.NewBench(t, rigOf(s))
	in(t, b.Apply(b.Material("one", "a.example.test")))
	alive := hold(t, s.addr)
	in(t, b.Apply(b.Material("one", "a.example.test")))
	if err := alive(); err != nil {
		t.Errorf("the connection that was open: %v", err)
	}
}

func in(t *testing.T, res delivery.Result) {
	t.Helper()
	if res.State != delivery.InSync {
		t.Fatalf("%s: %s", res.State, res.Error)
	}
}

// Each form that a configuration may have gets what it needs and keeps the rest, and what
// is shown after a reload is shown after a start too.
func TestForms(t *testing.T) {
	for name, c := range map[string]struct {
		lines string
		files map[string][]string // PEM files with their names; NAME.key has a key alone
		want  string              // the lines afterwards; empty: as before
		pem   string              // the file that the certificate is in
		after string              // what clients without SNI are shown; empty: the new one
	}{
		"the default stays": {
			lines: "pem-file = \"DIR/first.pem\" # mine\n", pem: "edge/one.pem", after: "first.example.test",
			want: "pem-file = \"DIR/edge/one.pem\"\npem-file = \"DIR/first.pem\" # mine\n",
		},
		"before all others": {
			lines: "pem-file = \"DIR/z.pem\"\npem-file = \"DIR/first.pem\"\n", files: map[string][]string{"z.pem": {"z.example.test"}}, pem: "edge/one.pem", after: "first.example.test",
			want: "pem-file = \"DIR/edge/one.pem\"\npem-file = \"DIR/z.pem\"\npem-file = \"DIR/first.pem\"\n",
		},
		"in the place of one": {
			lines: "pem-file = \"DIR/mine.pem\"\n", files: map[string][]string{"mine.pem": {"a.example.test"}},
			want: "pem-file = \"DIR/edge/one.pem\"\n", pem: "edge/one.pem",
		},
		"in the place of a block": {
			lines: "pem-file = {\n  cert = \"DIR/mine.pem\" # the leaf\n  private-key = \"DIR/mine.key\"\n}\nkeepalive = 3600\n",
			files: map[string][]string{"mine.pem": {"a.example.test"}},
			want:  "pem-file = {\n  cert = \"DIR/edge/one.pem\" # the leaf\n  \n}\nkeepalive = 3600\n", pem: "edge/one.pem",
		},
		"pem-dir": {
			lines: "pem-dir = \"DIR/pems\"\npem-dir-glob = \"*.pem\"\npem-file = \"DIR/first.pem\"\n", pem: "pems/one.pem", after: "first.example.test",
		},
		"pem-dir without a pattern": {
			lines: "pem-dir=\"DIR/pems/\"", files: map[string][]string{"pems/a-first": {"first.example.test"}}, pem: "pems/one.pem", after: "first.example.test",
		},
		"a frontend's own": {
			lines: "frontend = {\n  host = \"127.0.0.1\"\n  port = \"PORT\"\n  pem-file = \"DIR/mine.pem\"\n}\npem-file = \"DIR/first.pem\"\n",
			files: map[string][]string{"mine.pem": {"a.example.test"}},
			want:  "frontend = {\n  host = \"127.0.0.1\"\n  port = \"PORT\"\n  pem-file = \"DIR/edge/one.pem\"\n}\npem-file = \"DIR/edge/one.pem\"\npem-file = \"DIR/first.pem\"\n",
			pem:   "edge/one.pem", after: "first.example.test",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "")
			port := s.spare
			fill := func(lines string) string { return strings.NewReplacer("DIR", s.dir, "PORT", port).Replace(lines) }
			top := s.read("hitch.conf")
			s.write("hitch.conf", top+fill(c.lines))
			for file, names := range c.files {
				pem := pemOfNames(t, names...)
				s.write(file, pem)
				if strings.Contains(c.lines, "private-key") {
					cert, key, _ := strings.Cut(pem, "-----BEGIN PRIVATE KEY")
					s.write(file, cert)
					s.write(strings.TrimSuffix(file, ".pem")+".key", "-----BEGIN PRIVATE KEY"+key)
				}
			}
			b := targettest.NewBench(t, rigOf(s))
			for range 2 {
				m := b.Material("one", "a.example.test")
				in(t, b.Apply(m))
				s.daemon.Stop(t)
				s.daemon.Start(t)
				b.Shows(m)
				if got, want := s.read(c.pem), string(m.FullChainPEM)+string(m.KeyPEM); got != want {
					t.Error("the PEM file is not leaf, chain and key")
				}
				if info, err := os.Stat(filepath.Join(s.dir, c.pem)); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("its mode is %v, %v", info.Mode(), err)
				}
				want := c.want
				if want == "" {
					want = c.lines
				}
				if got := s.read("hitch.conf"); got != top+fill(want) {
					t.Errorf("the configuration is now\n%s\nwant\n%s", got, top+fill(want))
				}
				s.defaults(c.after, m)
			}
		})
	}
}

// defaults looks at what clients without SNI are shown.
func (s *server) defaults(want string, m *delivery.Material) {
	s.t.Helper()
	if want == "" {
		want = m.Hosts[0]
	}
	c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if got := c.ConnectionState().PeerCertificates[0].Subject.CommonName; got != want {
		s.t.Errorf("without SNI it shows %s, want %s", got, want)
	}
}

// What would be left to chance, or cannot be written, is refused before anything is
// changed.
func TestRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		lines, why string
		files      map[string][]string
		said       map[string]string
	}{
		"more names":          {lines: "pem-file = \"DIR/x.pem\"\n", files: map[string][]string{"x.pem": {"a.example.test", "z.example.test"}}, why: "for a.example.test too"},
		"twice":               {lines: "pem-file = \"DIR/x.pem\"\npem-file = \"DIR/y.pem\"\n", files: map[string][]string{"x.pem": {"a.example.test"}, "y.pem": {"a.example.test"}}, why: "for a.example.test too"},
		"in the pem-dir":      {lines: "pem-dir = \"DIR/pems\"\n", files: map[string][]string{"pems/x": {"a.example.test"}}, why: "for a.example.test too"},
		"pattern":             {lines: "pem-dir = \"DIR/pems\"\npem-dir-glob = \"*.crt\"\npem-file = \"DIR/first.pem\"\n", why: "leaves one.pem out"},
		"relative":            {lines: "pem-dir = \"pems\"\n", why: "is not absolute"},
		"missing":             {lines: "pem-file = \"DIR/nothing.pem\"\n", why: "no such file"},
		"broken":              {lines: "pem-file = {\n", why: "does not end"},
		"beyond":              {lines: "}\n", why: "too many"},
		"a quote":             {said: map[string]string{"pem": "/x\"y.pem"}, why: "cannot be written"},
		"no folder":           {lines: "pem-file = \"DIR/first.pem\"\n", said: map[string]string{"pem": "/nowhere/x.pem"}, why: "no such file"},
		"at the address":      {lines: "frontend = \"[127.0.0.1]:PORT+DIR/x.pem\"\n", files: map[string][]string{"x.pem": {"a.example.test"}}, why: "for a.example.test too"},
		"no configuration":    {said: map[string]string{"config": "/nowhere/hitch.conf"}, why: "no such file"},
		"a folder for a file": {said: map[string]string{"config": "/"}, why: "is not a file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "")
			s.write("hitch.conf", s.read("hitch.conf")+strings.NewReplacer("DIR", s.dir, "PORT", s.spare).Replace(c.lines))
			for file, names := range c.files {
				s.write(file, pemOfNames(t, names...))
			}
			for k, v := range c.said {
				s.said[k] = []string{v}
			}
			before := s.snapshot(t)
			b := targettest.NewBench(t, &targettest.Rig{Target: s.target})
			res := b.Apply(b.Material("one", "a.example.test"))
			if res.State != delivery.Failed || !strings.Contains(res.Error, c.why) {
				t.Errorf("%s: %s, want %s", res.State, res.Error, c.why)
			}
			if after := s.snapshot(t); after != before {
				t.Errorf("something was changed:\n%s\nnow\n%s", before, after)
			}
		})
	}
}

// The file to write may be named, and what hitch needs beside a certificate stays in it.
func TestNamedFile(t *testing.T) {
	t.Parallel()
	s := newServer(t, "pem-file = \"DIR/mine.pem\"\n")
	const dh = "-----BEGIN DH PARAMETERS-----\nMAYCAQMCAQI=\n-----END DH PARAMETERS-----\n"
	s.write("mine.pem", pemOfNames(t, "a.example.test", "z.example.test")+dh)
	s.said["pem"] = []string{s.dir + "/mine.pem"}
	before := s.read("hitch.conf")
	b := targettest.NewBench(t, &targettest.Rig{Target: s.target})
	m := b.Material("one", "a.example.test")
	p := plan(t, s, m)
	if len(p.Changes) != 1 || string(p.Changes[0].New) != string(m.FullChainPEM)+string(m.KeyPEM)+dh || !p.Forget || !p.Changes[0].Secret {
		t.Errorf("%+v", p)
	}
	if s.read("hitch.conf") != before {
		t.Error("a plan has changed something")
	}
}

func plan(t *testing.T, s *server, m *delivery.Material) *installers.Plan {
	t.Helper()
	kind := Kind()
	v, problems := target.Parse(&kind, s.said, os.Getenv, false, true)
	if len(problems) > 0 {
		t.Fatal(&problems[0])
	}
	h, err := New(options(v, &target.Env{Name: "one"}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.Plan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What clients without SNI are shown is watched, where it is not to change.
func TestWatch(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]int{"pem-file = \"DIR/first.pem\"\n": 1, "pem-file = \"DIR/mine.pem\"\n": 0, "pem-dir = \"DIR/pems\"\n": 0, "pem-dir = \"DIR/pems\"\npem-file = \"DIR/first.pem\"\n": 0} {
		s := newServer(t, lines)
		s.write("mine.pem", pemOfNames(t, "a.example.test"))
		b := targettest.NewBench(t, &targettest.Rig{Target: s.target})
		if p := plan(t, s, b.Material("one", "a.example.test")); len(p.Watch) != want || len(p.Serves) != 1 {
			t.Errorf("%s: %d are watched, %d serve", lines, len(p.Watch), len(p.Serves))
		}
	}
}

// hitch takes a file only where it is newer, and the clock may have been wrong.
func TestNewerThanBefore(t *testing.T) {
	t.Parallel()
	s := newServer(t, "pem-file = \"DIR/first.pem\"\n")
	b := targettest.NewBench(t, rigOf(s))
	in(t, b.Apply(b.Material("one", "a.example.test")))
	future := time.Now().Add(24 * time.Hour)
	if err := os.Chtimes(s.dir+"/edge/one.pem", future, future); err != nil {
		t.Fatal(err)
	}
	s.daemon.Stop(t)
	s.daemon.Start(t)
	in(t, b.Apply(b.Material("one", "a.example.test")))
	if info, err := os.Stat(s.dir + "/edge/one.pem"); err != nil || !info.ModTime().After(future) {
		t.Errorf("its time is %v, %v", info.ModTime(), err)
	}
}

// Wherever the first installation is killed, which edits the configuration too, the next
// run makes it whole.
func TestKilledAtFirst(t *testing.T) {
	t.Parallel()
	every := 22
	if os.Getenv("EDGE_SOAK") != "" {
		every = 1
	}
	for n := 1; ; n += every {
		s := newServer(t, "pem-file = \"DIR/first.pem\"\n")
		want := strings.Replace(s.read("hitch.conf"), "pem-file", "pem-file = \""+s.dir+"/edge/one.pem\"\npem-file", 1)
		b := targettest.NewBench(t, rigOf(s))
		m := b.Material("one", "a.example.test")
		died := b.Killed(m, n)
		in(t, b.Apply(m))
		b.Shows(m)
		if got := s.read("hitch.conf"); got != want {
			t.Errorf("killed at step %d, the configuration is\n%s", n, got)
		}
		s.daemon.Stop(t)
		if !died {
			t.Logf("killed before step %d", n)
			return
		}
	}
}

// A hitch that does not run is said so, and everything is as it was.
func TestDown(t *testing.T) {
	t.Parallel()
	for _, pidFile := range []bool{true, false} {
		s := newServer(t, "pem-file = \"DIR/first.pem\"\n")
		if !pidFile {
			delete(s.said, "pid_file")
		}
		before := s.snapshot(t)
		b := targettest.NewBench(t, &targettest.Rig{Target: s.target})
		res := b.Apply(b.Material("one", "a.example.test"))
		if res.State != delivery.Failed || !strings.Contains(res.Error, "start it") || !strings.Contains(res.Error, "everything was put back") {
			t.Errorf("%s: %s", res.State, res.Error)
		}
		if after := s.snapshot(t); after != before {
			t.Errorf("not as it was:\n%s\nnow\n%s", before, after)
		}
	}
}

// Without a pid file the process is found by its configuration, and another hitch is none
// of ours.
func TestFindsProcess(t *testing.T) {
	t.Parallel()
	s, other := newServer(t, "pem-file = \"DIR/first.pem\"\n"), newServer(t, "pem-file = \"DIR/first.pem\"\n")
	b := targettest.NewBench(t, rigOf(s))
	other.daemon.Start(t)
	delete(s.said, "pid_file")
	in(t, b.Apply(b.Material("one", "a.example.test")))
	s.said["pid_file"] = []string{s.dir + "/stranger"}
	s.write("stranger", "1\n")
	if res := b.Apply(b.Material("one", "a.example.test")); res.State != delivery.Failed || !strings.Contains(res.Error, "no process id") {
		t.Errorf("%s: %s", res.State, res.Error)
	}
}

package postgresql

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"edge/installers"
	"edge/installers/directive"
	"edge/internal/edgetest/targettest"
)

// What PostgreSQL reads, read the same; what is changed is a value, and nothing else.
func TestConf(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("d/2.conf", "SSL_Cert_File '/it''s\\'' # x\r\n")
	write("d/1.conf", "ssl_cert_file=/first#x\n")
	write("d/3.other", "ssl_cert_file = '/no'\n")
	write("main", "# x\n  port = 5433 # y\ninclude_if_exists 'nothing'\ninclude_dir = 'd'\nssl on\nlast = ''")
	c, err := load(dir + "/main")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"ssl_cert_file": "/it's'", "port": "5433", "ssl": "on", "last": "", "nothing": ""} {
		if got := c.Value(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	changed := c.set([]directive.Setting{{Name: "ssl_cert_file", Value: "/new"}, {Name: "port", Value: "5434"}, {Name: "ssl_key_file", Value: "/new"}})
	if got := string(changed[2]); len(changed) != 2 || got != "ssl_cert_file = '/new' # x\r\n" {
		t.Errorf("%d files, %q", len(changed), got)
	}
	if got, want := string(changed[0]), strings.Replace(string(c.Files[0]), "port = 5433", "port = '5434'", 1)+"\nssl_key_file = '/new'\n"; got != want {
		t.Errorf("%q", got)
	}
	for text, want := range map[string]string{
		"a = 'b": "not closed", "a = b c": "follows", "a =": "no value", "=": "no setting", "include 'nothing'": "no such file", "include 'main'": "too many",
	} {
		write("main", text+"\n")
		if _, err := load(dir + "/main"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for v, want := range map[string]bool{"on": true, "TRUE": true, "t": true, "y": true, "1": true, "off": false, "o": false, "": false, "0": false} {
		if on(v) != want {
			t.Errorf("%q is %t", v, on(v))
		}
	}
}

// Whatever is in a file, changing it changes what PostgreSQL would read, and nothing else.
func FuzzConf(f *testing.F) {
	for _, s := range []string{"ssl_cert_file = '/a'\n", "a b\r\n", "# x\n\n ssl_cert_file '/''' # c", "ssl_cert_file=x#y", "a = '\\n'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := parse(text)
		if err != nil {
			return
		}
		c := &conf{&directive.Set{Paths: []string{"x"}, Files: [][]byte{[]byte(text)}, Lines: lines}}
		after := c.set([]directive.Setting{{Name: "ssl_cert_file", Value: "/new"}})[0]
		if after == nil {
			return // it is there already
		}
		now, err := parse(string(after))
		if err != nil {
			t.Fatalf("%q becomes %q: %v", text, after, err)
		}
		if got := (&directive.Set{Lines: now}).Value("ssl_cert_file"); got != "/new" {
			t.Fatalf("%q becomes %q: %q", text, after, got)
		}
		others := func(lines []directive.Line) (list []string) {
			for _, l := range lines {
				if !strings.EqualFold(l.Name, "ssl_cert_file") {
					list = append(list, fmt.Sprintf("%q %q", l.Name, l.Value))
				}
			}
			return list
		}
		if !slices.Equal(others(lines), others(now)) {
			t.Fatalf("%q becomes %q", text, after)
		}
	})
}

// TLS is turned on where it was off, and a restart does not take it back; what counts
// more than postgresql.conf is told of.
func TestOffAndOverridden(t *testing.T) {
	s := newServer(t, "")
	s.daemon.Stop(t)
	s.write("etc/conf.d/tls.conf", "#ssl = on\n")
	s.daemon.Start(t)
	b := targettest.NewBench(t, &targettest.Rig{Target: s.target, At: []installers.Endpoint{{Addr: s.addr, StartTLS: "postgres"}}, Single: true})
	m := b.Material("one", "a.example.test")
	if res := b.Apply(m); !res.OK() {
		t.Fatalf("%+v", res)
	}
	if got := s.read("etc/postgresql.conf"); !strings.HasSuffix(got, "ssl = 'on'\n") {
		t.Errorf("%s", got)
	}
	p, err := New(Options{Name: "one", Config: s.conf, Dir: s.dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, activate := p.Commands(); !slices.Equal(activate, []string{"pg_ctl", "reload", "-D", s.dir + "/data"}) {
		t.Errorf("people are told to say %q", activate)
	}
	s.daemon.Stop(t)
	s.daemon.Start(t)
	b.Shows(m)
	// Another folder, for the same certificate: the handshake would say nothing.
	if err := os.MkdirAll(s.dir+"/closed", 0o700); err != nil {
		t.Fatal(err)
	}
	s.said["dir"] = []string{s.dir + "/closed/tls"}
	if res := b.Apply(m); res.OK() || !strings.Contains(res.Error, "cannot enter "+s.dir+"/closed") {
		t.Errorf("%+v", res)
	}
	s.said["dir"] = []string{s.dir + "/ssl"}
	s.write("data/postgresql.auto.conf", "ssl_key_file = '/elsewhere'\n")
	if res := b.Apply(b.Material("one", "a.example.test")); res.OK() || !strings.Contains(res.Error, "ALTER SYSTEM RESET ssl_key_file") {
		t.Errorf("%+v", res)
	}
	s.write("data/postgresql.auto.conf", "ssl = 'off'\n")
	if res := b.Apply(b.Material("one", "a.example.test")); res.OK() || !strings.HasSuffix(res.Error, "ALTER SYSTEM RESET ssl") {
		t.Errorf("%+v", res)
	}
}

// What is not the server that is meant is not signalled.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pid := func(pid int) string { return fmt.Sprintf("%d\n%s\n1\n5432\n\n127.0.0.1\n1 2\nready\n", pid, dir) }
	steps := []struct {
		name, text, want string
	}{
		{"postgresql.conf", "port = 1\n", "PG_VERSION"},
		{"PG_VERSION", "9.6\n", "at its start only"},
		{"PG_VERSION", "15\n", "it does not run: there is"},
		{"postmaster.pid", "1\n", "is it starting"},
		{"postmaster.pid", "x" + pid(1), "no process in its first"},
		{"postmaster.pid", pid(os.Getpid()), "and no PostgreSQL of user"},
		{"postmaster.pid", pid(1<<22 + 1), "which is gone"},
		{"postgresql.conf", "port = 1 2\n", "something follows the value"},
	}
	for _, step := range steps {
		write(step.name, step.text)
		p, err := New(Options{Name: "x", Config: dir + "/postgresql.conf", Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.look(); err == nil || !strings.Contains(err.Error(), step.want) {
			t.Errorf("%q in %s: %v, want %q", step.text, step.name, err, step.want)
		}
	}
	for want, o := range map[string]Options{"cannot be written": {Name: "a", Config: "/c", Dir: "/a'b"}, "named after": {Name: ".x", Config: "/c", Dir: "/d"}, "no folder": {Name: "a", Config: "/c"}} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

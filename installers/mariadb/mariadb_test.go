package mariadb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/installers"
	"edge/internal/edgetest/targettest"
)

// The first time, MariaDB is restarted, where that was allowed; from then on it is not.
func TestFirstTime(t *testing.T) {
	s := newServer(t, "")
	b := targettest.NewBench(t, &targettest.Rig{Target: s.target, At: []installers.Endpoint{{Addr: s.addr, StartTLS: "mysql"}}, Single: true})
	m := b.Material("one", "a.example.test")
	if res := b.Apply(m); res.OK() || !strings.Contains(res.Error, "say with restart:") {
		t.Fatalf("%+v", res)
	}
	if _, err := os.Stat(s.dir + "/ssl/one.pem"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
	s.said["restart"] = []string{s.program("restarts", "touch DIR/restart DIR/restarted; kill $(cat DIR/run/pid); while [ -e DIR/run/pid ]; do sleep 0.05; done")}
	s.write("more.d/60-bad.cnf", "[mysqld]\nno_such_option = 1\n")
	if res := b.Apply(m); res.OK() || !strings.Contains(res.Error, "unknown variable 'no_such_option=1'") {
		t.Fatalf("%+v", res)
	}
	if _, err := os.Stat(s.dir + "/restarted"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("it was restarted, and does not start: %v", err)
	}
	// Nor is it for a rollback, which has no plan.
	rolls, err := New(Options{Name: "x", Config: s.dir + "/my.cnf", Dir: s.dir, Client: "mariadb", Socket: s.dir + "/run/s.sock", Run: installers.Run, Exec: installers.Exec})
	if err != nil {
		t.Fatal(err)
	}
	s.write("more.d/zz-edge.cnf", "[mysqld]\nssl_cert = /other\n")
	if err := rolls.Test(t.Context()); err == nil || !strings.Contains(err.Error(), "it is not restarted") {
		t.Errorf("%v", err)
	}
	if err := errors.Join(os.Remove(s.dir+"/more.d/60-bad.cnf"), os.Remove(s.dir+"/more.d/zz-edge.cnf")); err != nil {
		t.Fatal(err)
	}
	if res := b.Apply(m); !res.OK() {
		t.Fatalf("%+v", res)
	}
	b.Shows(m)
	own, err := os.ReadFile(s.dir + "/more.d/zz-edge.cnf")
	if want := strings.ReplaceAll("# written by edge\n[mysqld]\nssl_cert = DIR/ssl/one.pem\nssl_key = DIR/ssl/one.pem\n", "DIR", s.dir); err != nil || string(own) != want {
		t.Errorf("%q %v", own, err)
	}
	if err := os.Remove(s.dir + "/restarted"); err != nil {
		t.Fatal(err)
	}
	m = b.Material("one", "a.example.test")
	if res := b.Apply(m); !res.OK() {
		t.Fatalf("%+v", res)
	}
	b.Shows(m)
	if _, err := os.Stat(s.dir + "/restarted"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was restarted for a renewal: %v", err)
	}
}

// What the server reads, read the same.
func TestConf(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("my.cnf", "; x\n[client]\nssl-cert=/client\n[mysqld]\nssl-cert = '/a#b' # c\nport\n!include DIR/one\n!includedir DIR/d\n!includedir DIR/none\n")
	write("one", "[mariadb-10.11]\nloose-ssl_cert = /series\\s1\n")
	write("d/2.cnf", "[mysqld]\nssl_key=/key\n")
	write("d/1.cnf", "[mariadb-10.6]\nssl_cert=/other\n")
	write("d/3.txt", "[mysqld]\nssl_key=/no\n")
	c, err := load(dir+"/my.cnf", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{"10.11.6": "/series 1", "10.6.1": "/other", "8.0.1": "/a#b"} {
		if got := c.value("ssl_cert", version); got != want {
			t.Errorf("%s reads %q, want %q", version, got, want)
		}
	}
	if got := c.value("ssl_key", "10.11.6"); got != "/key" || len(c.dirs) != 1 {
		t.Errorf("%q %q", got, c.dirs)
	}
	then, err := load(dir+"/my.cnf", dir+"/d/zz-edge.cnf", []byte("[mysqld]\nssl_cert=/new\n"))
	if err != nil || then.value("ssl_cert", "10.11.6") != "/new" {
		t.Errorf("%v %v", then, err)
	}
	for text, want := range map[string]string{"[x\n": "does not end", "!include\n": "no directive", "!other x\n": "no directive", "!include DIR/nothing\n": "no such file", "!include DIR/my.cnf\n": "too many"} {
		write("my.cnf", text)
		if _, err := load(dir+"/my.cnf", "", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzConf(f *testing.F) {
	for _, s := range []string{"[mysqld]\nssl-cert = 'a' # b\n", "a=\\s\\\\\n", "\"x", "[server]\nport\n;y", "[", "!x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "!include") {
			return // files of this machine
		}
		c := &conf{}
		if err := c.file("/x", "/x", []byte(text), 0); err != nil {
			return
		}
		for _, o := range c.options {
			if o.line < 1 || strings.Contains(o.name, "-") || strings.Contains(o.value, "\x00\x00\n") {
				t.Errorf("%+v", o)
			}
		}
	})
}

// client is the server's client, as a function.
type client struct {
	answer string
	said   []string
}

func (c *client) run(_ context.Context, argv []string) (string, error) {
	sql := argv[len(argv)-1]
	c.said = append(c.said, strings.Join(argv, " "))
	if sql == "--execute="+asks {
		return c.answer, nil
	}
	return "", nil
}

// MySQL 8 takes other files while it runs, and is told in its own words; what it says of
// itself is not trusted.
func TestMySQLAndRefusals(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/my.cnf", []byte("[mysqld]\nssl_cert=/it's\nssl_key=/key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	answer := func(version, comment, cert, skip string) string {
		return fmt.Sprintf("mysql: [Warning] x\n%s\t%s\t%s\t%s\t3306\t*,::\tpid\t%s\t%s", version, comment, cert, cert, skip, dir)
	}
	c := &client{answer: answer("8.0.36", "MySQL Community Server", "server.pem", "0")}
	d, err := New(Options{Name: "x", Config: dir + "/my.cnf", Dir: dir, Client: "mysql", DefaultsFile: "/root/my", Socket: "/s", Run: c.run})
	if err != nil {
		t.Fatal(err)
	}
	is, err := d.ask(t.Context())
	if err != nil || is.product() != "MySQL" || is.at().Addr != "127.0.0.1:3306" {
		t.Fatalf("%+v %v", is, err)
	}
	if err := d.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := "mysql --defaults-extra-file=/root/my --batch --skip-column-names --connect-timeout=10 --protocol=socket --socket=/s " +
		"--execute=SET GLOBAL ssl_cert = '/it''s', GLOBAL ssl_key = '/key'; ALTER INSTANCE RELOAD TLS"
	if got := c.said[len(c.said)-1]; got != want {
		t.Errorf("said %s", got)
	}
	for want, text := range map[string]string{"nine fields": "x", "skip_networking": answer("10.11", "MariaDB", "", "1")} {
		c.answer = text
		if _, err := d.ask(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for want, o := range map[string]Options{
		"cannot be written": {Name: "a", Config: "/c", Client: "m", Dir: "/a b"}, "named after": {Name: ".x", Config: "/c", Client: "m", Dir: "/d"},
		"no option file": {Name: "a", Client: "m", Dir: "/d"}, "does not end in .cnf": {Name: "a", Config: "/c", Client: "m", Dir: "/d", OwnFile: "/x.conf"},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// An option file that has more in it than edge's lines is not written over, and one that
// would not count is not written at all.
func TestOwnFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(dir+"/d", 0o755), os.WriteFile(dir+"/"+name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("my.cnf", "!includedir "+dir+"/d\n")
	const last = "ssl_key = /old\n"
	for _, c := range []struct{ text, more, want string }{
		{"", "", ""}, {head + "ssl_cert = /old\n" + last, "", ""}, {head, "", ""},
		{head + last + "max_connections = 500\n", "", "other lines than edge writes"}, {"[mysqld]\n" + last, "", "other lines than edge writes"},
		{"", "[mysqld]\nssl-cert=/mine\n", "zzz.cnf, line 2, counts more"},
	} {
		write("d/zz-edge.cnf", c.text)
		if c.text == "" {
			if err := os.Remove(dir + "/d/zz-edge.cnf"); err != nil {
				t.Fatal(err)
			}
		}
		write("d/zzz.cnf", c.more)
		d, err := New(Options{Name: "x", Config: dir + "/my.cnf", Dir: dir, Client: "mariadb"})
		if err != nil {
			t.Fatal(err)
		}
		p := &installers.Plan{}
		err = d.planOptions(p, &running{version: "10.11.6-MariaDB"}, dir+"/x.pem")
		if c.want == "" && (err != nil || len(p.Changes) != 1) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || len(p.Changes) > 0) {
			t.Errorf("%q, %q: %v, %d changes", c.text, c.more, err, len(p.Changes))
		}
	}
}

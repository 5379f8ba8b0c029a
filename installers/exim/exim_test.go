package exim

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

// Clients that name no host get the certificate only where nobody else's would go.
func TestTakesDefault(t *testing.T) {
	dir := t.TempDir()
	later := time.Now().Add(time.Hour)
	write := func(name string, raw []byte) string {
		t.Helper()
		if err := os.MkdirAll(dir+"/edge", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+name, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	m, err := delivery.NewMaterial("one", edgetest.NewChain(t, later, "*.example.test", "example.test"), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	same := edgetest.NewChain(t, later, "mail.example.test", "example.test").Chain
	for name, c := range map[string]struct {
		set, file string
		want      bool
	}{
		"another's":    {auto, write("theirs", edgetest.NewChain(t, later, "mail.example.test", "mail.other.test").Chain), false},
		"for the same": {auto, write("same", same), true}, "of edge's": {auto, write("edge/two.pem", same), false},
		"expired": {auto, write("over", edgetest.NewChain(t, time.Now().Add(-time.Minute), "mail.other.test").Chain), true},
		"missing": {auto, dir + "/x", true}, "none": {auto, "", true}, "garbage": {auto, write("g", []byte("x")), true},
		"several": {auto, dir + "/x:" + dir + "/y", false}, "an expansion": {auto, "${if eq{a}{b}{/x}{/y}}", false},
		"always": {always, dir + "/theirs", true}, "never": {never, dir + "/same", false}, "ours": {auto, dir + "/edge/one.pem", true},
	} {
		x := &Exim{o: Options{Name: "one", Default: c.set, Dir: dir + "/edge", Now: time.Now}}
		if got, err := x.takesDefault(c.file, m.Certs[0]); err != nil || got != c.want {
			t.Errorf("%s: %t %v", name, got, err)
		}
	}
}

// bench is a server that runs, with what it is asked at.
func (s *server) bench(t *testing.T) *targettest.Bench {
	s.daemon.Start(t)
	return targettest.NewBench(t, s.rig())
}

// The first delivery needs SIGHUP, and where it is ignored, nothing stays.
func TestReloadIgnored(t *testing.T) {
	t.Parallel() // much of it is waiting
	s := newServer(t, tlsText)
	b := s.bench(t)
	before := s.files("exim.conf", "edge/*")
	s.said["reload"], s.within = []string{"true"}, time.Second
	if res := b.Apply(b.Material("one", "a.example.test")); res.OK() || !strings.Contains(res.Error, "ignored the reload") || !strings.HasSuffix(res.Error, "; everything was put back as it was before") || strings.Contains(res.Error, "either") {
		t.Errorf("%+v", res)
	}
	if after := s.files("exim.conf", "edge/*"); after != before {
		t.Errorf("not as it was:\n%s", after)
	}
	delete(s.said, "reload")
	s.within = 0
	m := b.Material("one", "a.example.test")
	if res := b.Apply(m); !res.OK() {
		t.Fatalf("%+v", res)
	}
	b.Shows(m)
	info, err := os.Stat(s.dir + "/edge/one.pem")
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("%v %v", info, err)
	}
	s.said["reload"] = []string{"false"} // a renewal does not run it
	if res := b.Apply(b.Material("one", "a.example.test")); !res.OK() {
		t.Errorf("%+v", res)
	}
}

// The default goes from nobody's to the first, and to another only when that is said; the
// configuration keeps all else.
func TestDefault(t *testing.T) {
	t.Parallel() // much of it is waiting
	s := newServer(t, "")
	b := s.bench(t)
	shows := func(name string) string {
		t.Helper()
		got, err := installers.Shows(t.Context(), installers.Endpoint{Addr: s.smtps, Name: name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.SerialNumber.String()
	}
	one, two := b.Material("one", "a.example.test"), b.Material("two", "*.b.example.test")
	first, second := one.Certs[0].SerialNumber.String(), two.Certs[0].SerialNumber.String()
	for _, m := range []struct {
		set string
		m   *delivery.Material
		all string
	}{{auto, one, first}, {auto, two, first}, {always, two, second}} {
		s.said["default"] = []string{m.set}
		if res := b.Apply(m.m); !res.OK() {
			t.Fatalf("default: %s: %+v", m.set, res)
		}
		for _, name := range []string{"", "x.test", "b.example.test", "x.y.b.example.test"} {
			if shows(name) != m.all {
				t.Errorf("default: %s: %q", m.set, name)
			}
		}
		if shows("A.example.test") != first {
			t.Error("the first name")
		}
	}
	if shows("x.b.example.test") != second {
		t.Error("the wildcard")
	}
	before, after := s.text(confText), s.read("exim.conf")
	if lines := strings.Split(strings.TrimPrefix(after, before), "\n"); !strings.HasPrefix(after, before) || len(lines) != 3 {
		t.Errorf("%s", after)
	}
	s.said["default"] = []string{never}
	if res := b.Apply(b.Material("two", "*.b.example.test")); res.OK() || !strings.Contains(res.Error, "is the default already") {
		t.Errorf("%+v", res)
	}
	if res := b.Apply(b.Material("three", "a.example.test")); res.OK() || !strings.Contains(res.Error, "already") {
		t.Errorf("a name of another lineage: %+v", res)
	}
}

// What edge cannot write itself is written by hand, and found.
func TestByHand(t *testing.T) {
	t.Parallel() // much of it is waiting
	s := newServer(t, ".include DIR/more.conf\n")
	s.write("more.conf", tlsText)
	b := s.bench(t)
	m := b.Material("one", "a.example.test")
	res := b.Apply(m)
	_, lines, ok := strings.Cut(res.Error, "daemon:\n")
	if res.OK() || !ok {
		t.Fatalf("%+v", res)
	}
	s.write("more.conf", lines+"\n")
	before := s.read("exim.conf") + s.read("more.conf")
	if res := b.Apply(m); !res.OK() {
		t.Fatalf("%+v", res)
	}
	b.Shows(m)
	if s.read("exim.conf")+s.read("more.conf") != before {
		t.Error("the configuration was changed")
	}
}

// Debian's configuration is made of files, in which macros stand for the options.
func TestDebian(t *testing.T) {
	t.Parallel() // much of it is waiting
	s := newServer(t, "")
	etc := s.dir + "/exim4"
	if err := os.CopyFS(etc, os.DirFS(tree+"/etc/exim4")); err != nil {
		t.Fatal(err)
	}
	update := []string{tree + "/run", tree + "/usr/sbin/update-exim4.conf", "-d", etc, "-o", s.dir + "/config.autogenerated"}
	s.write("exim4/update-exim4.conf.conf", "dc_eximconfig_configtype='internet'\ndc_local_interfaces='127.0.0.1'\ndc_use_split_config='true'\nCFILEMODE='644'\n")
	s.write("exim4/conf.d/main/01_test", "MAIN_HARDCODE_PRIMARY_HOSTNAME = mail.example.test\nMAIN_HOST_LOOKUP =\n")
	s.write("exim4/conf.d/main/90_test", "pid_file_path = DIR/spool/exim.pid\nlog_file_path = DIR/spool/%slog\ndaemon_smtp_ports = SMTP : SMTPS\ntls_on_connect_ports = SMTPS\n")
	for file, with := range map[string][2]string{
		"01_exim4-config_listmacrosdefs": {"exim_path = /usr/sbin", "exim_path = TREE/usr/sbin"},
		"02_exim4-config_options":        {"= SPOOLDIR", "= DIR/spool"},
	} {
		file = "exim4/conf.d/main/" + file
		before := s.read(file)
		if !strings.Contains(before, with[0]) {
			t.Fatalf("%s is not as it was in Debian 12", file)
		}
		if err := os.WriteFile(s.dir+"/"+file, []byte(strings.Replace(before, with[0], s.text(with[1]), 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := installers.Run(t.Context(), update); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	s.daemon.Argv[2] = s.dir + "/config.autogenerated"
	s.said["config"], s.said["update"] = []string{s.dir + "/config.autogenerated"}, update
	s.said["localmacros"] = []string{etc + "/conf.d/main/000_localmacros"}
	b := s.bench(t)
	before := s.read("config.autogenerated")
	s.said["reload"], s.within = []string{"true"}, time.Second
	if res := b.Apply(b.Material("one", "a.example.test")); res.OK() {
		t.Errorf("%+v", res)
	}
	if s.read("config.autogenerated") != before {
		t.Error("the configuration that is made is not as it was")
	}
	delete(s.said, "reload")
	s.within = 0
	for range 2 {
		m := b.Material("one", "a.example.test")
		if res := b.Apply(m); !res.OK() {
			t.Fatalf("%+v", res)
		}
		b.Shows(m)
	}
	// What somebody has begun to change is neither put in force by a renewal, nor in its way.
	before = s.read("config.autogenerated")
	s.write("exim4/conf.d/main/000_localmacros", "MAIN_TLS_CERTKEY = /x\nMAIN_TLS_ENABLE = 1\n")
	if res := b.Apply(b.Material("one", "a.example.test")); !res.OK() || s.read("config.autogenerated") != before {
		t.Errorf("%+v", res)
	}
	if out, err := installers.Run(t.Context(), update); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if res := b.Apply(b.Material("one", "a.example.test")); res.OK() || !strings.Contains(res.Error, "MAIN_TLS_CERTKEY counts more") {
		t.Errorf("%+v", res)
	}
}

// At whatever step the process dies while the configuration changes, the next one finds
// its way. The normal run takes a sample of the steps.
func TestKilled(t *testing.T) {
	t.Parallel() // much of it is waiting
	s := newServer(t, tlsText)
	b := s.bench(t)
	s.said["default"] = []string{always}
	every := 17
	if os.Getenv("EDGE_SOAK") != "" {
		every = 1
	}
	for n := 2; ; n += every {
		m := b.Material(fmt.Sprint("l", n), fmt.Sprintf("l%d.example.test", n))
		if !b.Killed(m, n) {
			t.Logf("there are %d steps or less", n)
			break
		}
		if res := b.Apply(m); !res.OK() {
			t.Fatalf("after step %d: %+v", n, res)
		}
		b.Shows(m)
	}
}

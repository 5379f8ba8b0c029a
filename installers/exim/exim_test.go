package exim

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

// Only the option's own lines change, and it is written where Exim takes it.
func TestSet(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"set":           {"a = b\n  hide tls_certificate = /x/\\\n    y\n# c\nbegin acl\ntls_certificate = no\n", "a = b\n  hide tls_certificate = V\n# c\nbegin acl\ntls_certificate = no\n"},
		"not there":     {"# x\na = b\\\n# in between\n  c\n\n# y\n\nbegin acl\n", "# x\na = b\\\n# in between\n  c\ntls_certificate = V\n\n# y\n\nbegin acl\n"},
		"no end":        {"a = b", "a = b\ntls_certificate = V\n"},
		"set, no end":   {"tls_certificate = x", "tls_certificate = V"},
		"empty":         {"", "tls_certificate = V\n"},
		"after .ifdef":  {".ifdef X\na = b\n.endif\nbegin acl\n", ".ifdef X\na = b\n.endif\ntls_certificate = V\nbegin acl\n"},
		"in a comment":  {"# tls_certificate = x\\\ntls_certificates = y\n", "# tls_certificate = x\\\ntls_certificates = y\ntls_certificate = V\n"},
		"in a value":    {"a = b\\\ntls_certificate = x\n", "a = b\\\ntls_certificate = x\ntls_certificate = V\n"},
		"long":          {"tls_certificate = \\\n\\\n  x\nb = c\n", "tls_certificate = V\nb = c\n"},
		"an .ifdef":     {".ifdef X\ntls_certificate = x\n.endif\n", ""},
		"twice":         {"tls_certificate = x\ntls_certificate = y\n", ""},
		"comments":      {"tls_certificate = \\\n# it is\nx\n", ""},
		"goes on":       {"a = b\\\n# x", ""},
		"begin in one":  {".ifdef X\nbegin acl\n.endif\n", ""},
		".endif before": {".endif\n", ""},
	} {
		parsed, err := parseConf([]byte(c.in))
		var got []byte
		if err == nil {
			got, err = parsed.set("tls_certificate", "V", false)
		}
		if string(got) != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %q %v, want %q", name, got, err, c.want)
		}
	}
	parsed, err := parseConf([]byte(".include /x\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.set("tls_certificate", "V", true); !errors.Is(err, errByHand) {
		t.Errorf("set elsewhere: %v", err)
	}
}

func FuzzSet(f *testing.F) {
	for _, s := range []string{"tls_certificate = x\\\n y\nb = c\nbegin acl\n", ".ifdef X\n.endif\na=b", "#\\\n\\\n#\n", "hide a = \\", "hide a = \\\nb\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		parsed, err := parseConf(src)
		if err != nil {
			return
		}
		at := 0
		for _, s := range parsed.list {
			if s.from < at || s.to <= s.from || s.to > len(src) {
				t.Fatalf("%+v after %d", s, at)
			}
			at = s.to
		}
		once, err := parsed.set("tls_certificate", "V", false)
		if err != nil {
			return
		}
		again, err := parseConf(once)
		if err != nil || !again.has("tls_certificate") {
			t.Fatalf("%q: %v", once, err)
		}
		twice, err := again.set("tls_certificate", "V", false)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%q, %q: %v", once, twice, err)
		}
		if !parsed.has("tls_certificate") { // it was put in between, whole lines
			whole := strings.TrimSuffix(strings.Replace("\n"+string(once), "\ntls_certificate = V\n", "\n", 1), "\n")
			if strings.TrimSuffix("\n"+string(src), "\n") != whole {
				t.Errorf("%q has become %q", src, once)
			}
		}
	})
}

func TestTable(t *testing.T) {
	there := func(path string) bool { return path != "/gone" }
	text := "# x\na.test: /ours\n*.b.test: /theirs\nc.test: /gone\n\nd.test: /ours"
	list, err := parseTable([]byte(text))
	if err != nil || string(printTable(list)) != text {
		t.Fatalf("%q %v", printTable(list), err)
	}
	list, gone, err := putTable(list, "/ours", []string{"d.test", "*.a.test"}, there)
	if want := "# x\n*.b.test: /theirs\n\nd.test: /ours\n*.a.test: /ours\n"; err != nil || string(printTable(list)) != want || fmt.Sprint(gone) != "[c.test (/gone)]" {
		t.Errorf("%q %v %v", printTable(list), gone, err)
	}
	if _, _, err := putTable(list, "/ours", []string{"*.b.test"}, there); err == nil || !strings.Contains(err.Error(), "line 2: *.b.test has /theirs already") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"a.test /x\n", "a.test: x\n", " a.test: /x\n", "\"a\": /x\n", "a b: /x\n", ": /x\n"} {
		if _, err := parseTable([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if names, err := sni([]string{"A.test", "192.0.2.1", "*.b.test", "a.TEST"}); err != nil || fmt.Sprint(names) != "[a.test *.b.test]" {
		t.Errorf("%q %v", names, err)
	}
	for _, h := range []string{"a b", "a{", "*.", "a\nb", "$x", "a:b", "a*"} {
		if _, err := sni([]string{h}); err == nil {
			t.Errorf("%q is taken for a name", h)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("# x\na.test: /ours\n*.b.test: /theirs\n\nd.test: /ours"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := parseTable(raw)
		if err != nil {
			return
		}
		if got := printTable(list); !bytes.Equal(got, raw) {
			t.Fatalf("%q is printed as %q", raw, got)
		}
		list, _, err = putTable(list, "/ours", []string{"n.test"}, func(string) bool { return true })
		if err != nil {
			return
		}
		once := printTable(list)
		if list, err = parseTable(once); err == nil {
			list, _, err = putTable(list, "/ours", []string{"n.test"}, func(string) bool { return true })
		}
		if err != nil || !bytes.Equal(printTable(list), once) {
			t.Errorf("%q, then %q: %v", once, printTable(list), err)
		}
	})
}

func TestWrap(t *testing.T) {
	for _, p := range []pair{{"/a.crt", "/a.key"}, {"${if eq{a}{b}{/c}{/d}}", "/x"}} {
		w, err := p.wrap("/t")
		if err != nil || w.unwrap("/t") != p || w.unwrap("/u") != w {
			t.Errorf("%+v: %+v %v", p, w, err)
		}
	}
	if got := (pair{"/a", ""}).unwrap("/t"); got.key != "/a" {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"{", "}", "}{", "a\nb"} {
		if _, err := (pair{bad, "/x"}).wrap("/t"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		addresses, ports string
		want             []string
	}{
		{"<; ::0 ; 0.0.0.0", "smtp : 465", []string{"0.0.0.0:25", "0.0.0.0:465"}},
		{"127.0.0.1 : ::::1", "25", []string{"127.0.0.1:25", "[::1]:25"}},
		{"<; [192.0.2.1]:26 ; 192.0.2.2.27;[2001:db8::1]:28;2001:db8::1.29;x", "nonsense:99999:0", []string{"192.0.2.1:26", "192.0.2.2:27", "[2001:db8::1]:28", "[2001:db8::1]:29"}},
		{"<; ::0", "<, 25, 25", []string{"[::]:25"}},
	} {
		var got []string
		for _, e := range endpoints(items(c.addresses), items(c.ports)) {
			got = append(got, e.Addr)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s, %s: %v", c.addresses, c.ports, got)
		}
	}
	if got := endpoints(nil, []string{"[::1]:25", "26"}); len(got) != 1 || got[0].Addr != "[::1]:25" {
		t.Errorf("%v", got)
	}
}

func FuzzEndpoints(f *testing.F) {
	f.Add("<; ::0 ; 0.0.0.0", "smtp : 465")
	f.Add("a.::1.5:[::1]:x", "<")
	f.Fuzz(func(t *testing.T, addresses, ports string) {
		if strings.ContainsFunc(ports, func(c rune) bool { return c >= 'a' && c <= 'z' }) {
			return // names of services are looked up
		}
		for _, e := range endpoints(items(addresses), items(ports)) {
			if e.Addr == "" || e.StartTLS != "smtp" {
				t.Errorf("%+v", e)
			}
		}
	})
}

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

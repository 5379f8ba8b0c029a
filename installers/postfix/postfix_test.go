package postfix

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"edge/installers"
	"edge/internal/edgetest/targettest"
)

// What is changed in main.cf is an assignment, and nothing else.
func TestMainCF(t *testing.T) {
	const src = "# top\nmyhostname = a.test\nsmtpd_tls_cert_file =\n  /a.pem,\n# in between\n\t/b.pem\nlast=1"
	for _, c := range []struct {
		do   func(c *mainCF) error
		want string
	}{
		{func(c *mainCF) error { return c.set("last", "2") }, strings.Replace(src, "last=1", "last=2", 1)},
		{func(c *mainCF) error { return c.set("myhostname", "a.test") }, src},
		{func(c *mainCF) error { return c.set("new", "/x") }, src + "\nnew = /x\n"},
		{func(c *mainCF) error { return c.set("smtpd_tls_cert_file", "/x") }, "# top\nmyhostname = a.test\nsmtpd_tls_cert_file = /x\n# in between\nlast=1"},
		{func(c *mainCF) error { return c.remove("smtpd_tls_cert_file") }, "# top\nmyhostname = a.test\n# in between\nlast=1"},
		{func(c *mainCF) error { return c.remove("nothing") }, src},
	} {
		m, err := parseMain([]byte(src))
		if err == nil {
			err = c.do(m)
		}
		if err != nil || string(m.src) != c.want {
			t.Errorf("%q, want %q (%v)", m.src, c.want, err)
		}
	}
	m, err := parseMain([]byte(src))
	if v, ok := m.get("smtpd_tls_cert_file"); err != nil || !ok || strings.Join(strings.Fields(v), " ") != "/a.pem, /b.pem" {
		t.Errorf("%q %t %v", v, ok, err)
	}
	for _, bad := range []string{"  x", "no assignment", "a b = c", " = x"} {
		if _, err := parseMain([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Whatever is in main.cf, an assignment changes that and nothing else.
func FuzzMainCF(f *testing.F) {
	for _, s := range []string{"a = b\n", "x =\n y\n# c\n z\nx=1", "# only\n\n", "a=\r\n b\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		m, err := parseMain([]byte(src))
		if err != nil {
			return
		}
		before := m.params
		if err := m.set("smtpd_tls_chain_files", "/new"); err != nil {
			t.Fatalf("%q: %v", src, err)
		}
		if v, _ := m.get("smtpd_tls_chain_files"); v != "/new" {
			t.Fatalf("%q becomes %q: %q", src, m.src, v)
		}
		others := func(list []param) (out []string) {
			for _, p := range list {
				if p.name != "smtpd_tls_chain_files" {
					out = append(out, p.name+"="+strings.Join(strings.Fields(p.text), " "))
				}
			}
			return out
		}
		if a, b := others(before), others(m.params); !slices.Equal(a, b) {
			t.Fatalf("%q becomes %q: %q, %q", src, m.src, a, b)
		}
		if err := m.remove("smtpd_tls_chain_files"); err != nil {
			t.Fatalf("%q: %v", src, err)
		}
		if _, there := m.get("smtpd_tls_chain_files"); there {
			t.Fatalf("%q is still there", m.src)
		}
	})
}

// The table of names keeps what others wrote, and has each name once.
func TestSNI(t *testing.T) {
	m, err := parseSNI([]byte("# theirs\nB.test\t/their.pem\nold.test /p/one.pem\nc.test\n  /their.pem\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.put("/p/one.pem", []string{"a.test", ".w.test"}); err != nil {
		t.Fatal(err)
	}
	if want := "# theirs\nB.test\t/their.pem\nc.test\n  /their.pem\na.test /p/one.pem\n.w.test /p/one.pem\n"; string(m.src) != want {
		t.Errorf("%q", m.src)
	}
	before := string(m.src)
	if err := m.put("/p/one.pem", []string{".w.test", "a.test"}); err != nil || string(m.src) != before {
		t.Errorf("the second time: %q %v", m.src, err)
	}
	if got := fmt.Sprint(m.paths()); got != "[/their.pem /p/one.pem]" {
		t.Errorf("%s", got)
	}
	if err := m.drop("/p/one.pem"); err != nil || strings.Contains(string(m.src), "one.pem") {
		t.Errorf("%q %v", m.src, err)
	}
	if got := sniKey("*.Example.org"); got != ".example.org" || probeName(got) != "edge-probe.example.org" {
		t.Errorf("%s", got)
	}
}

// Services are found where they offer TLS, as master.cf overrides main.cf.
func TestServices(t *testing.T) {
	master := "smtp       inet  n       -       y       -       -       smtpd\n465 inet n - y - - smtpd\n[::1]:587 inet n - y - - smtpd\n10025 inet n - n - - smtpd\n" +
		"192.0.2.1:25 inet n - n - 1 postscreen\nsmtp unix - - n - - smtp\n2525 inet n - n - - smtpd\n"
	params := "465/inet/smtpd_tls_wrappermode = yes\n[::1]:587/inet/smtpd_tls_security_level = encrypt\n10025/inet/smtpd_tls_security_level = none\n" +
		"2525/inet/smtpd_tls_chain_files = /other.pem\n192.0.2.1:25/inet/smtpd_upstream_proxy_protocol = haproxy\n"
	v := parseValues("smtpd_tls_security_level = may\ninet_interfaces = loopback-only\ninet_protocols = all\nmail_version = 3.7.11\n")
	services := parseServices(master, params)
	want := []installers.Endpoint{{Addr: "127.0.0.1:smtp", StartTLS: "smtp"}, {Addr: "127.0.0.1:465"}, {Addr: "[::1]:587", StartTLS: "smtp"}, {Addr: "192.0.2.1:25", StartTLS: "smtp", ProxyProtocol: true}}
	if got := v.endpoints(services); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	own := 0
	for _, s := range services {
		own += len(s.overridden())
	}
	if own != 1 || !v.hasChains() || (values{"mail_version": "3.3.1"}).hasChains() || !(values{"mail_version": "4.0-20250101"}).hasChains() {
		t.Errorf("%d overrides", own)
	}
}

func FuzzServices(f *testing.F) {
	f.Add("smtp inet n - y - - smtpd\n", "smtp/inet/x = y\n")
	f.Fuzz(func(t *testing.T, master, params string) {
		for _, e := range parseValues(params).endpoints(parseServices(master, params)) {
			if e.Addr == "" {
				t.Errorf("%+v", e)
			}
		}
	})
}

// A default chain that Postfix could not load would turn TLS off for every name: nothing
// is done beside one. Nor is a service's own certificate passed over in silence.
func TestRefusals(t *testing.T) {
	s := beside(t)
	b := targettest.NewBench(t, s.rig())
	good := s.read("theirs.pem")
	s.write("theirs.pem", good[:len(good)/2])
	if res := b.Apply(b.Material("one", "a.example.test")); res.OK() || !strings.Contains(res.Error, "turns TLS off for every name") {
		t.Errorf("%+v", res)
	}
	s.write("theirs.pem", good)
	master := s.read("master.cf")
	s.write("master.cf", strings.Replace(master, "-o smtpd_tls_wrappermode=yes", "-o smtpd_tls_wrappermode=yes\n  -o smtpd_tls_chain_files="+s.etc+"/theirs.pem", 1))
	if res := b.Apply(b.Material("one", "a.example.test")); res.OK() || !strings.Contains(res.Error, "master.cf overrides main.cf: smtpd_tls_chain_files of 127.0.0.1:") {
		t.Errorf("%+v", res)
	}
	s.write("master.cf", master)
	if res := b.Apply(b.Material("one", "a.example.test")); !res.OK() {
		t.Errorf("%+v", res)
	}
	if res := b.Apply(b.Material("two", "a.example.test")); res.OK() || !strings.Contains(res.Error, "is shown from") {
		t.Errorf("%+v", res)
	}
	for want, o := range map[string]Options{"named after": {Name: ".x", ConfigDir: "/c", Ctl: "p", ConfigUtility: "q"}, "cannot be written": {Name: "x", ConfigDir: "/a b", Ctl: "p", ConfigUtility: "q"},
		"with a dash": {Name: "x", ConfigDir: "/c", Ctl: "-p", ConfigUtility: "q"}, "is named": {Name: "x"}} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

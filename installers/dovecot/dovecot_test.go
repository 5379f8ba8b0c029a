package dovecot

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

// The names of settings are those of the version.
func TestText(t *testing.T) {
	for version, want := range map[string]string{
		"2.3.19.1 (9b53102964)\n": "# written by edge for one?x; changes are overwritten\nssl_cert = </p\nssl_key = </p\nlocal_name *.a.test {\n  ssl_cert = </p\n  ssl_key = </p\n}\n",
		"2.4.0 (x)": "# written by edge for one?x; changes are overwritten\nssl_server_cert_file = /p\nssl_server_key_file = /p\nlocal_name *.a.test {\n" +
			"  ssl_server_cert_file = /p\n  ssl_server_key_file = /p\n}\n",
	} {
		s := &state{names: namesOf(version)}
		if got := string(s.text("one\nx", "/p", []string{"*.a.test"}, true)); got != want {
			t.Errorf("%s: %s", version, got)
		}
	}
	if hosts, err := sni([]string{"A.test", "192.0.2.1", "*.b.test"}); err != nil || fmt.Sprint(hosts) != "[a.test *.b.test]" {
		t.Errorf("%q %v", hosts, err)
	}
	for _, h := range []string{"a b", "a{", "*.", "a\nb", "<x"} {
		if _, err := sni([]string{h}); err == nil {
			t.Errorf("%q is taken for a name", h)
		}
	}
}

// Clients without SNI get the certificate only where nobody else's would go.
func TestDefault(t *testing.T) {
	dir := t.TempDir()
	later := time.Now().Add(time.Hour)
	write := func(name string, raw []byte) string {
		t.Helper()
		if err := os.WriteFile(dir+"/"+name, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	ours := edgetest.NewChain(t, later, "*.example.test", "example.test")
	block, _ := pem.Decode(ours.Chain)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	theirs := write("theirs", edgetest.NewChain(t, later, "mail.example.test", "mail.other.test").Chain)
	same := write("same", edgetest.NewChain(t, later, "mail.example.test", "example.test").Chain)
	over := write("over", edgetest.NewChain(t, time.Now().Add(-time.Minute), "mail.other.test").Chain)
	for name, c := range map[string]struct {
		set, file string
		want      bool
	}{
		"another's": {auto, theirs, false}, "for the same": {auto, same, true}, "expired": {auto, over, true}, "missing": {auto, dir + "/x", true},
		"none": {auto, "", true}, "garbage": {auto, write("g", []byte("x")), true}, "always": {always, theirs, true}, "never": {never, "", false},
		"ours": {auto, "/pem", true},
	} {
		d := &Dovecot{o: Options{Default: c.set, PEM: "/pem", Now: time.Now}}
		if got, err := d.takesDefault(&state{defaultFile: c.file}, leaf); err != nil || got != c.want {
			t.Errorf("%s: %t %v", name, got, err)
		}
	}
	d := &Dovecot{o: Options{Default: never, PEM: "/pem", Now: time.Now}}
	if _, err := d.takesDefault(&state{defaultFile: "/pem"}, leaf); err == nil {
		t.Error("it is the default, and never is to be")
	}
}

const services = `service imap-login {
  chroot = login
  inet_listener imap {
    address = 
    haproxy = no
    port = 143
    ssl = no
  }
  inet_listener imaps {
    address = 192.0.2.1, [2001:db8::1] host.test
    haproxy = yes
    port = 993
    ssl = yes
  }
}
service imap {
  inet_listener x {
    port = 7
  }
}
service pop3-login {
  inet_listener pop3 {
    port = 110
  }
}
service submission-login {
  inet_listener submission {
    port = 587
    ssl = no
  }
  inet_listener submissions {
    port = 0
    ssl = yes
  }
}
`

func TestListeners(t *testing.T) {
	got := listeners(services, []string{"imap", "submission"}, "*, ::")
	want := []installers.Endpoint{
		{Addr: "0.0.0.0:143", StartTLS: "imap"}, {Addr: "192.0.2.1:993", ProxyProtocol: true}, {Addr: "[2001:db8::1]:993", ProxyProtocol: true}, {Addr: "0.0.0.0:587", StartTLS: "smtp"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || len(got) != len(want) {
		t.Errorf("%+v", got)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}

func FuzzListeners(f *testing.F) {
	f.Add(services)
	f.Add("service x-login {\n inet_listener y {\nport = 99999999\n}\n}")
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range listeners(text, []string{"imap", "pop3", "submission"}, "*") {
			if e.Addr == "" {
				t.Errorf("%+v", e)
			}
		}
	})
}

// A block of somebody else's that counts more is found out by doveconf, and nothing stays;
// so is a file that nobody includes.
func TestWhatCounts(t *testing.T) {
	s := newServer(t, "local_name a.example.test {\n  ssl_cert = <DIR/tls/first.pem\n}\n")
	b := targettest.NewBench(t, &targettest.Rig{Target: s.target, At: []installers.Endpoint{{Addr: s.imaps}}})
	if res := b.Apply(b.Material("one", "a.example.test")); res.OK() || !strings.Contains(res.Error, "counts more") || !strings.Contains(res.Error, "put back") {
		t.Errorf("%+v", res)
	}
	if _, err := os.Stat(s.dir + "/conf.d/zz-edge-one.conf"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its file: %v", err)
	}
	s.said["own_file"] = []string{s.dir + "/nobody.conf"}
	if res := b.Apply(b.Material("one", "b.example.test")); res.OK() || !strings.Contains(res.Error, "is not included") {
		t.Errorf("%+v", res)
	}
	delete(s.said, "own_file")
	s.said["default"] = []string{"always"}
	m := b.Material("two", "b.example.test")
	if res := b.Apply(m); !res.OK() {
		t.Fatalf("%+v", res)
	}
	if got, err := installers.Shows(t.Context(), installers.Endpoint{Addr: s.imaps}, nil); err != nil || !got.Equal(m.Certs[0]) {
		t.Errorf("clients that name no host: %v", err)
	}
}

package main

import (
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"edge/internal/edgetest"
)

// trusted is a folder of the test that only its user and root can write, which
// nothing below /tmp is.
func trusted(t *testing.T) string {
	t.Helper()
	above := "/var/lib" // the checkout may lie anywhere, also below /tmp
	if os.Geteuid() != 0 {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		above = home
	}
	dir, err := os.MkdirTemp(above, "edge-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// refuse has the CA refuse orders for a name.
func (r *rig) refuse(name string) {
	r.ca.Fault(func(w http.ResponseWriter, req *http.Request) bool {
		raw, err := io.ReadAll(req.Body)
		req.Body = io.NopCloser(strings.NewReader(string(raw)))
		var jws struct{ Payload string }
		if err != nil || json.Unmarshal(raw, &jws) != nil {
			return false
		}
		payload, err := base64.RawURLEncoding.DecodeString(jws.Payload)
		if err != nil || !strings.Contains(string(payload), name) {
			return false
		}
		return answer("", "application/problem+json", 400, `{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"not for you"}`)(w, req)
	})
}

// What leaves the configuration stays in the tree, and edge says so at each run;
// changes keep what the configuration says nothing about, and one that fails does
// not keep the certificate from being renewed.
func TestCertificatesNoLongerConfigured(t *testing.T) {
	dir := trusted(t)
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure(lineageSite)
	r.start()
	tr := r.beside()
	tr.extras = []string{"REQUESTS_CA_BUNDLE="} // the configuration has the roots
	tr.write("deploy", "#!/bin/sh\necho \"$RENEWED_DOMAINS\" >> "+tr.path("deployed")+"\n", 0o755)
	renew := func(flags, certificates string) outcome {
		t.Helper()
		return tr.ask(r, "renew -n "+flags+" --edge-config "+r.wants(dir, certificates))
	}
	versions := func(app, mail string) {
		t.Helper()
		if a, m := tr.version("app"), tr.version("mail"); a != app || m != mail {
			t.Fatalf("app has version %s and mail %s, want %s and %s", a, m, app, mail)
		}
	}
	const (
		app    = "  - {name: app, hosts: [app.example.test, www.app.example.test]}\n"
		mail   = "  - {name: mail, hosts: [mail.example.test]}\n"
		mails  = "  - {name: mail, hosts: [mail.example.test, imap.example.test]}\n"
		broken = "  - {name: mail, hosts: [mail.example.test, broken.example.test]}\n"
		gone   = "app is no longer in certificates of the configuration."
	)
	renew("--deploy-hook ROOT/deploy", app+mail)
	versions("1", "1")
	r.current("www.app.example.test", tr, "app")
	for _, name := range []string{"app.conf", "mail.conf"} {
		if conf := tr.conf(name); !strings.Contains(conf, "\nconfigured = True\n") || !strings.Contains(conf, "[renewalparams]\n") || !strings.Contains(conf, "\nauthenticator = standalone\n") {
			t.Errorf("%s:\n%s", name, conf)
		}
	}
	if out := renew("", app+mail); strings.Contains(out.stdout, "no longer") || !strings.Contains(out.stdout, "No renewals were attempted.") {
		t.Errorf("nothing to do:\n%s", out.stdout)
	}

	if out := renew("", mails); !strings.Contains(out.stdout, gone) || strings.Contains(out.stdout, "mail is no longer") {
		t.Errorf("one is no longer listed:\n%s", out.stdout)
	}
	versions("1", "2")
	if got := strings.Join(tr.leafOf("mail").DNSNames, " "); got != "mail.example.test imap.example.test" {
		t.Errorf("mail is for %s", got)
	}
	if raw, err := os.ReadFile(tr.path("deployed")); err != nil || strings.Count(string(raw), "\n") != 3 || !strings.Contains(string(raw), "imap.example.test") {
		t.Errorf("deploy hooks: %q %v", raw, err)
	}

	// By name, also what is missing, and nothing else.
	renew("--cert-name other", app+mail+"  - {name: other, hosts: [other.example.test]}\n")
	versions("1", "2")
	tr.version("other")
	// A renewal of what is no longer listed keeps the mark.
	renew("--force-renewal --cert-name app", mails)
	versions("2", "2")
	r.current("app.example.test", tr, "app")
	if out := renew("--cert-name app", mails); !strings.Contains(out.stdout, gone) {
		t.Errorf("after the renewal:\n%s", out.stdout)
	}

	r.refuse("broken.example.test")
	args := strings.Fields("renew -n --force-renewal --no-random-sleep-on-renew --no-preflight --cert-name mail --admin " + r.dir + "/admin.sock --edge-config " + r.wants(dir, broken))
	out := tr.run("edge", args...)
	versions("2", "3")
	if out.code != 1 || !strings.Contains(out.stderr, "not for you") || !strings.Contains(out.stdout+out.stderr, "Failed to renew certificate mail") {
		t.Errorf("a host that the CA refuses: exit status %d\n%s%s", out.code, out.stdout, out.stderr)
	}
}

// What the configuration says of key and CA counts from the next run on, for what
// it asked for itself; what a person has made, and it only lists, waits until it is
// due.
func TestCertificatesConfiguredOtherwise(t *testing.T) {
	dir := trusted(t)
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure(lineageSite)
	r.start()
	tr := r.beside()
	tr.ask(r, "certonly -n --edge --agree-tos -m ops@example.org -d mine.example.test --cert-name mine --key-type rsa")
	tr.extras = []string{"REQUESTS_CA_BUNDLE="}
	other := r.ca.URL() + "?other"
	ca := func(url string) string { return `{directory: "` + url + `", roots: [ca.pem]}` }
	const mine = "  - {name: mine, hosts: [mine.example.test]}\n"
	app := func(more string) string { return "  - {name: app, hosts: [app.example.test]" + more + "}\n" }
	for _, c := range []struct {
		what, certificates, flags, app, mine string
	}{
		{"as it is", app(""), "", "1", "1"},
		{"listed", app("") + mine, "", "1", "1"},
		{"another key type", app(", key_type: p384") + mine, "", "2", "1"},
		{"the same", app(", key_type: p384") + mine, "", "2", "1"},
		{"another CA", app(", key_type: p384, ca: ["+ca(other)+"]") + mine, "", "3", "1"},
		{"the same CA among others", app(", key_type: p384, ca: ["+ca(r.ca.URL())+", "+ca(other)+"]") + mine, "", "3", "1"},
		{"renewal", app(", key_type: p384") + mine, "--force-renewal --cert-name mine", "3", "2"},
		{"after it", app(", key_type: p384, ca: ["+ca(other)+"]") + mine, "", "3", "2"},
	} {
		tr.ask(r, "renew -n "+c.flags+" --edge-config "+r.wants(dir, c.certificates))
		if a, m := tr.version("app"), tr.version("mine"); a != c.app || m != c.mine {
			t.Fatalf("%s: app has version %s and mine %s, want %s and %s", c.what, a, m, c.app, c.mine)
		}
	}
	if bits := tr.leafOf("app").PublicKey.(*ecdsa.PublicKey).Curve.Params().BitSize; bits != 384 {
		t.Errorf("app has a key of %d bits", bits)
	}
	if _, ok := tr.leafOf("mine").PublicKey.(*ecdsa.PublicKey); !ok {
		t.Errorf("mine was renewed with a key of type %T", tr.leafOf("mine").PublicKey)
	}
	if conf := tr.raw("config/renewal/app.conf"); !strings.Contains(conf, "server = "+other+"\n") {
		t.Errorf("app is not from the other CA:\n%s", conf)
	}
}

package main

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// beside is a certbot tree on the machine of a door: the same CA looks at the
// door's ports.
func (r *rig) beside() *tree {
	r.t.Helper()
	tr := &tree{t: r.t, root: r.t.TempDir(), ca: r.ca, http: r.http}
	tr.write("ca.pem", string(r.ca.ServerRoots()), 0o644)
	return tr
}

// ask runs edge with the door's socket.
func (tr *tree) ask(r *rig, line string) outcome {
	tr.t.Helper()
	return tr.must("edge", append(strings.Fields(line), "--no-preflight", "--no-random-sleep-on-renew", "--admin", filepath.Join(r.dir, "admin.sock"))...)
}

// answered checks that the door itself has answered CAs by a way of validation.
func (r *rig) answered(kind string) {
	r.t.Helper()
	if _, body := r.get(http.DefaultClient, "http://"+r.metrics+"/metrics"); !strings.Contains(body, `edge_challenge_responses_total{result="answered",type="`+kind+`"} `) {
		r.t.Errorf("the door has answered no %s", kind)
	}
}

const elsewhere = "  - hosts: [plain.example.test]\n    tls: off\n    proxy: BACKEND\n"

// Without another word, edge certonly obtains by the door that has the ports. Its
// lineage is one of standalone for certbot, which renews it where the door is away.
func TestDoorIsTheDefault(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure(elsewhere)
	r.start()
	tr := r.beside()
	tr.ask(r, "certonly -n --agree-tos -m a@example.org -d d.example.test")
	r.answered("http-01")
	conf := tr.conf("d.example.test.conf")
	for _, want := range []string{"[renewalparams]\n", "\nauthenticator = standalone\n", "\n[edge]\nauthenticator = edge\n"} {
		if !strings.Contains(conf, want) {
			t.Errorf("no %q in\n%s", want, conf)
		}
	}
	if strings.Count(conf, "authenticator = ") != 2 {
		t.Errorf("more authenticators:\n%s", conf)
	}
	r.stop()
	tr.must(debians, strings.Fields("renew --force-renewal --no-random-sleep-on-renew --http-01-port PORT")...)
	if v := tr.version("d.example.test"); v != "2" {
		t.Errorf("certbot's renewal: version %s", v)
	}
	r.start()
	tr.ask(r, "renew --force-renewal")
	if v := tr.version("d.example.test"); v != "3" {
		t.Errorf("edge's renewal: version %s", v)
	}
}

// What certbot obtained on the door's port by itself renews while the door has it.
func TestStandaloneBesideDoor(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	tr := r.beside()
	tr.must(debians, strings.Fields("certonly -n --agree-tos -m a@example.org --standalone --http-01-port PORT -d s.example.test")...)
	before := tr.conf("s.example.test.conf")
	r.configure(elsewhere)
	r.start()
	tr.ask(r, "renew --force-renewal")
	if v := tr.version("s.example.test"); v != "2" {
		t.Errorf("version %s", v)
	}
	r.answered("http-01")
	after := tr.conf("s.example.test.conf")
	for _, line := range strings.Split(before, "\n") {
		if strings.Contains(line, "=") && !strings.HasPrefix(line, "version") && !strings.Contains(after, line+"\n") {
			t.Errorf("%q is no longer in\n%s", line, after)
		}
	}
}

// current waits until a name is served with what a lineage has, for a second at most.
func (r *rig) current(host string, tr *tree, name string) {
	r.t.Helper()
	want := tr.leafOf(name).SerialNumber
	deadline := time.Now().Add(time.Second)
	for {
		leaf, err := r.handshake(host)
		if err == nil && leaf.SerialNumber.Cmp(want) == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s is not served with the leaf of %s within a second: %v", host, name, err)
		}
	}
}

// A site with tls: {lineage: NAME} serves what the client obtained at once, after a
// restart, and where it was down meanwhile, after the next run.
func TestDoorServesWhatTheClientObtains(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure(lineageSite)
	r.start()
	tr := r.beside()
	const both = "-d app.example.test -d www.app.example.test"
	tr.ask(r, "certonly -n --agree-tos -m a@example.org --cert-name app "+both)
	r.current("www.app.example.test", tr, "app")
	tr.ask(r, "renew --force-renewal")
	r.current("app.example.test", tr, "app")
	r.stop()
	r.start()
	r.current("app.example.test", tr, "app")
	r.stop()
	old := tr.leafOf("app").SerialNumber
	const without = "renew --force-renewal --http-01-port PORT --preferred-challenges http"
	if out := tr.run("edge", append(strings.Fields(without), "--edge", "--no-preflight", "--no-random-sleep-on-renew")...); out.code != 1 || !strings.Contains(out.stderr, "start it with edge serve") {
		t.Errorf("by a door that is down: exit status %d\n%s", out.code, out.stderr)
	}
	tr.ask(r, without)
	if v := tr.version("app"); v != "3" {
		t.Fatalf("renewed without the door: version %s", v)
	}
	r.start()
	if leaf, err := r.handshake("app.example.test"); err != nil || leaf.SerialNumber.Cmp(old) != 0 {
		t.Errorf("before anybody told the door: %v", err)
	}
	tr.ask(r, "renew")
	if v := tr.version("app"); v != "3" {
		t.Errorf("what is not due was renewed: version %s", v)
	}
	r.current("app.example.test", tr, "app")
}

// wants writes a configuration that edge believes in: nobody else can change it. It
// has certificates, and a door on the ports where the CA looks.
func (r *rig) wants(dir, certificates string) string {
	r.t.Helper()
	conf := filepath.Join(dir, "edge.yaml")
	err := errorsOf(
		os.WriteFile(filepath.Join(dir, "ca.pem"), r.ca.ServerRoots(), 0o644),
		os.WriteFile(conf, fmt.Appendf(nil, `version: 1
listen: {http: ["%s"], https: ["%s"]}
acme:
  email: ops@example.org
  agree_tos: true
  ca: [{directory: "%s", roots: [ca.pem]}]
certificates:
%s`, r.http, r.https, r.ca.URL(), certificates), 0o644))
	if err != nil {
		r.t.Fatal(err)
	}
	return conf
}

// What the configuration wants is obtained where it is missing, and obtained again
// where its hosts are others now; by the door or, where that is down, on its ports.
func TestCertificatesOfTheConfiguration(t *testing.T) {
	dir := trusted(t)
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure(elsewhere)
	r.start()
	tr := r.beside()
	renewed := func(version, hosts string) {
		t.Helper()
		for range 2 { // the second time, all is as it should be
			tr.ask(r, "renew -n --edge-config "+filepath.Join(dir, "edge.yaml"))
			if v, names := tr.version("mail"), strings.Join(tr.leafOf("mail").DNSNames, " "); v != version || names != hosts {
				t.Fatalf("version %s for %s, want %s for %s", v, names, version, hosts)
			}
		}
	}
	r.wants(dir, "  - {name: mail, hosts: [mail.example.test]}\n")
	renewed("1", "mail.example.test")
	r.wants(dir, "  - {name: mail, hosts: [imap.example.test, mail.example.test], key_type: rsa2048}\n")
	renewed("2", "imap.example.test mail.example.test")
	if alg := tr.leafOf("mail").PublicKeyAlgorithm; alg != x509.RSA {
		t.Errorf("a key of %v", alg)
	}
	r.stop()
	conf := r.wants(dir, "  - {name: mail, hosts: [mail.example.test]}\n  - {name: other, hosts: [other.example.test]}\n")
	renewed("3", "mail.example.test")
	if n := r.ca.Orders(); n != 4 {
		t.Errorf("%d orders for four certificates", n)
	}
	// For certbot, they are lineages as any other.
	tr.must(debians, strings.Fields("renew --force-renewal --no-random-sleep-on-renew --cert-name other")...)
	tr.sameListing(2)

	if err := os.Chmod(conf, 0o666); err != nil {
		t.Fatal(err)
	}
	out := tr.run("edge", "renew", "--edge-config", conf)
	if out.code != 1 || !strings.Contains(out.stderr, "edge: certificates of the configuration: "+conf) || !strings.Contains(out.stderr, "chmod") {
		t.Errorf("a configuration that others can write: exit status %d\n%s", out.code, out.stderr)
	}
	// certbot knows of no such thing.
	tr.must(ours, "renew")
}

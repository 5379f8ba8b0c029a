package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"edge/internal/edgetest"
)

const haproxyConf = `global
	stats socket ROOT/run/admin.sock mode 600 level admin
defaults
	mode http
	timeout client 20s
	timeout server 20s
	timeout connect 5s
frontend tls
	bind TLS ssl crt ROOT/haproxy/certs/
	http-request return status 200 content-type text/plain string "haproxy"
frontend web
	bind WEB
	http-request return status 200 content-type text/plain lf-string "%[path,map(ROOT/haproxy/acme.map)]" if { path,map(ROOT/haproxy/acme.map) -m found }
	http-request return status 200 content-type text/plain string "haproxy"
`

// newHAProxyTree starts Debian's HAProxy where the CA looks.
func newHAProxyTree(t *testing.T) *webTree {
	t.Helper()
	w := newWebTree(t, "haproxy", edgetest.CAOptions{})
	for _, dir := range []string{"haproxy", "haproxy/certs", "run"} {
		if err := os.Mkdir(w.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	first := edgetest.NewChain(t, time.Now().Add(time.Hour), "first.example.test")
	w.write("haproxy/certs/first.pem", string(first.Chain)+string(first.Key), 0o600)
	w.write("haproxy/acme.map", "", 0o644)
	w.write("haproxy/haproxy.cfg", strings.NewReplacer("ROOT", w.root, "TLS", w.tls, "WEB", w.http).Replace(haproxyConf), 0o644)
	w.flags = []string{"--haproxy-config", w.path("haproxy", "haproxy.cfg"), "--haproxy-map", w.path("haproxy", "acme.map"), "--no-random-sleep-on-renew"}
	d := &edgetest.Daemon{Argv: []string{"/usr/sbin/haproxy", "-W", "-S", w.path("run", "master.sock"), "-f", w.path("haproxy", "haproxy.cfg")}, Dir: w.root, Up: []string{w.http, w.tls}}
	d.Start(t)
	return w
}

// TestHAProxyRun goes through the life of a lineage with HAProxy as both plugins, first by
// the names of certbot's.
func TestHAProxyRun(t *testing.T) {
	t.Parallel()
	w := newHAProxyTree(t)
	before := w.configuration()
	must := func(line string) string {
		t.Helper()
		out := w.server("edge", line)
		if out.code != 0 {
			t.Fatalf("%s: %d\n%s%s", line, out.code, out.stdout, out.stderr)
		}
		return out.stdout + out.stderr
	}
	const order = " -n --agree-tos -m a@example.org -d one.example.test -d two.example.test"
	plan := must("run -a haproxy -i haproxy --plan" + order)
	w.wants(plan, "haproxy: this is what would be done", "new content, ", "not shown since a key")
	if strings.Contains(plan, "BEGIN") || !same(before, w.configuration()) {
		t.Errorf("the plan, which must change nothing:\n%s", plan)
	}
	w.wants(must("run -a certbot-haproxy:haproxy-authenticator -i certbot-haproxy:haproxy-installer"+order), "Deploying certificate",
		"Successfully deployed certificate for one.example.test, two.example.test to haproxy at "+w.path("haproxy"))
	if got := w.shows("two.example.test"); got != "one.example.test two.example.test" {
		t.Errorf("shows %q", got)
	}
	w.wants(w.tree.conf("one.example.test.conf"), "authenticator = haproxy\n", "haproxy_config = ROOT/haproxy/haproxy.cfg", "installer = haproxy\n")
	w.wants(must("install -n --cert-name one.example.test --plan"), "nothing to change")

	serial := w.serial("one.example.test")
	w.flags = []string{"--no-random-sleep-on-renew"} // all else is in the renewal file
	w.wants(must("renew --force-renewal"), "Reloading haproxy server after certificate renewal")
	if now := w.serial("one.example.test"); now == serial || !strings.HasSuffix(now, "one.example.test two.example.test") {
		t.Errorf("after the renewal HAProxy shows %s, before %s", now, serial)
	}
	w.flags = append(w.flags, "--haproxy-config", w.path("haproxy", "haproxy.cfg"))
	w.wants(must("plugins"), "* haproxy\n", "Found: HAProxy 2.")
	w.wants(must("rollback -i haproxy"), "Rolled back")
	after := w.configuration()
	for path := range after {
		if before[path] == "" {
			t.Errorf("%s is left", path)
		}
	}
	w.eventually("the certificate from before the installation", func() bool { return w.shows("one.example.test") == "first.example.test" })
}

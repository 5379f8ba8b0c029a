package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"edge/internal/edgetest"
	"edge/internal/flock"
)

// Called as edge, an installation that cannot be is found out before the CA is asked.
func TestNginxIsLookedAtBeforeTheCA(t *testing.T) {
	t.Parallel()
	w := newNginxTree(t)
	before := w.configuration()
	line := "run -n --nginx --no-preflight --agree-tos -m a@example.org -d nosuch.example.test"
	out := w.server("edge", line)
	if out.code != 1 || !strings.Contains(out.stderr, "nosuch.example.test") || !strings.Contains(out.stderr, "the CA was not asked") || w.ca.Orders() != 0 {
		t.Errorf("a name that nginx does not have: %d, %d orders\n%s", out.code, w.ca.Orders(), out.stderr)
	}
	w.write("nginx/sites/broken.conf", "server { listen 81; server_name b.example.test\n", 0o644)
	out = w.server("edge", strings.Replace(line, "nosuch.", "one.", 1))
	if out.code != 1 || !strings.Contains(out.stderr, "broken.conf:") || w.ca.Orders() != 0 {
		t.Errorf("a file that nginx cannot read: %d, %d orders\n%s", out.code, w.ca.Orders(), out.stderr)
	}
	if err := os.Remove(w.path("nginx", "sites", "broken.conf")); err != nil {
		t.Fatal(err)
	}
	if !same(before, w.configuration()) {
		t.Error("the configuration was changed")
	}
	if out := w.server("edge", line+" --copy-default"); out.code != 0 || w.shows("nosuch.example.test") != "nosuch.example.test" {
		t.Errorf("with a copy of the default: %d, shows %s\n%s%s", out.code, w.shows("nosuch.example.test"), out.stdout, out.stderr)
	}
	// Without a name of a server: the newest change says whose it is.
	if out := w.server("edge", "rollback"); out.code != 0 || !strings.Contains(out.stdout, "Rolled back") || !same(before, w.configuration()) {
		t.Errorf("rollback: %d\n%s%s", out.code, out.stdout, out.stderr)
	}
	if out := w.server("edge", "rollback"); out.code != 0 || !strings.Contains(out.stdout, "nothing to roll back") {
		t.Errorf("another rollback: %d\n%s%s", out.code, out.stdout, out.stderr)
	}
}

// One program at a time is at a server's configuration, whatever its other folders.
func TestNginxFolderIsLocked(t *testing.T) {
	t.Parallel()
	w := newNginxTree(t)
	const line = "install -n --nginx --cert-name one.example.test"
	if out := w.server(ours, "run -n --nginx --agree-tos -m a@example.org -d one.example.test -d two.example.test"); out.code != 0 {
		t.Fatal(out.stderr)
	}
	// certbot at the same server, with folders of its own, waits for its CA.
	other := newTree(t, edgetest.CAOptions{})
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	finish := sync.OnceFunc(func() { close(answer) })
	t.Cleanup(finish)
	other.ca.Fault(func(http.ResponseWriter, *http.Request) bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-answer
		return false
	})
	theirs := other.command(debians, append(strings.Fields("certonly -n --nginx --agree-tos -m a@example.org -d nosuch.example.test"), w.flags...)...)
	if err := theirs.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	if out := w.server(ours, line); out.code != 1 || !strings.Contains(out.stderr, "Unable to lock "+w.path("nginx")) {
		t.Errorf("certbot has the lock: %d\n%s", out.code, out.stderr)
	}
	if out := w.server("edge", line+" --lock-timeout 0"); out.code != 1 || !strings.Contains(out.stderr, fmt.Sprintf("process %d", theirs.Process.Pid)) {
		t.Errorf("edge names who has the lock: %d\n%s", out.code, out.stderr)
	}
	finish()
	_ = theirs.Wait() // its CA looks at another port
	// And edge has it.
	held, err := flock.Dir(context.Background(), w.path("nginx"), flock.Options{Command: "this test"})
	if err != nil {
		t.Fatal(err)
	}
	if out := w.server(debians, line); out.code != 1 || !strings.Contains(out.stderr, "Unable to lock "+w.path("nginx")) {
		t.Errorf("edge has the lock: %d\n%s", out.code, out.stderr)
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	if out := w.server(ours, line); out.code != 0 {
		t.Errorf("free again: %s", out.stderr)
	}
	if _, err := os.Stat(w.path("nginx", flock.Name)); !os.IsNotExist(err) {
		t.Errorf("the lock file is left: %v", err)
	}
}

// A person is offered the names that the server has.
func TestPersonPicksNamesOfNginx(t *testing.T) {
	t.Parallel()
	w := newNginxTree(t)
	p := w.sit(slices.Concat([]string{"run", "--nginx", "--no-preflight", "--agree-tos", "-m", "a@example.org"}, w.flags)...)
	p.sees("Which names would you like to activate HTTPS for?").sees("3: three.example.test").sees("(Enter 'c' to cancel): ").types("3\r")
	p.sees("Successfully received certificate.").sees("You have successfully enabled HTTPS on https://three.example.test")
	p.leaves(0)
	if got := w.shows("three.example.test"); got != "three.example.test" {
		t.Errorf("shows %s", got)
	}
}

// A private CA that still speaks nothing but TLS-SNI-01.
func TestWebServersAnswerSNI01(t *testing.T) {
	t.Parallel()
	for _, server := range []struct {
		flag  string
		start func(*testing.T, edgetest.CAOptions) *webTree
	}{{"--nginx", newNginxTreeAt}, {"--apache", newApacheTreeAt}} {
		w := server.start(t, edgetest.CAOptions{SNIOnly: true})
		before := w.configuration()
		out := w.server("edge", "certonly -n --no-preflight --agree-tos -m a@example.org --preferred-challenges tls-sni -d one.example.test -d two.example.test "+server.flag)
		if out.code != 0 {
			t.Errorf("%s: %d\n%s%s", server.flag, out.code, out.stdout, out.stderr)
		}
		if now := w.configuration(); !same(before, now) {
			t.Errorf("%s: not as before: %v", server.flag, different(before, now))
		}
	}
}

// Behind the front door, which proves control of the names, nginx gets the
// certificate, also when it is renewed.
func TestDoorProvesAndNginxGets(t *testing.T) {
	t.Parallel()
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure(elsewhere)
	r.start()
	w := &webTree{tree: r.beside()}
	free := reserve(t, 2)
	w.http, w.tls = free[0], free[1]
	w.with("nginx")
	w.nginx()
	w.flags = append(w.flags, "--admin", filepath.Join(r.dir, "admin.sock"))
	out := w.server("edge", "run -n -i nginx --no-preflight --agree-tos -m a@example.org -d one.example.test -d two.example.test")
	if out.code != 0 || w.shows("two.example.test") != "one.example.test two.example.test" {
		t.Fatalf("%d, shows %s\n%s%s", out.code, w.shows("two.example.test"), out.stdout, out.stderr)
	}
	r.answered("http-01")
	conf := w.tree.conf("one.example.test.conf")
	for _, want := range []string{"\nauthenticator = standalone\n", "\ninstaller = nginx\n", "\n[edge]\nauthenticator = edge\n"} {
		if !strings.Contains(conf, want) {
			t.Errorf("no %q in\n%s", want, conf)
		}
	}
	serial := w.serial("one.example.test")
	out = w.run("edge", "renew", "--force-renewal", "--no-preflight", "--no-random-sleep-on-renew", "--admin", filepath.Join(r.dir, "admin.sock"))
	if now := w.serial("one.example.test"); out.code != 0 || now == serial {
		t.Errorf("renewed: %d, nginx shows %s, before %s\n%s%s", out.code, now, serial, out.stdout, out.stderr)
	}
}

// A certificate that was renewed and that the server does not use yet is brought to it
// by the next run, though nothing is due then.
func TestServerIsOwedWhatWasRenewed(t *testing.T) {
	t.Parallel()
	w := newNginxTree(t)
	flags := "-n --nginx --no-preflight --agree-tos -m a@example.org"
	// The hook leaves a mistake in the configuration behind, once it is told to.
	broken := w.path("nginx", "sites", "broken.conf")
	hook := w.write("hook", "#!/bin/sh\necho \"$RENEWED_DOMAINS\" >> "+w.path("told")+"\n[ ! -e "+w.path("break")+" ] || echo 'nonsense;' > "+broken+"\n", 0o755)
	if out := w.server("edge", "run "+flags+" --deploy-hook "+hook+" -d one.example.test -d two.example.test"); out.code != 0 {
		t.Fatal(out.stderr)
	}
	serial := w.serial("one.example.test")
	breaks := w.write("break", "", 0o644)
	out := w.server("edge", "renew --force-renewal --no-preflight --no-random-sleep-on-renew")
	if out.code != 1 || !strings.Contains(out.stderr+out.stdout, "broken.conf") {
		t.Errorf("nginx refuses its configuration: %d\n%s%s", out.code, out.stdout, out.stderr)
	}
	if v := w.version("one.example.test"); v != "2" {
		t.Fatalf("version %s\n%s%s", v, out.stdout, out.stderr)
	}
	if err := os.Remove(breaks); err != nil {
		t.Fatal(err)
	}
	out = w.server("edge", "renew --no-random-sleep-on-renew")
	if out.code != 1 || !strings.Contains(out.stderr, "does not use it yet") {
		t.Errorf("still broken: %d\n%s%s", out.code, out.stdout, out.stderr)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	if out = w.server("edge", "renew --no-random-sleep-on-renew"); out.code != 0 {
		t.Errorf("mended: %d\n%s%s", out.code, out.stdout, out.stderr)
	}
	now := w.serial("one.example.test")
	if now == serial {
		t.Errorf("nginx still shows %s", now)
	}
	told, err := os.ReadFile(w.path("told"))
	if err != nil {
		t.Fatal(err)
	}
	if out = w.server("edge", "renew --no-random-sleep-on-renew"); out.code != 0 {
		t.Errorf("once more: %d\n%s", out.code, out.stderr)
	}
	if again, _ := os.ReadFile(w.path("told")); string(again) != string(told) {
		t.Errorf("hooks ran again: %s, before %s", again, told)
	}
}

// A key that others can read is warned of; the server gets its renewal all the same.
func TestReloadInSpiteOfOpenKey(t *testing.T) {
	t.Parallel()
	w := newNginxTree(t)
	if out := w.server("edge", "run -n --nginx --no-preflight --agree-tos -m a@example.org -d one.example.test -d two.example.test"); out.code != 0 {
		t.Fatal(out.stderr)
	}
	for _, dir := range []string{"config/archive", "config/live"} {
		if err := os.Chmod(w.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for dir := w.root; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(w.path("config", "archive", "one.example.test", "privkey1.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	serial := w.serial("one.example.test")
	out := w.server("edge", "renew --force-renewal --no-preflight --no-random-sleep-on-renew")
	if now := w.serial("one.example.test"); out.code != 0 || now == serial || !strings.Contains(out.stderr, "privkey") {
		t.Errorf("%d, shows %s, before %s\n%s%s", out.code, now, serial, out.stdout, out.stderr)
	}
}

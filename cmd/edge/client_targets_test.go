package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// newToyTree has a toy that serves on the TLS port of the tree, and a web server for its
// answers.
func newToyTree(t *testing.T) *webTree {
	t.Helper()
	w := newWebTree(t, "toy", edgetest.CAOptions{})
	for _, dir := range []string{"toy", "box"} {
		if err := os.Mkdir(w.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.write("toy/toy.conf", "# of the user\n", 0o644)
	w.write("token", "right\n", 0o600)
	w.flags = []string{"--http-01-port", "PORT", "--no-random-sleep-on-renew"}
	serveToy(t, w.path("toy"), w.tls)
	t.Cleanup(w.serveFiles())
	return w
}

// toyed runs a line that has to succeed.
func (w *webTree) toyed(line string) string {
	w.t.Helper()
	line = strings.ReplaceAll(line, "TOY", "--toy-dir ROOT/toy --toy-addr "+w.tls)
	out := w.server("edge-toy", line)
	if out.code != 0 {
		w.t.Fatalf("%s: %d\n%s%s", line, out.code, out.stdout, out.stderr)
	}
	return out.stdout + out.stderr
}

// refused runs a line that has to fail, and returns what it said.
func (w *webTree) refused(line string, code int) string {
	w.t.Helper()
	out := w.server("edge-toy", strings.ReplaceAll(line, "TOY", "--toy-dir ROOT/toy --toy-addr "+w.tls))
	if out.code != code {
		w.t.Fatalf("%s: %d\n%s%s", line, out.code, out.stdout, out.stderr)
	}
	return out.stdout + out.stderr
}

func (w *webTree) wants(text string, parts ...string) {
	w.t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			w.t.Errorf("%q is not in\n%s", p, text)
		}
	}
}

// TestTargetRun goes through the life of a lineage that a target proves, and that is
// installed there.
func TestTargetRun(t *testing.T) {
	t.Parallel()
	w := newToyTree(t)
	before := w.configuration()
	const names = " -d one.example.test -d two.example.test"
	plan := w.toyed("run -n -a toy -i toy TOY --toy-web ROOT/web --plan --agree-tos -m a@example.org" + names)
	w.wants(plan, "A certificate is requested for one.example.test and two.example.test", "+pem toy.pem", "toy.pem: new content", "toy reload")
	if strings.Contains(plan, "PRIVATE") || !same(before, w.configuration()) {
		t.Errorf("the plan, which must change nothing:\n%s", plan)
	}

	// What cannot be installed is not asked for.
	w.write("toy/toy.conf", "", 0o644)
	if err := os.Remove(w.path("toy", "toy.conf")); err != nil {
		t.Fatal(err)
	}
	w.wants(w.refused("run -n -a toy -i toy TOY --toy-web ROOT/web --agree-tos -m a@example.org"+names, 1), "the CA was not asked", "toy.conf")
	w.write("toy/toy.conf", "# of the user\n", 0o644)

	// Where it breaks only then, the certificate is there, and knows where it is to go.
	w.write("toy/broken", "", 0o644)
	failed := w.refused("run -n -a certbot-toy:toy -i certbot-toy:toy --certbot-toy:toy-folder toy --toy-addr "+w.tls+" --toy-web web --agree-tos -m a@example.org"+names, 1)
	w.wants(failed, "Deploying certificate", "Could not install certificate", "edge install --cert-name one.example.test", "the toy is broken", "everything was put back")
	if after := w.configuration(); after[w.path("toy", "toy.pem")] != "" || strings.Contains(after[w.path("toy", "toy.conf")], "pem") {
		t.Errorf("something is left of what failed: %v", after)
	}
	conf := w.tree.conf("one.example.test.conf")
	w.wants(conf, "authenticator = toy\n", "installer = toy\n", "toy_dir = ROOT/toy\n", "toy_web = ROOT/web\n")
	if strings.Contains(conf, "certbot_toy") {
		t.Errorf("saved by the name of certbot's plugin:\n%s", conf)
	}
	if err := os.Remove(w.path("toy", "broken")); err != nil {
		t.Fatal(err)
	}
	w.wants(w.toyed("install -n --cert-name one.example.test"), "Deploying certificate", "Successfully deployed certificate for one.example.test, two.example.test to toy at "+w.path("toy"))
	if got := w.shows("two.example.test"); got != "one.example.test two.example.test" {
		t.Errorf("shows %q", got)
	}
	w.toyed("run -n -a toy -i toy TOY --toy-web ROOT/web" + names) // again: nothing to do

	// A renewal brings the new certificate; one that cannot is owed.
	serial := w.serial("one.example.test")
	w.wants(w.toyed("renew --force-renewal"), "Reloading toy server after certificate renewal", "Congratulations")
	renewed := w.serial("one.example.test")
	if renewed == serial {
		t.Errorf("after the renewal: %s", renewed)
	}
	w.write("toy/broken", "", 0o644)
	w.wants(w.refused("renew --force-renewal", 1), "the toy is broken")
	w.wants(w.refused("renew", 1), "certificate one.example.test is new, but toy does not use it yet", "the toy is broken")
	if now := w.serial("one.example.test"); now != renewed {
		t.Errorf("while it is broken: %s, before %s", now, renewed)
	}
	if err := os.Remove(w.path("toy", "broken")); err != nil {
		t.Fatal(err)
	}
	w.toyed("renew")
	if now := w.serial("one.example.test"); now == renewed {
		t.Errorf("the renewal that was owed was not made up for")
	}

	w.wants(w.refused("rollback -n", 1), "--toy-dir: toy needs it", "--installer toy", "edge --help toy")
	w.wants(w.toyed("rollback -n -i toy TOY"), "Rolled back", "Deployed a toy")
	if now := w.serial("one.example.test"); now != "none" {
		t.Errorf("after the rollback: %s", now)
	}
}

// A service is told by the engine of deliveries; nothing of its token is said anywhere.
func TestTargetService(t *testing.T) {
	t.Parallel()
	w := newToyTree(t)
	const flags = "certonly -n --webroot -w ROOT/web -i toybox --toybox-dir ROOT/box --agree-tos -m a@example.org -d one.example.test "
	w.wants(w.refused(flags+"--toybox-token wrongly-typed", 2), "argument --toybox-token: the secret is written out")
	w.wants(w.refused(flags, 1), "--toybox-token: toybox needs it; its token")
	w.write("token", "guessed\n", 0o600)
	said := w.refused(flags+"--toybox-token file:token", 1)
	w.wants(said, "refuses the token")
	w.write("token", "right\n", 0o600)
	said += w.toyed("renew")
	said += w.toyed("renew --force-renewal")
	said += w.toyed("install --cert-name one.example.test -n --plan")
	w.wants(said, "toybox: nothing to change")
	raw, err := os.ReadFile(w.path("box", "one.example.test"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := os.ReadFile(w.path("config", "live", "one.example.test", "cert.pem"))
	if err != nil || string(raw) != string(cert) {
		t.Errorf("in the box is not what is in the tree: %v", err)
	}
	for _, file := range []string{"config/renewal/one.example.test.conf", "logs/letsencrypt.log"} {
		raw, err := os.ReadFile(w.path(file))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"guessed", "wrongly-typed", "right\n"} {
			if strings.Contains(string(raw)+said, secret) && secret != "right\n" {
				t.Errorf("%s, or what was said, has %q", file, secret)
			}
		}
	}
	// Files that are no lineage.
	live := w.path("config", "live", "one.example.test")
	files := "install -n -i toybox --toybox-dir ROOT/box --toybox-token file:token -d one.example.test --key-path " + live + "/privkey.pem --cert-path " + live + "/cert.pem"
	if err := os.Remove(w.path("box", "one.example.test")); err != nil {
		t.Fatal(err)
	}
	w.wants(w.toyed(files+" --fullchain-path "+live+"/fullchain.pem --plan"), "another certificate is in the box", "put it into "+w.path("box"))
	w.toyed(files + " --fullchain-path " + live + "/fullchain.pem")
	if raw, err := os.ReadFile(w.path("box", "one.example.test")); err != nil || string(raw) != string(cert) {
		t.Errorf("in the box is not what was named: %v", err)
	}
	w.wants(w.refused(files+" --chain-path /nosuch", 1), "/nosuch: no such file")
	w.wants(w.refused("install -n -i toybox --toybox-dir ROOT/box --toybox-token file:token -d other.example.test --key-path "+live+"/privkey.pem --cert-path "+live+"/fullchain.pem", 1),
		"it is not for other.example.test but for one.example.test")
	w.toyed("reconfigure -n --cert-name one.example.test -i toy TOY")
	if conf := w.tree.conf("one.example.test.conf"); !strings.Contains(conf, "installer = toy\n") || !strings.Contains(conf, "toy_dir = ") || strings.Contains(conf, "toybox") {
		t.Errorf("after it was reconfigured:\n%s", conf)
	}
	w.wants(w.refused("run -n -a toyproof --toyproof-dir ROOT/web -d one.example.test", 1), `With the toyproof plugin, you probably want to use the "certonly" command`, "certonly -a toyproof")
	w.wants(w.refused("rollback -n -i toyproof", 1), "The requested toyproof plugin does not appear to be installed")
	w.wants(w.refused("run -n --webroot -w ROOT/web -i toyproof -d one.example.test", 1), "The requested toyproof plugin does not appear to be installed")
}

// What a run that was killed left at a target is taken back by the next one.
// Where a lineage was installed later, its renewals go as well.
func TestTargetInstalledLater(t *testing.T) {
	t.Parallel()
	w := newToyTree(t)
	w.write("token", "right\n", 0o600)
	w.toyed("certonly -n --webroot -w ROOT/web --agree-tos -m a@example.org -d one.example.test")
	w.toyed("install --cert-name one.example.test -n -i toybox --toybox-dir ROOT/box --toybox-token file:token")
	w.toyed("renew --force-renewal")
	raw, err := os.ReadFile(w.path("box", "one.example.test"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := os.ReadFile(w.path("config", "live", "one.example.test", "cert.pem"))
	if err != nil || string(raw) != string(cert) {
		t.Errorf("in the box is not what was renewed: %v", err)
	}
	conf, err := os.ReadFile(w.path("config", "renewal", "one.example.test.conf"))
	if err != nil {
		t.Fatal(err)
	}
	w.wants(string(conf), "authenticator = webroot", "installer = toybox", "toybox_dir = ")
}

func TestTargetKilled(t *testing.T) {
	t.Parallel()
	w := newToyTree(t)
	w.toyed("certonly -n --webroot -w ROOT/web --agree-tos -m a@example.org -d one.example.test")
	w.write("toy/kill", "", 0o644)
	w.refused("install -n --cert-name one.example.test -i toy TOY", -1)
	if err := os.Remove(w.path("toy", "kill")); err != nil {
		t.Fatal(err)
	}
	w.wants(w.refused("install -n --cert-name one.example.test -i toy TOY --plan", 1), "run the command without --plan")
	w.wants(w.toyed("install -n --cert-name one.example.test -i toy TOY"), "a run that did not end had changed ", w.path("toy", "toy.pem")+": that is taken back", "Successfully deployed")
	if got := w.shows("one.example.test"); got != "one.example.test" {
		t.Errorf("shows %q", got)
	}
	w.toyed("rollback -n -i toy TOY")
	if got := w.shows("one.example.test"); got != "" {
		t.Errorf("after the rollback it shows %q", got)
	}

	// A renewal, of which only the renewal file knows where it goes.
	w.write("toy/kill", "", 0o644)
	w.refused("certonly -n --webroot -w ROOT/web -i toy TOY -d two.example.test", -1)
	if err := os.Remove(w.path("toy", "kill")); err != nil {
		t.Fatal(err)
	}
	said := w.toyed("renew")
	w.wants(said, "a run that did not end had changed ")
	if strings.Contains(said, "not known") {
		t.Errorf("the toy was there to be told:\n%s", said)
	}
	if got := w.shows("two.example.test"); got != "two.example.test" {
		t.Errorf("shows %q", got)
	}
}

func TestPluginsListTargets(t *testing.T) {
	t.Parallel()
	w := newToyTree(t)
	start := time.Now()
	text := w.toyed("plugins --toy-dir ROOT/toy --toyproof-dir ROOT/web")
	w.wants(text, "* toy\nDescription: A server of tests\nInterfaces: Authenticator, Installer, Plugin\nEntry point: edge:toy\nFound: toy in "+w.path("toy"),
		"* toybox\nDescription: A service of tests\nInterfaces: Installer, Plugin\nEntry point: edge:toybox\n",
		"* toyproof\nDescription: Answers of tests\nInterfaces: Authenticator, Plugin\nEntry point: edge:toyproof\nCannot be used here: it did not answer", "* webroot\n")
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("a target that does not answer took %s", took)
	}
	names := func(line string) (list []string) {
		var plugins []struct{ Name, Interfaces, Found, Problem string }
		if err := json.Unmarshal([]byte(w.toyed(line+" --toyproof-dir ROOT/web")), &plugins); err != nil {
			t.Fatal(err)
		}
		for _, p := range plugins {
			if strings.HasPrefix(p.Name, "toy") {
				list = append(list, p.Name+" "+p.Found+p.Problem)
			}
		}
		return list
	}
	for line, want := range map[string]string{
		"plugins -o json":                               "toy no toy here, toybox , toyproof it did not answer",
		"plugins -o json --installers":                  "toy no toy here, toybox ",
		"plugins -o json --authenticators":              "toy no toy here, toyproof it did not answer",
		"plugins -o json --authenticators --installers": "toy no toy here, toybox , toyproof it did not answer",
	} {
		if got := strings.Join(names(line), ", "); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
	if out := w.server("certbot", "plugins"); out.code != 0 || strings.Contains(out.stdout, "external") || strings.Contains(out.stdout, "Found: ") {
		t.Errorf("called as certbot: %d\n%s%s", out.code, out.stdout, out.stderr)
	}
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"edge/internal/edgetest"
)

const apacheSites = `<VirtualHost 127.0.0.1:PORT>
	ServerName other.example.test
	DocumentRoot ROOT/html/other
</VirtualHost>
`

const apacheSite = `# one and two
<VirtualHost 127.0.0.1:PORT>
	ServerName one.example.test
	ServerAlias two.example.test
	DocumentRoot	ROOT/html/one
</VirtualHost>
`

const apacheEnv = `export APACHE_RUN_USER=www-data
export APACHE_RUN_GROUP=www-data
export APACHE_PID_FILE=ROOT/run/apache2.pid
export APACHE_RUN_DIR=ROOT/run
export APACHE_LOCK_DIR=ROOT/run
export APACHE_LOG_DIR=ROOT/run
export APACHE_ULIMIT_MAX_FILES=true
`

// newApacheTree starts Debian's Apache with a copy of what Debian installs.
func newApacheTree(t *testing.T) *webTree {
	t.Helper()
	return newApacheTreeAt(t, edgetest.CAOptions{})
}

func newApacheTreeAt(t *testing.T, o edgetest.CAOptions) *webTree {
	t.Helper()
	w := newWebTree(t, "apache", o)
	// httpd's workers are not root.
	for _, dir := range []string{w.root, filepath.Dir(w.root)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", "-a", "/etc/apache2", w.conf).CombinedOutput(); err != nil {
		t.Fatalf("copy /etc/apache2: %s", out)
	}
	fill := strings.NewReplacer("ROOT", w.root, "PORT", fmt.Sprint(edgetest.Port(w.http)))
	for _, site := range []string{"000-default.conf"} {
		if err := os.Remove(filepath.Join(w.conf, "sites-enabled", site)); err != nil {
			t.Fatal(err)
		}
	}
	for _, host := range []string{"one", "three", "other"} {
		if err := os.MkdirAll(w.path("html", host), 0o755); err != nil {
			t.Fatal(err)
		}
		w.write("html/"+host+"/index.html", host+"\n", 0o644)
	}
	if err := os.Mkdir(w.path("run"), 0o755); err != nil {
		t.Fatal(err)
	}
	main, err := os.ReadFile(filepath.Join(w.conf, "apache2.conf"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("apache/apache2.conf", string(main)+"\n<Directory "+w.path("html")+">\n\tRequire all granted\n</Directory>\nServerName localhost\n", 0o644)
	w.write("apache/envvars", fill.Replace(apacheEnv), 0o644)
	w.write("apache/ports.conf", fill.Replace("Listen 127.0.0.1:PORT\n"), 0o644)
	for name, src := range map[string]string{
		"000-other.conf": apacheSites, "one.conf": apacheSite,
		"three.conf": strings.NewReplacer("ServerName one.", "ServerName three.", "\tServerAlias two.example.test\n", "", "html/one", "html/three").Replace(apacheSite),
	} {
		w.write("apache/sites-available/"+name, fill.Replace(src), 0o644)
		if err := os.Symlink("../sites-available/"+name, filepath.Join(w.conf, "sites-enabled", name)); err != nil {
			t.Fatal(err)
		}
	}
	w.extras = append(w.extras, "APACHE_CONFDIR="+w.conf)
	w.startApache()
	return w
}

func (w *webTree) startApache() {
	w.t.Helper()
	cmd := exec.Command("apache2ctl", "start")
	cmd.Env = append(os.Environ(), w.extras...)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	w.t.Cleanup(func() {
		raw, _ := os.ReadFile(w.path("run", "apache2.pid"))
		pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		if err != nil {
			w.t.Error(err)
			return
		}
		_ = syscall.Kill(pid, syscall.SIGTERM)
		w.eventually("Apache ends", func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || bytes.Contains(stat, []byte(") Z "))
		})
	})
	w.eventually("Apache answers", func() bool { return w.get("one.example.test") == "200 one" })
}

// apacheScript is what people do with certbot and Apache, line by line.
var apacheScript = []string{
	"run -n --apache --agree-tos -m a@example.org -d one.example.test -d two.example.test",
	"run -n --apache -d one.example.test -d two.example.test",
	"certonly -n --apache -d three.example.test",
	"install -n --apache --cert-name three.example.test --no-redirect",
	"renew --cert-name one.example.test --force-renewal --no-random-sleep-on-renew",
	"enhance -n --apache --cert-name one.example.test --hsts",
	"enhance -n --apache --cert-name one.example.test --uir",
	"rollback -n -i apache",
}

// TestApacheAsCertbot runs the script with both programs.
func TestApacheAsCertbot(t *testing.T) {
	asCertbot(t, apacheScript, newApacheTree)
}

// TestApacheRun goes through a life with edge's own ways.
func TestApacheRun(t *testing.T) {
	t.Parallel()
	w := newApacheTree(t)
	before := w.configuration()
	must := func(line string) string {
		t.Helper()
		out := w.server("edge", line)
		if out.code != 0 {
			t.Fatalf("%s: %d\n%s%s", line, out.code, out.stdout, out.stderr)
		}
		return out.stdout + out.stderr
	}
	run := "run -n --apache --no-preflight --agree-tos -m a@example.org -d one.example.test -d two.example.test"
	plan := must(run + " --plan")
	if !strings.Contains(plan, "+++ ") || !strings.Contains(plan, "SSLCertificateFile") || !same(before, w.configuration()) || w.ca.Orders() != 0 {
		t.Errorf("the plan, which must change nothing:\n%s", plan)
	}
	must(run)
	if got := w.shows("one.example.test"); got != "one.example.test two.example.test" {
		t.Errorf("shows %q", got)
	}
	if got := w.get("two.example.test"); !strings.HasPrefix(got, "301 https://") {
		t.Errorf("redirect: %s", got)
	}
	after := w.configuration()
	must("install -n --apache --cert-name one.example.test")
	if !same(after, w.configuration()) {
		t.Error("a second installation changed something")
	}
	serial := w.serial("one.example.test")
	must("renew --no-preflight --force-renewal --no-random-sleep-on-renew")
	if now := w.serial("one.example.test"); now == serial || !same(after, w.configuration()) {
		t.Errorf("after the renewal Apache shows %s, before %s", now, serial)
	}
	must("rollback")
	if now := w.configuration(); !same(before, now) {
		t.Errorf("not as before: %v", different(before, now))
	}
	w.eventually("no HTTPS after the rollback", func() bool { return w.serial("one.example.test") == "none" })
}

// different names the files that are not the same.
func different(a, b map[string]string) (names []string) {
	for k := range a {
		if b[k] != a[k] {
			names = append(names, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			names = append(names, k)
		}
	}
	return names
}

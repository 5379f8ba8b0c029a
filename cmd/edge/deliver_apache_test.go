package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// debiansApache copies what Debian installs, with one site, for two ports of its own.
func (d *deliverTo) debiansApache(name, http, https string) {
	d.t.Helper()
	needs(d.t, "apache2", "apache2")
	root := d.path("apache2")
	if out, err := exec.Command("cp", "-a", "/etc/apache2", root).CombinedOutput(); err != nil {
		d.t.Fatalf("copy /etc/apache2: %s", out)
	}
	for _, dir := range []string{"run/socks", "lock", "log", "state", "html"} {
		if err := os.MkdirAll(d.path(dir), 0o755); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := os.Chmod(d.dir, 0o755); err != nil { // its workers are not root
		d.t.Fatal(err)
	}
	site := fmt.Sprintf("<VirtualHost *:80>\n\tServerName %s\n\tDocumentRoot %s\n</VirtualHost>\n", name, d.path("html"))
	envvars := strings.ReplaceAll("export APACHE_RUN_USER=www-data APACHE_RUN_GROUP=www-data APACHE_PID_FILE=@/run/apache2.pid APACHE_RUN_DIR=@/run\n"+
		"export APACHE_LOCK_DIR=@/lock APACHE_LOG_DIR=@/log APACHE_STATE_DIRECTORY=@/state APACHE_ULIMIT_MAX_FILES=true\n", "@", d.dir)
	files := map[string]string{"envvars": envvars, "sites-available/shop.conf": site}
	port := func(addr string) string { return fmt.Sprint(edgetest.Port(addr)) }
	swap := strings.NewReplacer("*:80>", "*:"+port(http)+">", "Listen 80\n", "Listen "+port(http)+"\n", "Listen 443\n", "Listen "+port(https)+" https\n", "/etc/apache2", root, "/var/log/apache2", d.path("log"))
	for _, f := range []string{"ports.conf", "apache2.conf"} {
		files[f] = d.read("apache2", f)
	}
	for f, text := range files {
		if f != "envvars" {
			text = swap.Replace(text)
		}
		if err := os.WriteFile(filepath.Join(root, f), []byte(text), 0o644); err != nil {
			d.t.Fatal(err)
		}
	}
	_ = os.Remove(root + "/sites-enabled/000-default.conf")
	if err := os.Symlink("../sites-available/shop.conf", root+"/sites-enabled/shop.conf"); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		b, err := os.ReadFile(d.path("run", "apache2.pid"))
		if pid, perr := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && perr == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGTERM)
			d.until("Apache ends", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
		}
	})
}

// zombie reports whether a process has ended that nobody waits for.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

// The same with Apache, which is started by the delivery since it does not run.
func TestDeliverToApache(t *testing.T) {
	d := newDeliverTo(t, "version: 1\n")
	const name = "shop.example.test"
	addrs := reserve(t, 2)
	d.debiansApache(name, addrs[0], addrs[1])
	d.configure(fmt.Sprintf(`version: 1
acme: {agree_tos: true}
certificates:
  - name: shop
    hosts: [%s]
    deliver: [{apache: {server_root: DIR/apache2, http_port: %d, https_port: %d}}]
`, name, edgetest.Port(addrs[0]), edgetest.Port(addrs[1])))
	for range 2 {
		b := edgetest.NewChain(t, time.Now().Add(time.Hour), name)
		putLineage(t, d.path("le"), "shop", b)
		if out := d.deliver(exitOK, "apply", "--work-dir", d.path("work")); !strings.Contains(out, "in sync, delivered now") {
			t.Fatalf("%s", out)
		}
		if got := d.shows(addrs[1], name); got != leafSum(b) {
			t.Errorf("Apache shows %s", got)
		}
		if out := d.deliver(exitOK, "verify", "--work-dir", d.path("work")); !strings.Contains(out, "in_sync") {
			t.Errorf("%s", out)
		}
	}
	var left []string
	_ = filepath.WalkDir(d.path("apache2"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "-le-ssl.conf") {
			left = append(left, path)
		}
		return err
	})
	if len(left) != 2 { // the file, and the link that enables it
		t.Errorf("files for HTTPS: %q", left)
	}
}

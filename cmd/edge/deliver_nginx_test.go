package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/internal/edgetest"
	"edge/internal/flock"
)

// needs returns the path of a program of Debian's.
func needs(t *testing.T, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing (Debian package %s)", program, pkg)
		}
		t.Skipf("not run: %s is missing (Debian package %s)", program, pkg)
	}
	return path
}

// startNginx runs an nginx of the test's own, with one site on two ports.
func (d *deliverTo) startNginx(name string) (http, https string) {
	d.t.Helper()
	program := needs(d.t, "nginx", "nginx-light")
	addrs := reserve(d.t, 2)
	conf := strings.ReplaceAll(fmt.Sprintf(`pid DIR/nginx.pid;
error_log DIR/error.log;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path DIR/tmp1; proxy_temp_path DIR/tmp2; fastcgi_temp_path DIR/tmp3; uwsgi_temp_path DIR/tmp4; scgi_temp_path DIR/tmp5;
	server {
		listen %s;
		server_name %s;
		return 204;
	}
}
`, addrs[0], name), "DIR", d.dir)
	if err := os.MkdirAll(d.path("nginx"), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(d.path("nginx", "nginx.conf"), []byte(conf), 0o644); err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", d.path("nginx", "nginx.conf"), "-g", "daemon off;")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	d.until("nginx listens", func() bool {
		c, err := net.Dial("tcp", addrs[0])
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return addrs[0], addrs[1]
}

func (d *deliverTo) until(what string, is func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("%s: not in time", what)
		}
	}
}

// shows returns the SHA-256 of the leaf that a server shows.
func (d *deliverTo) shows(addr, name string) string {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
	defer cancel()
	c, err := (&tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	sum := sha256.Sum256(c.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw)
	return hex.EncodeToString(sum[:])
}

// A lineage is put into nginx's configuration, which shows it; so is the next one; what
// somebody takes out of the configuration is put back; a configuration that nginx
// refuses stays as it is, and nginx goes on.
func TestDeliverToNginx(t *testing.T) {
	d := newDeliverTo(t, "version: 1\n")
	const name = "shop.example.test"
	http, https := d.startNginx(name)
	d.configure(fmt.Sprintf(`version: 1
acme: {agree_tos: true}
certificates:
  - name: shop
    hosts: [%s]
    deliver: [{nginx: {server_root: DIR/nginx, http_port: %d, https_port: %d}}]
`, name, edgetest.Port(http), edgetest.Port(https)))
	work := []string{"--work-dir", d.path("work")}
	later := time.Now().Add(time.Hour)
	before := d.read("nginx", "nginx.conf")
	first := edgetest.NewChain(t, later, name)
	putLineage(t, d.path("le"), "shop", first)
	if out := d.deliver(exitOK, append(work, "plan")...); !strings.Contains(out, "never delivered") || !strings.Contains(out, "+ change "+d.path("nginx", "nginx.conf")) {
		t.Errorf("%s", out)
	}
	if d.read("nginx", "nginx.conf") != before {
		t.Error("a plan has changed the configuration")
	}
	for n := range 2 {
		b := first
		if n > 0 {
			b = edgetest.NewChain(t, later, name)
			putLineage(t, d.path("le"), "shop", b)
		}
		if out := d.deliver(exitOK, append(work, "apply")...); !strings.Contains(out, "in sync, delivered now") {
			t.Errorf("run %d: %s", n, out)
		}
		if got := d.shows("127.0.0.1:"+fmt.Sprint(edgetest.Port(https)), name); got != leafSum(b) {
			t.Errorf("run %d: nginx shows %s", n, got)
		}
		if out := d.deliver(exitOK, append(work, "verify")...); !strings.Contains(out, "in_sync") {
			t.Errorf("run %d: %s", n, out)
		}
		if out := d.deliver(exitOK, append(work, "apply")...); strings.Contains(out, "delivered now") {
			t.Errorf("run %d: delivered again: %s", n, out)
		}
	}
	d.whileOthersWork(work)
	with := d.read("nginx", "nginx.conf")
	if err := os.WriteFile(d.path("nginx", "nginx.conf"), []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := d.deliver(exitFailed, append(work, "verify")...); !strings.Contains(out, "nginx is not configured with it") {
		t.Errorf("%s", out)
	}
	d.deliver(exitOK, append(work, "apply")...)
	if got := d.read("nginx", "nginx.conf"); got != with {
		t.Errorf("not as it was: %s", got)
	}
	// nginx refuses what somebody else wrote: nothing is changed, and the error is nginx's.
	broken := strings.Replace(before, "access_log off;", "no_such_thing on;", 1)
	if err := os.WriteFile(d.path("nginx", "nginx.conf"), []byte(broken), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := d.deliver(exitFailed, append(work, "apply")...); !strings.Contains(out, "no_such_thing") {
		t.Errorf("%s", out)
	}
	if d.read("nginx", "nginx.conf") != broken {
		t.Error("a configuration that nginx refuses was changed")
	}
	if _, err := os.Stat(filepath.Join(d.dir, "work", "backups")); err != nil {
		t.Errorf("no journal: %v", err)
	}
}

// A certificate of the door has a folder of its own, with certbot's names, that nginx is
// configured with; the next one is shown without another change of the configuration.
func TestDeliverFromTheDoorToNginx(t *testing.T) {
	d := newDeliverTo(t, "version: 1\n")
	const name = "shop.example.test"
	http, https := d.startNginx(name)
	d.configure(fmt.Sprintf(`version: 1
acme: {agree_tos: true}
admin: {socket: DIR/admin.sock}
sites:
  - hosts: [%s]
    proxy: http://127.0.0.1:1
    deliver: [{nginx: {server_root: DIR/nginx, http_port: %d, https_port: %d}}]
`, name, edgetest.Port(http), edgetest.Port(https)))
	door := &lyingDoor{}
	d.answer(door)
	var with string
	for n := range 2 {
		door.b = edgetest.NewChain(t, time.Now().Add(time.Hour), name)
		if out := d.deliver(exitOK, "apply", "--work-dir", d.path("work")); !strings.Contains(out, "in sync, delivered now") {
			t.Errorf("run %d: %s", n, out)
		}
		if got := d.shows("127.0.0.1:"+fmt.Sprint(edgetest.Port(https)), name); got != leafSum(door.b) {
			t.Errorf("run %d: nginx shows %s", n, got)
		}
		now := d.read("nginx", "nginx.conf")
		if !strings.Contains(now, d.path("state", "live", name, "privkey.pem")) || n > 0 && now != with {
			t.Errorf("run %d: %s", n, now)
		}
		with = now
	}
}

// whileOthersWork shows that a run of certbot's or edge's keeps deliveries to servers
// waiting, but not those that it makes itself.
func (d *deliverTo) whileOthersWork(work []string) {
	d.t.Helper()
	release, err := flock.Dirs(d.t.Context(), []string{d.path("work")}, flock.Options{Command: "certbot renew"})
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() {
		if err := release(); err != nil {
			d.t.Error(err)
		}
	}()
	if out := d.deliver(exitFailed, append(work, "apply", "--lock-timeout", "10ms")...); !strings.Contains(out, d.path("work")) {
		d.t.Errorf("%s", out)
	}
	c, out := d.client("renew")
	if err := c.deliver(d.t.Context()); err != nil {
		d.t.Errorf("%v: %s", err, out)
	}
}

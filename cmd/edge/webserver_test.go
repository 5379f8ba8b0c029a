package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// webTree is a certbot tree with a web server beside it, where the CA looks.
type webTree struct {
	*tree
	tls string // where the server has HTTPS once there is a certificate
}

const nginxConf = `worker_processes 1;
pid ROOT/nginx.pid;
error_log ROOT/error.log;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path ROOT/tmp; proxy_temp_path ROOT/tmp; fastcgi_temp_path ROOT/tmp; uwsgi_temp_path ROOT/tmp; scgi_temp_path ROOT/tmp;
    server {
        listen 127.0.0.1:PORT default_server;
        server_name other.example.test;
        return 200 "other\n";
    }
    server {
        listen 127.0.0.1:PORT;
        server_name one.example.test two.example.test;
        location / { return 200 "one\n"; }
    }
    include ROOT/nginx/sites/*.conf;
}
`

const nginxSite = `server {
	listen 127.0.0.1:PORT;
	server_name three.example.test; # kept as it is
	location / { return 200 "three\n"; }
}
`

// newNginxTree starts Debian's nginx with a configuration of its own.
func newNginxTree(t *testing.T) *webTree {
	t.Helper()
	w := &webTree{tree: newTree(t, edgetest.CAOptions{}), tls: reserve(t, 1)[0]}
	for _, dir := range []string{"tmp", "nginx", "nginx/sites"} {
		if err := os.Mkdir(w.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fill := strings.NewReplacer("ROOT", w.root, "PORT", fmt.Sprint(edgetest.Port(w.http)))
	w.write("nginx/nginx.conf", fill.Replace(nginxConf), 0o644)
	w.write("nginx/sites/three.conf", fill.Replace(nginxSite), 0o640)
	w.startNginx()
	return w
}

func (w *webTree) startNginx() {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "nginx", "-c", w.path("nginx", "nginx.conf"), "-g", "daemon off;")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	w.eventually("nginx answers", func() bool { return w.get("one.example.test") == "200 one" })
}

func (w *webTree) eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not within ten seconds", what)
		}
	}
}

// get asks for / of a host, and returns the status and the body, or where it leads.
func (w *webTree) get(host string) string {
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.http+"/", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Host = host
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	if to := resp.Header.Get("Location"); to != "" {
		return fmt.Sprintf("%d %s", resp.StatusCode, to)
	}
	body := make([]byte, 100)
	n, _ := resp.Body.Read(body)
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(string(body[:n])))
}

// serial is that of the certificate which is shown for a name, or why there is none.
func (w *webTree) serial(name string) string {
	c, err := tls.Dial("tcp", w.tls, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return "none"
	}
	defer c.Close()
	leaf := c.ConnectionState().PeerCertificates[0]
	return fmt.Sprintf("%x for %s", leaf.SerialNumber, strings.Join(leaf.DNSNames, " "))
}

// shows is whose certificate is shown for a name.
func (w *webTree) shows(name string) string {
	_, names, _ := strings.Cut(w.serial(name), " for ")
	return names
}

// server runs a program on the tree and its nginx.
func (w *webTree) server(program, line string) outcome {
	w.t.Helper()
	return w.run(program, append(strings.Fields(line), w.serverFlags()...)...)
}

func (w *webTree) serverFlags() []string {
	return []string{"--nginx-server-root", w.path("nginx"), "--http-01-port", fmt.Sprint(edgetest.Port(w.http)),
		"--https-port", fmt.Sprint(edgetest.Port(w.tls))}
}

// configuration is every file of the server's, with its mode.
func (w *webTree) configuration() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(w.path("nginx"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		raw, err := os.ReadFile(path)
		all[path] = fmt.Sprintf("%v %v\n%s", info.Mode(), info.ModTime(), raw)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// nginxScript is what people do with certbot and nginx, line by line. certbot's
// redirects are for port 80 alone, so there are none here.
var nginxScript = []string{
	"run -n --nginx --no-redirect --agree-tos -m a@example.org -d one.example.test -d two.example.test",
	"run -n --nginx --no-redirect -d one.example.test -d two.example.test",
	"certonly -n --nginx -d three.example.test",
	"install -n --nginx --cert-name three.example.test --no-redirect",
	"renew --cert-name one.example.test --force-renewal --no-random-sleep-on-renew",
	"enhance -n --nginx --cert-name one.example.test --hsts",
	"enhance -n --nginx --cert-name one.example.test --uir",
	"rollback -n -i nginx",
	"rollback -n",
}

// TestNginxAsCertbot runs the script with both programs, each with an nginx of its
// own: the same exit status, the same words on standard output, and the same
// certificates and answers after each line.
func TestNginxAsCertbot(t *testing.T) {
	t.Parallel()
	trees := [2]*webTree{newNginxTree(t), newNginxTree(t)}
	programs := [2]string{debians, ours}
	names := []string{"one.example.test", "two.example.test", "three.example.test", "other.example.test"}
	type after struct {
		out  outcome
		live string
	}
	var all [2][]after
	var wg sync.WaitGroup
	for n, w := range trees {
		wg.Go(func() {
			for _, line := range nginxScript {
				began := time.Now()
				a := after{out: w.server(programs[n], line)}
				t.Logf("%s: %s: %s", programs[n], line, time.Since(began))
				for _, name := range names {
					a.live += fmt.Sprintf("%s: %s, %s\n", name, w.shows(name), w.get(name))
				}
				all[n] = append(all[n], a)
			}
		})
	}
	wg.Wait()
	for n, line := range nginxScript {
		theirs, own := all[0][n], all[1][n]
		if theirs.out.code != own.out.code {
			t.Errorf("%s: exit status %d, certbot's is %d\n%s%s\ncertbot says\n%s%s", line, own.out.code, theirs.out.code,
				own.out.stdout, own.out.stderr, theirs.out.stdout, theirs.out.stderr)
		}
		if want, got := trees[0].neutral(theirs.out.stdout), trees[1].neutral(own.out.stdout); want != got {
			t.Errorf("%s: standard output\n%s\ncertbot's is\n%s", line, got, want)
		}
		if theirs.live != own.live {
			t.Errorf("%s: what is live\n%s\nwith certbot\n%s", line, own.live, theirs.live)
		}
	}
}

// TestNginxRun goes through a life with edge's own ways.
func TestNginxRun(t *testing.T) {
	t.Parallel()
	w := newNginxTree(t)
	before := w.configuration()
	must := func(line string) string {
		t.Helper()
		out := w.server("certbot", line)
		if out.code != 0 {
			t.Fatalf("%s: %d\n%s%s", line, out.code, out.stdout, out.stderr)
		}
		return out.stdout + out.stderr
	}
	plan := must("run -n --nginx --plan --agree-tos -m a@example.org -d one.example.test -d two.example.test")
	if !strings.Contains(plan, "+++ ") || !strings.Contains(plan, "ssl_certificate") || !same(before, w.configuration()) {
		t.Errorf("the plan, which must change nothing:\n%s", plan)
	}
	must("run -n --nginx --agree-tos -m a@example.org -d one.example.test -d two.example.test")
	if got := w.shows("one.example.test"); got != "one.example.test two.example.test" {
		t.Errorf("shows %q", got)
	}
	if got := w.get("one.example.test"); !strings.HasPrefix(got, "301 https://") {
		t.Errorf("redirect: %s", got)
	}
	after := w.configuration()
	must("install -n --nginx --cert-name one.example.test")
	if !same(after, w.configuration()) {
		t.Errorf("a second installation changed something")
	}
	serial := w.serial("one.example.test")
	must("renew --force-renewal --no-random-sleep-on-renew")
	if now := w.serial("one.example.test"); now == serial || !same(after, w.configuration()) {
		t.Errorf("after the renewal nginx shows %s, before %s", now, serial)
	}
	must("rollback -n -i nginx")
	if now := w.configuration(); !same(before, now) {
		t.Errorf("not as before:\n%v\n%v", before, now)
	}
	w.eventually("no HTTPS after the rollback", func() bool { return w.serial("one.example.test") == "none" })
	if found, _ := filepath.Glob(w.path("work", "backups", "*")); slices.ContainsFunc(found, func(p string) bool { return strings.Contains(p, ".") }) {
		t.Errorf("checkpoints are left: %v", found)
	}
}

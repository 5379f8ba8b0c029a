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
	conf  string   // the folder of the server's configuration
	flags []string // that lead to it
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

func newWebTree(t *testing.T, server string, o edgetest.CAOptions) *webTree {
	t.Helper()
	w := &webTree{tree: newTree(t, o)}
	w.with(server)
	return w
}

// with leads to the configuration of a server.
func (w *webTree) with(server string) {
	w.conf = w.path(server)
	w.flags = []string{"--" + server + "-server-root", w.conf, "--http-01-port", fmt.Sprint(edgetest.Port(w.http)), "--https-port", fmt.Sprint(edgetest.Port(w.tls))}
}

// newNginxTree starts Debian's nginx with a configuration of its own.
func newNginxTree(t *testing.T) *webTree {
	t.Helper()
	return newNginxTreeAt(t, edgetest.CAOptions{})
}

func newNginxTreeAt(t *testing.T, o edgetest.CAOptions) *webTree {
	t.Helper()
	w := newWebTree(t, "nginx", o)
	w.nginx()
	return w
}

// nginx writes its configuration and starts it.
func (w *webTree) nginx() {
	w.t.Helper()
	for _, dir := range []string{"tmp", "nginx", "nginx/sites"} {
		if err := os.Mkdir(w.path(dir), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	fill := strings.NewReplacer("ROOT", w.root, "PORT", fmt.Sprint(edgetest.Port(w.http)))
	w.write("nginx/nginx.conf", fill.Replace(nginxConf), 0o644)
	w.write("nginx/sites/three.conf", fill.Replace(nginxSite), 0o640)
	w.startNginx()
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
	return w.run(program, append(strings.Fields(line), w.flags...)...)
}

// configuration is every file of the server's, with its mode.
func (w *webTree) configuration() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(w.conf, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&os.ModeSymlink != 0 {
			all[path], err = os.Readlink(path)
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

// nginxScript is what people do with certbot and nginx, line by line.
var nginxScript = []string{
	"run -n --nginx --agree-tos -m a@example.org -d one.example.test -d two.example.test",
	"run -n --nginx -d one.example.test -d two.example.test",
	"certonly -n --nginx -d three.example.test",
	"install -n --nginx --cert-name three.example.test --no-redirect",
	"renew --cert-name one.example.test --force-renewal --no-random-sleep-on-renew",
	"enhance -n --nginx --cert-name one.example.test --hsts",
	"enhance -n --nginx --cert-name one.example.test --uir",
	"run -n --nginx --no-redirect -d nosuch.example.test",
	"rollback -n -i nginx",
	"rollback -n",
}

// TestNginxAsCertbot runs the script with both programs.
func TestNginxAsCertbot(t *testing.T) {
	asCertbot(t, nginxScript, newNginxTree)
}

// after is what a line said, and what is live then.
type after struct {
	Stdout, Stderr string
	Code           int
	Live           string
}

// asCertbot runs a script with certbot and with edge under that name, each in a network
// of its own with a server of its own: the same exit status, the same words on
// standard output, and the same certificates and answers after each line.
func asCertbot(t *testing.T, script []string, start func(*testing.T) *webTree) {
	t.Helper()
	if program, is := isAlone(t); is {
		w := start(t)
		var all []after
		for _, line := range script {
			out := w.server(program, line)
			a := after{Stdout: w.neutral(out.stdout), Stderr: w.neutral(out.stderr), Code: out.code}
			for _, name := range []string{"one.example.test", "two.example.test", "three.example.test", "other.example.test", "nosuch.example.test"} {
				a.Live += fmt.Sprintf("%s: %s, %s\n", name, w.shows(name), w.get(name))
			}
			all = append(all, a)
		}
		reports(t, all)
		return
	}
	t.Parallel()
	var all [2][]after
	var wg sync.WaitGroup
	for n, program := range []string{debians, ours} {
		wg.Go(func() { alone(t, program, &all[n]) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for n, line := range script {
		theirs, own := all[0][n], all[1][n]
		if theirs.Code != own.Code {
			t.Errorf("%s: exit status %d, certbot's is %d\n%s%s\ncertbot says\n%s%s", line, own.Code, theirs.Code, own.Stdout, own.Stderr, theirs.Stdout, theirs.Stderr)
		}
		// certbot names the link of Debian's where it has just made it, then the file.
		theirs.Stdout = strings.ReplaceAll(theirs.Stdout, "/sites-enabled/", "/sites-available/")
		if theirs.Stdout != own.Stdout {
			t.Errorf("%s: standard output\n%s\ncertbot's is\n%s", line, own.Stdout, theirs.Stdout)
		}
		if theirs.Live != own.Live {
			t.Errorf("%s: what is live\n%s\nwith certbot\n%s", line, own.Live, theirs.Live)
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
	if err := os.MkdirAll(w.path("work", "IN_PROGRESS"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out := w.server("edge", "run -n --nginx --plan -d one.example.test"); out.code != 1 || !strings.Contains(out.stderr, "without --plan") {
		t.Errorf("a plan on top of a run that died: %d\n%s", out.code, out.stderr)
	}
	if _, err := os.Stat(w.path("work", "IN_PROGRESS")); err != nil {
		t.Errorf("the plan has taken something back: %v", err)
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

package installers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/internal/diff"
)

// realNginx is nginx from Debian as far as the transaction needs it.
type realNginx struct{ conf string }

func (n *realNginx) Name() string { return "nginx" }

func (n *realNginx) Commands() (test, activate []string) {
	return []string{"/usr/sbin/nginx", "-t", "-c", n.conf}, []string{"/usr/sbin/nginx", "-s", "reload", "-c", n.conf}
}

func (n *realNginx) Test(ctx context.Context) error {
	test, _ := n.Commands()
	_, err := Run(ctx, test)
	return err
}

func (n *realNginx) Activate(ctx context.Context) error {
	_, reload := n.Commands()
	_, err := Run(ctx, reload)
	return err
}

// startNginx runs one with a site a.test, which shows the certificate.
func startNginx(t *testing.T, dir string, c Certificate) (n *realNginx, http, https string) {
	t.Helper()
	var ports []string
	for range 2 {
		l := listen(t, "tcp", "127.0.0.1:0")
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
		defer l.Close() // together: else both would get the same
	}
	n = &realNginx{dir + "/etc/nginx.conf"}
	write(t, n.conf, fmt.Sprintf("pid %s/pid;\nerror_log %[1]s/error.log;\nevents {}\nhttp {\n\taccess_log off;\n\tinclude %[1]s/etc/sites/*;\n}\n", dir), 0o644)
	write(t, dir+"/etc/sites/a", fmt.Sprintf("server {\n\tlisten 127.0.0.1:%s;\n\tserver_name a.test;\n}\nserver {\n\tlisten 127.0.0.1:%s ssl;\n\tserver_name a.test;\n\tssl_certificate %s;\n\tssl_certificate_key %s;\n}\n",
		ports[0], ports[1], c.FullChain, c.Key), 0o640)
	return n, ports[0], ports[1]
}

func (n *realNginx) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command("/usr/sbin/nginx", "-c", n.conf, "-g", "daemon off;")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); errors.Is(err, os.ErrNotExist) && os.Getenv("CI") != "true" {
		t.Skip("not run: nginx is not installed (Debian package nginx-light)")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
}

// real is a bench with nginx.
func real(t *testing.T) (b *bench, n *realNginx, certbot func(...string)) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b = &bench{toy: &toy{dir: dir}, new: recipe{serial: 3, names: []string{"a.test"}}.make(t)}
	old := recipe{serial: 1, names: []string{"a.test"}}.make(t).lineage(t, dir+"/old")
	n, http, https := startNginx(t, dir, old)
	n.start(t)
	b.tls = "127.0.0.1:" + https
	b.runner = &Runner{Work: dir + "/work", Verify: 10 * time.Second}
	b.request = Request{Names: []string{"a.test"}, Deploy: true, Certificate: b.new.lineage(t, dir+"/new")}
	b.plan = &Plan{
		Titles: []string{"Deployed ACME Certificate"}, Serves: []Endpoint{{Addr: b.tls, Name: "a.test"}},
		Changes: []Change{b.rewrite("etc/sites/a", strings.ReplaceAll(read(t, dir+"/etc/sites/a"), dir+"/old/", dir+"/new/"))},
	}
	b.waitFor(t, 1)
	return b, n, func(args ...string) {
		t.Helper()
		args = append(args, "-n", "--nginx-server-root", dir+"/etc", "--nginx-sleep-seconds", "0", "--config-dir", dir+"/config", "--work-dir", dir+"/work", "--logs-dir", dir+"/logs",
			"--http-01-port", http, "--https-port", https)
		out, err := exec.Command("/usr/bin/certbot", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("certbot %q: %v\n%s%s", args, err, out, contentOf(dir+"/logs/letsencrypt.log"))
		}
	}
}

// waitFor waits until a certificate is shown: a reload takes its time.
func (b *bench) waitFor(t *testing.T, serial int64) {
	t.Helper()
	var got shown
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		got = probe(t.Context(), Endpoint{Addr: b.tls, Name: "a.test"}, nil)
		if got.err == nil && got.leaf.SerialNumber.Int64() == serial {
			return
		}
	}
	t.Fatalf("not number %d: %+v", serial, got)
}

// The real certbot rolls back what edge did with the real nginx, and the other way round.
func TestRollbackBothWays(t *testing.T) {
	t.Parallel()
	b, n, certbot := real(t)
	before := snapshot(t, b.dir+"/etc", true)
	if _, err := b.runner.Apply(t.Context(), n, b.plan, b.request); err != nil {
		t.Fatal(err)
	}
	b.waitFor(t, 3)
	certbot("rollback", "--installer", "nginx") // it does not know --nginx there
	b.waitFor(t, 1)
	if now := snapshot(t, b.dir+"/etc", true); now != before {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}

	c := b.request.Certificate
	certbot("install", "--nginx", "--cert-path", c.Cert, "--key-path", c.Key, "--fullchain-path", c.FullChain, "-d", "a.test", "--redirect")
	b.waitFor(t, 3)
	list, err := b.runner.Checkpoints()
	if err != nil || len(list) == 0 || !slices.Contains(list[len(list)-1].Titles, "Deployed ACME Certificate") {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := b.runner.Rollback(t.Context(), len(list), func(string) Server { return n }, false); err != nil {
		t.Fatal(err)
	}
	b.waitFor(t, 1)
	if now := snapshot(t, b.dir+"/etc", true); now != before {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}
}

// nginx says that it reloads, and does not: what is undone is what it shows.
func TestNginxThatCannotReload(t *testing.T) {
	t.Parallel()
	b, n, _ := real(t)
	b.runner.Verify = time.Second
	before := snapshot(t, b.dir+"/etc", true)
	taken := listen(t, "tcp", "127.0.0.1:0")
	defer taken.Close()
	b.plan.Changes[0].New = append(b.plan.Changes[0].New, fmt.Sprintf("server {\n\tlisten %s;\n}\n", taken.Addr())...)
	_, err := b.runner.Apply(t.Context(), n, b.plan, b.request)
	failed, ok := errors.AsType[*StepError](err)
	if !ok || failed.State != Undone {
		t.Fatalf("%v", err)
	}
	t.Log(err)
	if now := snapshot(t, b.dir+"/etc", true); now != before {
		t.Errorf("not as it was:\n%s", diff.Unified("before", "now", before, now))
	}
	b.waitFor(t, 1)
}

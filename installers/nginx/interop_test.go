package nginx

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"edge/installers"
)

// The real certbot finds what edge wrote, and has nothing to add.
func TestCertbotAfterEdge(t *testing.T) {
	t.Parallel()
	const certbot = "/usr/bin/certbot"
	if _, err := os.Stat(certbot); err != nil && os.Getenv("CI") != "true" {
		t.Skip("not run: certbot is not installed")
	}
	l, http, https := newTwo(t, nil)
	l.start(t)
	before := snapshot(t, l.root)
	r := l.request("one.test", "new.test")
	r.HTTPPort, r.HTTPSPort, r.Enhance = http, https, installers.Enhancements{Redirect: true, HSTS: true}
	makeCertificate(t, r)
	p := l.plan(t, r)
	if _, err := l.runner().Apply(t.Context(), l.nginx, p, r); err != nil {
		t.Fatal(err)
	}
	files := []string{l.root + "/nginx.conf", l.root + "/sites/one"}
	var want []string
	for _, f := range files {
		want = append(want, canonical(t, read(t, f)))
	}
	out, err := exec.Command(certbot, "install", "--nginx", "--nginx-server-root", l.root, "-n", "--redirect", "--hsts", "-d", "one.test,new.test",
		"--config-dir", l.dir+"/le", "--work-dir", l.dir+"/work", "--logs-dir", l.dir+"/work/log", "--https-port", fmt.Sprint(https), "--http-01-port", fmt.Sprint(http),
		"--cert-path", r.Certificate.Cert, "--key-path", r.Certificate.Key, "--fullchain-path", r.Certificate.FullChain, "--chain-path", r.Certificate.Chain).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		if got := canonical(t, read(t, f)); got != want[i] {
			t.Errorf("%s: certbot made of\n%s\n\nthis:\n%s", f, want[i], got)
		}
	}
	if p := l.plan(t, r); !p.Empty() {
		t.Errorf("after certbot: %+v", p.Changes)
	}
	l.rollback(t, l.runner())
	same(t, l.root, before)
}

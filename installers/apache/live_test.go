package apache

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edge"
	"edge/installers"
)

// nextPort is below the ports that the kernel gives to connections, so that nobody takes one
// before httpd does.
var nextPort atomic.Uint32

// freePort finds a port that nobody listens on.
func freePort(t testing.TB) uint16 {
	t.Helper()
	nextPort.CompareAndSwap(0, 10000+uint32(os.Getpid()*97%15000))
	for {
		port := nextPort.Add(1)
		if port > 32000 {
			t.Fatal("no free ports are left")
		}
		if l, err := net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			_ = l.Close() // only tried
			return uint16(port)
		}
	}
}

// live gives a tree ports of its own and starts its Apache, which ends with the test.
func (s *server) live(t testing.TB) *server {
	t.Helper()
	s.httpPort, s.tlsPort = freePort(t), freePort(t)
	swap := strings.NewReplacer(":80>", fmt.Sprintf(":%d>", s.httpPort), ":80 ", fmt.Sprintf(":%d ", s.httpPort), ":443>", fmt.Sprintf(":%d>", s.tlsPort), ":443 ", fmt.Sprintf(":%d ", s.tlsPort),
		"Listen 80", fmt.Sprintf("Listen %d", s.httpPort), "Listen 443", fmt.Sprintf("Listen %d https", s.tlsPort), "/etc/apache2", s.root, "/var/www/html", s.dir+"/html", "/var/www/", s.dir+"/html/", "/var/log/apache2", s.dir+"/log", "/var/run/apache2", s.dir+"/run")
	s.swap(t, swap)
	s.detect(t)
	t.Cleanup(func() {
		s.stop(t)
		if log, err := os.ReadFile(s.dir + "/log/error.log"); t.Failed() && err == nil {
			t.Logf("error.log:\n%s", log)
		}
	})
	if err := s.Activate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s
}

// swap replaces text in all files of the configuration.
func (s *server) swap(t testing.TB, swap *strings.Replacer) {
	t.Helper()
	err := filepath.WalkDir(s.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "envvars" {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(swap.Replace(string(src))), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stop ends the master and waits for it.
func (s *server) stop(t testing.TB) {
	raw, err := os.ReadFile(s.dir + "/run/apache2.pid")
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(pid, syscall.SIGTERM)
	for end := time.Now().Add(15 * time.Second); syscall.Kill(pid, 0) == nil && alive(pid); {
		if time.Now().After(end) {
			t.Errorf("apache %d does not end", pid)
			syscall.Kill(pid, syscall.SIGKILL)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

func (s *server) runner() *installers.Runner {
	return &installers.Runner{Work: s.dir + "/work", Verify: 20 * time.Second}
}

func find(s *server) installers.Finder {
	return func(string) installers.Server { return s }
}

// snapshot is every file and link below the configuration, with modes.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " -> " + target
		case d.Type().IsRegular():
			src, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += "\n" + string(src)
		}
		out[path] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func same(t testing.TB, before, after map[string]string) {
	t.Helper()
	for path, text := range before {
		if after[path] != text {
			t.Errorf("%s is\n%s\nwas\n%s", path, after[path], text)
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			t.Errorf("%s is left behind", path)
		}
	}
}

// address is where a host answers.
func (s *server) address(host string) string { return cmp.Or(s.at[host], "127.0.0.1") }

// get asks for a path of a host by plain HTTP.
func (s *server) get(t testing.TB, host, path string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s:%d%s", s.address(host), s.httpPort, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	client := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// shows returns the names of the certificate that is shown for a name.
func (s *server) shows(t testing.TB, name string) []string {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", fmt.Sprintf("%s:%d", s.address(name), s.tlsPort), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].DNSNames
}

const twoSites = `<VirtualHost *:80>
	ServerName a.example.test
	ServerAlias www.a.example.test
	DocumentRoot /var/www/html
</VirtualHost>
<VirtualHost *:80>
	ServerName b.example.test
	DocumentRoot /var/www/html
</VirtualHost>
`

const tlsSite = `<IfModule mod_ssl.c>
<VirtualHost _default_:443>
	ServerName c.example.test
	SSLEngine on
	SSLCertificateFile %[1]s/fullchain.pem
	SSLCertificateKeyFile %[1]s/privkey.pem
</VirtualHost>
</IfModule>
`

// Beside a site with TLS, others get a twin for HTTPS, a redirect and headers; asked
// again there is nothing to do; a rollback leaves every byte as it was.
func TestInstallLive(t *testing.T) {
	t.Parallel()
	old := certificate(t, folder(t), "c.example.test")
	s := debianTree(t, map[string]string{"two.conf": twoSites, "tls.conf": fmt.Sprintf(tlsSite, filepath.Dir(old.Key))})
	write(t, s.root, map[string]string{
		"mods-enabled/ssl.load": "-> ../mods-available/ssl.load", "mods-enabled/ssl.conf": "-> ../mods-available/ssl.conf", "mods-enabled/socache_shmcb.load": "-> ../mods-available/socache_shmcb.load",
	})
	s.live(t)
	before := snapshot(t, s.root)
	cert := certificate(t, s.dir+"/le/live/a", "a.example.test", "www.a.example.test", "b.example.test")
	r := s.request(cert, "a.example.test", "www.a.example.test", "b.example.test")
	r.Enhance = installers.Enhancements{Redirect: true, HSTS: true, UIR: true, Staple: true}
	p := s.plan(t, r)
	if len(p.Watch) != 1 || p.Watch[0].Name != "c.example.test" {
		t.Errorf("watched: %v", p.Watch)
	}
	// A certificate that was renewed since Apache read it is shown by the next reload,
	// which must not be taken for damage.
	certificate(t, filepath.Dir(old.Key), "c.example.test")
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(old.FullChain, later, later); err != nil {
		t.Fatal(err)
	}
	if p = s.plan(t, r); len(p.Watch) != 0 {
		t.Errorf("watched, though it is going to change: %v", p.Watch)
	}
	out, err := s.runner().Apply(context.Background(), s, p, r)
	if err != nil {
		t.Fatal(err)
	}
	if out.Verified < 7 || !out.Activated {
		t.Errorf("%+v", out)
	}
	for _, name := range r.Names {
		if got := s.shows(t, name); len(got) != 3 {
			t.Errorf("%s: %q", name, got)
		}
		answer, _ := s.get(t, name, "/x")
		if want := fmt.Sprintf("https://%s:%d/x", name, s.tlsPort); answer.StatusCode != 301 || answer.Header.Get("Location") != want {
			t.Errorf("%s: %d %q", name, answer.StatusCode, answer.Header.Get("Location"))
		}
	}
	again := s.plan(t, r)
	if !again.Empty() || len(again.Serves) != 3 {
		var b strings.Builder
		installers.Show(&b, again, s)
		t.Errorf("not empty: %s", b.String())
	}
	// Another certificate changes two lines of each host.
	other := certificate(t, s.dir+"/le/live/b", "b.example.test")
	r2 := s.request(other, "b.example.test")
	if _, err := s.runner().Apply(context.Background(), s, s.plan(t, r2), r2); err != nil {
		t.Fatal(err)
	}
	if got := s.shows(t, "b.example.test"); len(got) != 1 {
		t.Errorf("b.example.test: %q", got)
	}
	if got := s.shows(t, "a.example.test"); len(got) != 3 {
		t.Errorf("a.example.test: %q", got)
	}
	if s.shows(t, "c.example.test")[0] != "c.example.test" {
		t.Error("c.example.test shows another certificate")
	}
	if _, err := s.runner().Rollback(context.Background(), 2, find(s), false); err != nil {
		t.Fatal(err)
	}
	same(t, before, snapshot(t, s.root))
	if answer, body := s.get(t, "a.example.test", "/"); answer.StatusCode != 200 || body != "hello\n" {
		t.Errorf("after the rollback: %d %q", answer.StatusCode, body)
	}
}

// From a server without mod_ssl, and back when the server does not do what it should.
func TestUndoneLive(t *testing.T) {
	t.Parallel()
	s := debianTree(t, map[string]string{"two.conf": twoSites}).live(t)
	before := snapshot(t, s.root)
	cert := certificate(t, s.dir+"/le/live/a", "a.example.test", "b.example.test")
	r := s.request(cert, "a.example.test", "b.example.test")
	r.Enhance.Redirect = true
	p := s.plan(t, r)
	if len(p.Commands) != 3 { // socache_shmcb, ssl, rewrite
		t.Errorf("%v", p.Commands)
	}
	p.Checks = append(p.Checks, installers.HTTPCheck{Addr: fmt.Sprintf("127.0.0.1:%d", s.httpPort), Host: "a.example.test", WantStatus: []int{418}})
	runner := s.runner()
	runner.Verify = time.Second
	_, err := runner.Apply(context.Background(), s, p, r)
	var step *installers.StepError
	if !errors.As(err, &step) || step.Step != installers.Verify {
		t.Fatal(err)
	}
	same(t, before, snapshot(t, s.root))
	if answer, body := s.get(t, "a.example.test", "/"); answer.StatusCode != 200 || body != "hello\n" {
		t.Errorf("afterwards: %d %q", answer.StatusCode, body)
	}
	// Without that check it stays.
	if _, err := s.runner().Apply(context.Background(), s, s.plan(t, r), r); err != nil {
		t.Fatal(err)
	}
	if got := s.shows(t, "a.example.test"); len(got) != 2 {
		t.Errorf("%q", got)
	}
	if again := s.plan(t, r); !again.Empty() {
		t.Errorf("%v", again.Notes)
	}
	if _, err := s.runner().Rollback(context.Background(), 1, find(s), false); err != nil {
		t.Fatal(err)
	}
	same(t, before, snapshot(t, s.root))
}

// Answers are given for every name, whether a host has it or not, and leave nothing.
func TestAnswersLive(t *testing.T) {
	t.Parallel()
	s := debianTree(t, map[string]string{"two.conf": twoSites}).live(t)
	before, work := snapshot(t, s.root), snapshot(t, s.dir+"/work")
	a := s.Authenticator(AuthenticatorOptions{Runner: s.runner(), HTTPPort: s.httpPort, HTTPSPort: s.tlsPort, ConfigDir: s.dir + "/le", WorkDir: s.dir + "/work", TLSSNI: true})
	batch := []edge.Answer{
		{Type: edge.HTTP01, Identifier: edge.Identifier{Type: edge.DNS, Value: "www.a.example.test"}, Token: "tok-en_1", KeyAuth: "tok-en_1.abc"},
		{Type: edge.HTTP01, Identifier: edge.Identifier{Type: edge.DNS, Value: "b.example.test"}, Token: "tok2", KeyAuth: "tok2.abc"},
		{Type: edge.HTTP01, Identifier: edge.Identifier{Type: edge.DNS, Value: "unknown.example.test"}, Token: "tok3", KeyAuth: "tok3.abc"},
		{Type: edge.TLSSNI01, Identifier: edge.Identifier{Type: edge.DNS, Value: "b.example.test"}, Token: "tok4", KeyAuth: "tok4.abc"},
	}
	ctx := context.Background()
	if err := a.Present(ctx, batch); err != nil {
		t.Fatal(err)
	}
	if err := a.Ready(ctx, batch); err != nil {
		t.Fatal(err)
	}
	for _, answer := range batch[:3] {
		if got, body := s.get(t, answer.Identifier.Value, edge.HTTP01Prefix+answer.Token); got.StatusCode != 200 || body != answer.KeyAuth {
			t.Errorf("%s: %d %q", answer.Identifier.Value, got.StatusCode, body)
		}
	}
	if got := s.shows(t, edge.SNI01Name("tok4.abc")); len(got) != 1 || got[0] != edge.SNI01Name("tok4.abc") {
		t.Errorf("TLS-SNI-01: %q", got)
	}
	if err := a.Cleanup(ctx, batch); err != nil {
		t.Fatal(err)
	}
	same(t, before, snapshot(t, s.root))
	after := snapshot(t, s.dir+"/work")
	for path := range after {
		if _, ok := work[path]; !ok && !strings.HasPrefix(path, s.dir+"/work/backups") {
			t.Errorf("left behind: %s", path)
		}
	}
	if got, _ := s.get(t, "b.example.test", edge.HTTP01Prefix+"tok2"); got.StatusCode != 404 {
		t.Errorf("after cleanup: %d", got.StatusCode)
	}
}

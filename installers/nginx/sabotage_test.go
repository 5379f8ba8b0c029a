package nginx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/installers"
)

// meddler is the server, with somebody who interferes before it is activated first.
type meddler struct {
	*Nginx
	meddle func()
}

func (m *meddler) Activate(ctx context.Context) error {
	if m.meddle != nil {
		m.meddle()
		m.meddle = nil
	}
	return m.Nginx.Activate(ctx)
}

// Whatever happens between the plan and its end, all is as it was afterwards, and the
// error names the cause.
func TestSabotage(t *testing.T) {
	t.Parallel()
	type scene struct {
		l           *lab
		master      int
		http, https uint16
		request     installers.Request
		server      *meddler
		runner      *installers.Runner
	}
	for name, c := range map[string]struct {
		prepare func(t *testing.T, s *scene) // after the plan
		want    string                       // in the error
		changed string                       // what somebody else changed, and keeps
	}{
		"master stopped": {func(t *testing.T, s *scene) {
			signal(t, s.master, syscall.SIGSTOP)
		}, "did not take the new configuration", ""},
		"port taken": {func(t *testing.T, s *scene) {
			// By IPv6 as well, so that nothing is left to bind to.
			l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv6Unspecified(), s.https)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					conn.Close()
				}
			}()
		}, "the TLS handshake fails", ""},
		"certificate swapped": {func(t *testing.T, s *scene) {
			s.server.meddle = func() { makeCertificate(t, s.request) }
		}, "has been changed while the server was: run the command again", ""},
		"error in another file": {func(t *testing.T, s *scene) {
			write(t, s.l.root+"/sites/other", "server { listen 127.0.0.9:1; nonsense on; }\n")
		}, `unknown directive "nonsense" in ` + "ROOT/sites/other:1", "/sites/other"},
		"read-only": {func(t *testing.T, s *scene) {
			chattr(t, "+i", s.l.root+"/sites/one")
			t.Cleanup(func() { chattr(t, "-i", s.l.root+"/sites/one") })
		}, "operation not permitted; the file or folder may be immutable", ""},
		"edited after the plan": {func(t *testing.T, s *scene) {
			write(t, s.l.root+"/sites/one", "# mine\n"+read(t, s.l.root+"/sites/one"))
		}, "sites/one has been changed since the plan was made", "/sites/one"},
		"edited while the server is asked": {func(t *testing.T, s *scene) {
			s.server.meddle = func() {
				write(t, s.l.root+"/sites/one", "server { listen 127.0.0.9:1; nonsense on; }\n")
			}
		}, "sites/one", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, http, https := newTwo(t, nil)
			s := &scene{l: l, http: http, https: https, master: l.start(t), request: l.request("one.test")}
			s.request.HTTPPort, s.request.HTTPSPort = http, https
			makeCertificate(t, s.request)
			p := l.plan(t, s.request)
			before := snapshot(t, l.root)
			s.server = &meddler{Nginx: l.nginx}
			s.server.settleTime = 300 * time.Millisecond
			s.runner = l.runner()
			s.runner.Verify = time.Second
			c.prepare(t, s)
			_, err := s.runner.Apply(t.Context(), s.server, p, s.request)
			var step *installers.StepError
			if !errors.As(err, &step) || step.State == installers.NotUndone || !strings.Contains(err.Error(), strings.ReplaceAll(c.want, "ROOT", l.root)) {
				t.Errorf("got %v", err)
			}
			t.Log(err)
			after := snapshot(t, l.root)
			if c.changed != "" {
				before[l.root+c.changed] = after[l.root+c.changed]
			}
			same(t, l.root, before)
			if s, body, _ := get(t, fmt.Sprintf("127.0.0.1:%d", http), "one.test", "/"); s != 200 || body != "one" {
				t.Errorf("the site: %d %s", s, body)
			}
		})
	}
}

func signal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

func chattr(t *testing.T, how, path string) {
	t.Helper()
	if out, err := exec.Command("chattr", how, path).CombinedOutput(); err != nil {
		t.Fatalf("chattr %s %s: %v: %s", how, path, err, out)
	}
}

// A master that somebody stopped takes nothing: that is said before anything is changed.
func TestStoppedMaster(t *testing.T) {
	t.Parallel()
	l, http, https := newTwo(t, nil)
	pid := l.start(t)
	r := l.request("one.test")
	r.HTTPPort, r.HTTPSPort = http, https
	makeCertificate(t, r)
	n := l.detect(t)
	signal(t, pid, syscall.SIGSTOP)
	wait(t, "it stops", func() bool { return stopped(pid) })
	before := snapshot(t, l.root)
	_, err := n.Plan(t.Context(), r)
	a := n.Authenticator(AuthenticatorOptions{Runner: l.runner(), HTTPPort: http, HTTPSPort: https, ConfigDir: l.dir + "/le", WorkDir: l.dir + "/work"})
	for _, err := range []error{err, a.Present(t.Context(), http01("one.test"))} {
		if err == nil || !strings.Contains(err.Error(), "is stopped, and takes no new configuration: have it go on with kill -CONT "+itoa(pid)) {
			t.Errorf("got %v", err)
		}
	}
	same(t, l.root, before)
	signal(t, pid, syscall.SIGCONT)
	if _, err := n.Plan(t.Context(), r); err != nil {
		t.Error(err)
	}
}

// What cannot work is refused before anything is changed, with the place.
func TestRefusedBefore(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"syntax":           {map[string]string{"sites/bad": "server {\n  listen 127.0.0.9:1\n"}, "ROOT/sites/bad:"},
		"directive":        {map[string]string{"sites/bad": "server {\n  nonsense on;\n}\n"}, "ROOT/sites/bad:2"},
		"plain HTTPS port": {map[string]string{"sites/two": "server { listen HTTPS; server_name other.test; }\n"}, "ROOT/sites/two:1:1: the server block speaks plain HTTP on"},
		"conflict":         {map[string]string{"sites/one": strings.Replace(site1, "# ours", "ssl_protocols TLSv1.2;", 1)}, `tried to insert directive "['ssl_protocols', 'TLSv1.2', 'TLSv1.3']" but found conflicting "['ssl_protocols', 'TLSv1.2']"`},
		"dhparam":          {map[string]string{"sites/one": strings.Replace(site1, "# ours", "ssl_dhparam @/le/dh.pem;", 1)}, `tried to insert directive "['ssl_dhparam', '`},
	} {
		t.Run(name, func(t *testing.T) {
			l, http, https := newTwo(t, c.files)
			l.snakeoil(t)
			dh, err := shipped.ReadFile("tls/ssl-dhparams.pem")
			if err != nil {
				t.Fatal(err)
			}
			write(t, l.dir+"/le/dh.pem", string(dh))
			r := l.request("one.test")
			r.HTTPPort, r.HTTPSPort = http, https
			_, err = l.detect(t).Plan(t.Context(), r)
			if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(c.want, "ROOT", l.root)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A port that another program has is noticed in time.
func TestPortOfAnother(t *testing.T) {
	l, http, _ := newTwo(t, nil)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r := l.request("one.test")
	r.HTTPPort, r.HTTPSPort = http, uint16(other.Addr().(*net.TCPAddr).Port)
	_, err = l.detect(t).Plan(t.Context(), r)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("(pid %d) does", os.Getpid())) {
		t.Errorf("got %v", err)
	}
}

// The file that a link of sites-enabled leads to is changed; the link stays one.
func TestLinkedSites(t *testing.T) {
	t.Parallel()
	l, http, https := newTwo(t, nil)
	real := filepath.Join(l.root, "available/one")
	write(t, real, read(t, l.root+"/sites/one"))
	if err := os.Remove(l.root + "/sites/one"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../available/one", l.root+"/sites/one"); err != nil {
		t.Fatal(err)
	}
	l.start(t)
	before := snapshot(t, l.root)
	r := l.request("one.test")
	r.HTTPPort, r.HTTPSPort = http, https
	makeCertificate(t, r)
	p := l.plan(t, r)
	if _, err := l.runner().Apply(t.Context(), l.nginx, p, r); err != nil {
		t.Fatal(err)
	}
	if now := snapshot(t, l.root); now[l.root+"/sites/one"] != before[l.root+"/sites/one"] || now[real] == before[real] {
		t.Error("the link was changed, or the file was not")
	}
	l.rollback(t, l.runner())
	same(t, l.root, before)
}

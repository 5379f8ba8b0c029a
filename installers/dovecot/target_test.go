package dovecot

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

// server is a real Dovecot, with a default certificate for another name.
type server struct {
	t                  *testing.T
	dir                string
	imap, imaps, pop3s string
	daemon             *edgetest.Daemon
	said               map[string][]string
}

func newServer(t *testing.T, more string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "edge-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{t: t, dir: dir}
	port := func() (addr string, port string) {
		n := edgetest.FreePort(t)
		return fmt.Sprintf("127.0.0.1:%d", n), fmt.Sprint(n)
	}
	var imap, imaps, pop3s string
	s.imap, imap = port()
	s.imaps, imaps = port()
	s.pop3s, pop3s = port()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/conf.d", 0o755), os.Mkdir(dir+"/tls", 0o700)); err != nil {
		t.Fatal(err)
	}
	first := edgetest.NewChain(t, time.Now().Add(time.Hour), "first.example.test")
	s.write("tls/first.pem", string(first.Key)+string(first.Chain))
	s.write("conf.d/10-mail.conf", "mail_location = maildir:/nonexistent\n")
	s.write("dovecot.conf", strings.NewReplacer("DIR", dir, "IMAPS", imaps, "IMAP", imap, "POP3S", pop3s).Replace(`# kept as it is
base_dir = DIR/run
state_dir = DIR/run
log_path = DIR/log
protocols = imap pop3
listen = 127.0.0.1
ssl_cert = <DIR/tls/first.pem
ssl_key = <DIR/tls/first.pem
passdb {
  driver = static
  args = password=x
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}
service imap-login {
  inet_listener imap {
    port = IMAP
  }
  inet_listener imaps {
    port = IMAPS
    ssl = yes
  }
}
service pop3-login {
  inet_listener pop3 {
    port = 0
  }
  inet_listener pop3s {
    port = POP3S
    ssl = yes
  }
}
!include conf.d/*.conf
`+more))
	s.daemon = &edgetest.Daemon{Argv: []string{"/usr/sbin/dovecot", "-F", "-c", dir + "/dovecot.conf"}, Dir: dir, Up: []string{s.imap, s.imaps, s.pop3s}}
	s.said = map[string][]string{"config": {dir + "/dovecot.conf"}, "dir": {dir + "/edge"}}
	s.daemon.Start(t)
	return s
}

func (s *server) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// files are all that is in some folders.
func (s *server) files(patterns ...string) string {
	s.t.Helper()
	var b strings.Builder
	for _, p := range patterns {
		list, err := filepath.Glob(filepath.Join(s.dir, p))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, path := range list {
			raw, err := os.ReadFile(path)
			if err != nil {
				s.t.Fatal(err)
			}
			fmt.Fprintf(&b, "== %s\n%s", path, raw)
		}
	}
	return b.String()
}

func (s *server) target(ctx context.Context, env *target.Env) (delivery.Target, error) {
	k := Kind()
	v, problems := target.Parse(&k, s.said, env.Getenv, false, true)
	if len(problems) > 0 {
		return nil, fmt.Errorf("%v", problems)
	}
	return k.Target(ctx, v, env)
}

// hold is a session that goes on.
func (s *server) hold(t *testing.T) func() error {
	c, err := tls.Dial("tcp", s.imaps, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	in := bufio.NewReader(c)
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return func() error {
		if _, err := fmt.Fprint(c, "a NOOP\r\n"); err != nil {
			return err
		}
		l, err := in.ReadString('\n')
		if err == nil && !strings.HasPrefix(l, "a OK") {
			err = fmt.Errorf("it says %q", l)
		}
		return err
	}
}

func newRig(t *testing.T) *targettest.Rig {
	s := newServer(t, "")
	return &targettest.Rig{
		Target: s.target, Parallel: true,
		At:       []installers.Endpoint{{Addr: s.imaps}, {Addr: s.imap, StartTLS: "imap"}, {Addr: s.pop3s}},
		Snapshot: func(*testing.T) string { return s.files("dovecot.conf", "conf.d/*", "edge/*") },
		Stop:     func(t *testing.T) { s.daemon.Stop(t) }, Start: func(t *testing.T) { s.daemon.Start(t) },
		IgnoreReload: func(*testing.T) func() {
			s.said["reload"] = []string{"true"}
			return func() { delete(s.said, "reload") }
		},
		Unreadable: func(t *testing.T) func() {
			s.write("conf.d/50-broken.conf", "local_name x {\n") // doveconf reads nothing then
			return func() { _ = os.Remove(s.dir + "/conf.d/50-broken.conf") }
		},
		Hold: s.hold,
	}
}

func TestTarget(t *testing.T) { targettest.Run(t, newRig) }

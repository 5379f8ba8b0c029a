package exim

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
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

// tree is where Debian's Exim is unpacked: its package conflicts with Postfix.
const tree = "/var/cache/edge-tests/exim4"

// server is a real Exim, with a default certificate for another name.
type server struct {
	t           *testing.T
	dir         string
	smtp, smtps string
	group       string
	daemon      *edgetest.Daemon
	said        map[string][]string
	within      time.Duration // how long a delivery may take, where it is going to fail
}

// confText has DIR, SMTPS, SMTP and TREE in it.
const confText = `# kept as it is
primary_hostname = mail.example.test
exim_path = TREE/usr/sbin/exim4
keep_environment =
spool_directory = DIR/spool
log_file_path = DIR/spool/%slog
pid_file_path = DIR/spool/exim.pid
local_interfaces = <; 127.0.0.1
daemon_smtp_ports = SMTP : SMTPS
tls_on_connect_ports = SMTPS
`

const tlsText = `tls_certificate = DIR/tls/\
  first.pem
`

func newServer(t *testing.T, more string) *server {
	t.Helper()
	if _, err := os.Stat(tree + "/exim4"); err != nil {
		if out, err := exec.Command("../../deploy/exim-unpack", tree).CombinedOutput(); err != nil {
			t.Fatalf("deploy/exim-unpack: %v\n%s", err, out)
		}
	}
	dir, err := os.MkdirTemp("/var/lib", "edge-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{t: t, dir: dir}
	smtp, smtps := edgetest.FreePort(t), edgetest.FreePort(t)
	s.smtp, s.smtps = fmt.Sprintf("127.0.0.1:%d", smtp), fmt.Sprintf("127.0.0.1:%d", smtps)
	groups, err := os.ReadFile(tree + "/own/group")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(groups)) {
		if f := strings.Split(l, ":"); len(f) > 2 && f[0] == "Debian-exim" {
			s.group = f[2]
		}
	}
	first := edgetest.NewChain(t, time.Now().Add(time.Hour), "first.example.test")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/spool", 0o777), os.Chmod(dir+"/spool", 0o777), os.Mkdir(dir+"/tls", 0o755)); err != nil {
		t.Fatal(err)
	}
	s.write("tls/first.pem", string(first.Key)+string(first.Chain))
	s.write("exim.conf", confText+more)
	s.daemon = &edgetest.Daemon{Argv: []string{tree + "/exim4", "-C", dir + "/exim.conf", "-bdf"}, Dir: dir, Up: []string{s.smtp, s.smtps}}
	s.said = map[string][]string{"config": {dir + "/exim.conf"}, "dir": {dir + "/edge"}, "exim": {tree + "/exim4"}, "group": {s.group}}
	return s
}

// text fills in what is different in each test.
func (s *server) text(content string) string {
	_, smtp, _ := strings.Cut(s.smtp, ":")
	_, smtps, _ := strings.Cut(s.smtps, ":")
	return strings.NewReplacer("DIR", s.dir, "TREE", tree, "SMTPS", smtps, "SMTP", smtp).Replace(content)
}

func (s *server) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(s.text(content)), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) read(name string) string {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(raw)
}

// files are all that is in some folders, with modes.
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
	if s.within != 0 {
		env.Within = s.within
	}
	return k.Target(ctx, v, env)
}

// hold is a session that goes on.
func (s *server) hold(t *testing.T) func() error {
	c, err := tls.Dial("tcp", s.smtps, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	in := bufio.NewReader(c)
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return func() error {
		if _, err := fmt.Fprint(c, "NOOP\r\n"); err != nil {
			return err
		}
		l, err := in.ReadString('\n')
		if err == nil && !strings.HasPrefix(l, "250 ") {
			err = fmt.Errorf("it says %q", l)
		}
		return err
	}
}

func (s *server) rig() *targettest.Rig {
	return &targettest.Rig{
		Target:   s.target,
		At:       []installers.Endpoint{{Addr: s.smtps}, {Addr: s.smtp, StartTLS: "smtp"}},
		Snapshot: func(*testing.T) string { return s.files("exim.conf", "edge/*", "edge/.*") },
		Stop:     func(t *testing.T) { s.daemon.Stop(t) }, Start: func(t *testing.T) { s.daemon.Start(t) },
		Unreadable: func(t *testing.T) func() {
			before := s.read("exim.conf")
			s.write("exim.conf", "nonsense\n"+before)
			return func() { s.write("exim.conf", before) }
		},
		Hold:   s.hold,
		Cannot: map[string]string{"reload ignored": "Exim reads a renewed certificate without being told; TestReloadIgnored has the first delivery"},
	}
}

func newRig(t *testing.T) *targettest.Rig {
	s := newServer(t, "") // the default is nobody's, and need not be watched for a while
	s.daemon.Start(t)
	return s.rig()
}

func TestTarget(t *testing.T) { targettest.Run(t, newRig) }

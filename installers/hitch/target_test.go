package hitch

import (
	"context"
	"fmt"
	"io"
	"net"
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

// server is a real hitch in front of an echo server.
type server struct {
	t      testing.TB
	dir    string
	conf   string
	addr   string
	spare  string // a port that nobody has
	daemon *edgetest.Daemon
	said   map[string][]string
}

// newServer writes a configuration: of lines, with DIR in them for the server's folder, behind
// frontend and backend.
func newServer(t *testing.T, lines string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), said: map[string][]string{}}
	s.conf = filepath.Join(s.dir, "hitch.conf")
	s.addr = fmt.Sprintf("127.0.0.1:%d", edgetest.FreePort(t))
	s.spare = fmt.Sprint(edgetest.FreePort(t))
	s.write("first.pem", pemOfNames(t, "first.example.test"))
	if err := os.Mkdir(filepath.Join(s.dir, "pems"), 0o755); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(s.addr)
	top := fmt.Sprintf("# kept as it is\nfrontend = {\n\thost = \"%s\"\n\tport = \"%s\"\n}\nbackend = \"[127.0.0.1]:%d\"\nlog-level = 1\n", host, port, echo(t))
	s.write("hitch.conf", top+strings.ReplaceAll(lines, "DIR", s.dir))
	s.said = map[string][]string{
		"config": {s.conf}, "dir": {s.dir + "/edge"}, "pid_file": {s.dir + "/pid"}, "program": {"/usr/sbin/hitch"},
	}
	s.daemon = &edgetest.Daemon{
		Argv: []string{"/usr/sbin/hitch", "--user=_hitch", "--group=_hitch", "--config=" + s.conf, "--pidfile=" + s.dir + "/pid", "--ocsp-dir="},
		Dir:  s.dir, Up: []string{s.addr},
	}
	return s
}

func (s *server) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
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

func pemOfNames(t testing.TB, names ...string) string {
	b := edgetest.NewChain(t, time.Now().Add(time.Hour), names...)
	return string(b.Chain) + string(b.Key)
}

// echo is a server that says what it is told.
func echo(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *server) target(ctx context.Context, env *target.Env) (delivery.Target, error) {
	kind := Kind()
	v, problems := target.Parse(&kind, s.said, os.Getenv, false, true)
	if len(problems) > 0 {
		return nil, &problems[0]
	}
	env.Within = 2 * time.Second
	return kind.Target(ctx, v, env)
}

// snapshot is all that is in files, but for times.
func (s *server) snapshot(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, ".out") || filepath.Base(path) == "pid" {
			return err
		}
		raw, err := os.ReadFile(path)
		info, _ := d.Info()
		fmt.Fprintf(&b, "%s %s\n%s\n", path, info.Mode(), raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func rigOf(s *server) *targettest.Rig {
	s.daemon.Start(s.t)
	start := func(t *testing.T) { s.daemon.Start(t) }
	stop := func(t *testing.T) { s.daemon.Stop(t) }
	return &targettest.Rig{
		Target: s.target, At: []installers.Endpoint{{Addr: s.addr}}, Snapshot: s.snapshot,
		Stop: stop, Start: start,
		IgnoreReload: func(t *testing.T) func() {
			s.said["reload"] = []string{"/bin/true"}
			return func() { delete(s.said, "reload") }
		},
		Unreadable: func(t *testing.T) func() {
			if err := os.Rename(s.conf, s.conf+".away"); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.Rename(s.conf+".away", s.conf); err != nil {
					t.Fatal(err)
				}
			}
		},
		Cannot: map[string]string{
			"in flight": "hitch before 1.8 ends connections at the second reload that they live through; TestInFlight has the first",
		},
	}
}

func TestTarget(t *testing.T) {
	targettest.Run(t, func(t *testing.T) *targettest.Rig {
		return rigOf(newServer(t, "pem-file = \"DIR/first.pem\"\n"))
	})
}

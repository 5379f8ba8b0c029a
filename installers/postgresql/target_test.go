package postgresql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

// server is a real PostgreSQL with a configuration outside of its data, as Debian's.
type server struct {
	t          *testing.T
	dir        string
	uid, gid   int
	addr       string
	daemon     *edgetest.Daemon
	said       map[string][]string
	port, conf string
}

// binary is a program of the newest PostgreSQL that is installed.
func binary(t *testing.T, name string) string {
	t.Helper()
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(all) == 0 {
		t.Fatalf("there is no %s: install postgresql (make test does)", name)
	}
	return all[len(all)-1]
}

func newServer(t *testing.T, more string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "edge-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("%v: install postgresql (make test does)", err)
	}
	s := &server{t: t, dir: dir, port: fmt.Sprint(edgetest.FreePort(t))}
	s.addr, s.conf = "127.0.0.1:"+s.port, filepath.Join(dir, "etc", "postgresql.conf")
	s.uid, _ = strconv.Atoi(u.Uid)
	s.gid, _ = strconv.Atoi(u.Gid)
	for _, sub := range []string{"", "etc", "etc/conf.d", "data", "ssl"} {
		path := filepath.Join(dir, sub)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chown(dir+"/data", s.uid, s.gid), os.Chmod(dir+"/data", 0o700)); err != nil {
		t.Fatal(err)
	}
	who := &syscall.Credential{Uid: uint32(s.uid), Gid: uint32(s.gid)}
	initdb := exec.Command(binary(t, "initdb"), "-D", dir+"/data", "--auth=trust", "--no-sync", "--locale=C", "-E", "UTF8")
	initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: who}
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	first := edgetest.NewChain(t, time.Now().Add(time.Hour), "first.example.test")
	s.write("ssl/first.crt", string(first.Chain))
	s.write("ssl/first.key", string(first.Key))
	text := strings.ReplaceAll("# kept as it is\ndata_directory = 'DIR/data'\nhba_file = 'DIR/data/pg_hba.conf'\nident_file = 'DIR/data/pg_ident.conf'\n"+
		"listen_addresses = '127.0.0.1'\nport "+s.port+" # the port\nunix_socket_directories = ''\nfsync = off\nshared_buffers = 1MB\nmax_connections = 10\n"+more+"include_dir = 'conf.d'\n", "DIR", dir)
	s.write("etc/postgresql.conf", text)
	s.write("etc/conf.d/tls.conf", strings.ReplaceAll("ssl = on\nssl_cert_file = 'DIR/ssl/first.crt'\t# Debian's\nssl_key_file 'DIR/ssl/first.key'\n", "DIR", dir))
	s.daemon = &edgetest.Daemon{
		Argv: []string{binary(t, "postgres"), "-c", "config_file=" + s.conf}, Dir: dir, Up: []string{s.addr}, Credential: who,
	}
	s.said = map[string][]string{"config": {s.conf}, "dir": {dir + "/ssl"}}
	s.daemon.Start(t)
	return s
}

func (s *server) write(name, content string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := errors.Join(os.WriteFile(path, []byte(content), 0o640), os.Chown(path, -1, s.gid)); err != nil {
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

func (s *server) target(ctx context.Context, env *target.Env) (delivery.Target, error) {
	k := Kind()
	v, problems := target.Parse(&k, s.said, env.Getenv, false, true)
	if len(problems) > 0 {
		return nil, fmt.Errorf("%v", problems)
	}
	return k.Target(ctx, v, env)
}

// hold keeps a session, in plain, and asks something of it later.
func (s *server) hold(t *testing.T) func() error {
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	said := func(packet string, until byte) error {
		if _, err := c.Write([]byte(packet)); err != nil {
			return err
		}
		for {
			head := make([]byte, 5)
			for n := 0; n < 5; {
				m, err := c.Read(head[n:])
				if err != nil {
					return err
				}
				n += m
			}
			body := make([]byte, int(head[3])<<8+int(head[4])-4)
			for n := 0; n < len(body); {
				m, err := c.Read(body[n:])
				if err != nil {
					return err
				}
				n += m
			}
			switch head[0] {
			case until:
				return nil
			case 'E':
				return fmt.Errorf("it says %q", body)
			}
		}
	}
	parameters := "user\x00postgres\x00database\x00postgres\x00\x00"
	if err := said(string([]byte{0, 0, 0, byte(8 + len(parameters)), 0, 3, 0, 0})+parameters, 'Z'); err != nil {
		t.Fatal(err)
	}
	query := "SELECT 1\x00"
	return func() error { return said("Q"+string([]byte{0, 0, 0, byte(4 + len(query))})+query, 'Z') }
}

func newRig(t *testing.T) *targettest.Rig {
	s := newServer(t, "")
	return &targettest.Rig{
		Single: true, Target: s.target, Parallel: true,
		At: []installers.Endpoint{{Addr: s.addr, StartTLS: "postgres"}},
		Snapshot: func(*testing.T) string {
			pem, err := os.ReadFile(s.dir + "/ssl/one.pem")
			return s.read("etc/postgresql.conf") + s.read("etc/conf.d/tls.conf") + string(pem) + fmt.Sprint(err)
		},
		Stop: func(t *testing.T) { s.daemon.Stop(t) }, Start: func(t *testing.T) { s.daemon.Start(t) },
		IgnoreReload: func(*testing.T) func() {
			s.said["reload"] = []string{"true"}
			return func() { delete(s.said, "reload") }
		},
		Unreadable: func(t *testing.T) func() {
			if err := os.Chmod(s.dir+"/ssl", 0o700); err != nil { // nothing in it can be reached
				t.Fatal(err)
			}
			return func() { _ = os.Chmod(s.dir+"/ssl", 0o755) }
		},
		Hold: s.hold,
	}
}

func TestTarget(t *testing.T) { targettest.Run(t, newRig) }

package mariadb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

// server is a real MariaDB with option files as Debian has them.
type server struct {
	t      *testing.T
	dir    string
	gid    int
	addr   string
	daemon *edgetest.Daemon
	said   map[string][]string
}

// newServer starts one; pem is what its option files say of its certificate, empty for
// nothing.
func newServer(t *testing.T, pem string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "edge-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	u, err := user.Lookup("mysql")
	if err != nil {
		t.Fatalf("%v: install mariadb-server (make test does)", err)
	}
	s := &server{t: t, dir: dir}
	port := edgetest.FreePort(t)
	s.addr = fmt.Sprintf("127.0.0.1:%d", port)
	uid, _ := strconv.Atoi(u.Uid)
	s.gid, _ = strconv.Atoi(u.Gid)
	for _, sub := range []string{"", "conf.d", "more.d", "run", "ssl"} {
		path := filepath.Join(dir, sub)
		if err := errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir+"/run", uid, s.gid); err != nil {
		t.Fatal(err)
	}
	// Of a folder for temporary files, each server that starts removes what another has there.
	small := []string{"--tmpdir=" + dir + "/run", "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M", "--innodb-flush-method=nosync"}
	install := exec.Command("mariadb-install-db", append([]string{"--no-defaults", "--datadir=" + dir + "/data", "--user=mysql",
		"--auth-root-authentication-method=socket", "--skip-test-db"}, small...)...)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	s.write("my.cnf", strings.ReplaceAll("[client-server]\nsocket = DIR/run/s.sock # its socket\n!includedir DIR/conf.d\n!includedir DIR/more.d\n", "DIR", dir))
	tls := ""
	if pem != "" {
		first := edgetest.NewChain(t, time.Now().Add(time.Hour), "first.example.test")
		s.write("ssl/"+pem, string(first.Key)+string(first.Chain))
		tls = strings.ReplaceAll("ssl-cert = DIR/ssl/"+pem+"\nssl_key=\"DIR/ssl/"+pem+"\"\n", "DIR", dir)
	}
	s.write("more.d/50-server.cnf", fmt.Sprintf("[server]\nbind-address = 127.0.0.1\nport = %d\nperformance-schema = off\n%s%s\n", port, tls,
		strings.ReplaceAll(strings.Join(small, "\n"), "--", "")))
	run := fmt.Sprintf("while :; do mariadbd --defaults-file=%[1]s/my.cnf --datadir=%[1]s/data --pid-file=%[1]s/run/pid --user=mysql; [ -e %[1]s/restart ] || exit; rm %[1]s/restart; done", dir)
	s.daemon = &edgetest.Daemon{Argv: []string{"sh", "-c", run}, Dir: dir, Up: []string{s.addr, dir + "/run/s.sock"}}
	s.said = map[string][]string{"config": {dir + "/my.cnf"}, "dir": {dir + "/ssl"}, "socket": {dir + "/run/s.sock"}}
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

// program writes one, for the place of the client, or of a restart.
func (s *server) program(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+strings.ReplaceAll(text, "DIR", s.dir)+"\n"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *server) target(ctx context.Context, env *target.Env) (delivery.Target, error) {
	k := Kind()
	v, problems := target.Parse(&k, s.said, env.Getenv, false, true)
	if len(problems) > 0 {
		return nil, fmt.Errorf("%v", problems)
	}
	return k.Target(ctx, v, env)
}

// hold keeps a session of the client.
func (s *server) hold(t *testing.T) func() error {
	cmd := exec.Command("mariadb", "--no-defaults", "--socket="+s.dir+"/run/s.sock", "--batch", "--skip-column-names", "--unbuffered")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	ask := func() (string, error) {
		if _, err := fmt.Fprintln(in, "SELECT CONNECTION_ID();"); err != nil {
			return "", err
		}
		return lines.ReadString('\n')
	}
	first, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	return func() error {
		again, err := ask()
		if err == nil && again != first {
			err = fmt.Errorf("it is connection %s now, and was %s", again, first)
		}
		return err
	}
}

func newRig(t *testing.T) *targettest.Rig {
	s := newServer(t, "one.pem")
	return &targettest.Rig{
		Single: true, Target: s.target, Parallel: true,
		At: []installers.Endpoint{{Addr: s.addr, StartTLS: "mysql"}},
		Snapshot: func(*testing.T) string {
			pem, err := os.ReadFile(s.dir + "/ssl/one.pem")
			_, own := os.Stat(s.dir + "/more.d/zz-edge.cnf")
			return string(pem) + fmt.Sprint(err, own)
		},
		Stop: func(t *testing.T) { s.daemon.Stop(t) }, Start: func(t *testing.T) { s.daemon.Start(t) },
		IgnoreReload: func(*testing.T) func() {
			s.said["client"] = []string{s.program("client", `case "$*" in *FLUSH*) exit 0;; esac; exec mariadb "$@"`)}
			return func() { delete(s.said, "client") }
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

// Looking does not get this machine blocked: handshakes that end early count as errors of
// its address (max_connect_errors).
func TestManyLooks(t *testing.T) {
	s := newServer(t, "one.pem")
	for range 150 {
		if _, err := installers.Shows(t.Context(), installers.Endpoint{Addr: s.addr, StartTLS: "mysql"}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

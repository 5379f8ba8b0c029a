package redis

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

// server is a real Redis, with its commands behind a socket of ours.
type server struct {
	t      *testing.T
	dir    string
	conf   string
	addr   string
	daemon *edgetest.Daemon
	deaf   atomic.Bool // CONFIG SET is said to be done, and is not
	said   map[string][]string
}

func newServer(t *testing.T, more string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "edge-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{t: t, dir: dir, conf: filepath.Join(dir, "redis.conf"), addr: fmt.Sprintf("127.0.0.1:%d", edgetest.FreePort(t))}
	u, err := user.Lookup("redis")
	if err != nil {
		t.Fatalf("%v: install redis-server (make test does)", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/run", 0o755), os.Chown(dir+"/run", uid, gid), os.Mkdir(dir+"/ssl", 0o755)); err != nil {
		t.Fatal(err)
	}
	first := edgetest.NewChain(t, time.Now().Add(time.Hour), "first.example.test")
	s.write("ssl/first.pem", string(first.Chain)+string(first.Key), gid)
	s.write("redis.conf", fmt.Sprintf("# kept as it is\nbind 127.0.0.1\nport 0\ntls-port %s\nunixsocket %s/run/redis.sock\ndir %[2]s/run\nsave \"\"\n"+
		"tls-auth-clients no\ntls-cert-file %[2]s/ssl/first.pem\ntls-key-file %[2]s/ssl/first.pem # no comment\n", s.addr[strings.LastIndex(s.addr, ":")+1:], dir), gid)
	// Redis has no comments behind a value.
	s.swap(" # no comment", "")
	s.swap("kept as it is\n", "kept as it is\n"+strings.ReplaceAll(more, "DIR", dir))
	s.write("users.acl", "user default on >hush-hush-9 ~* &* +@all\n", gid)
	s.daemon = &edgetest.Daemon{
		Argv: []string{"redis-server", s.conf}, Dir: dir, Up: []string{s.addr, dir + "/run/redis.sock"},
		Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
	}
	s.between(dir + "/between.sock")
	s.said = map[string][]string{"config": {s.conf}, "dir": {dir + "/ssl"}, "address": {dir + "/between.sock"}}
	s.daemon.Start(t)
	return s
}

func (s *server) write(name, content string, gid int) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := errors.Join(os.WriteFile(path, []byte(content), 0o640), os.Chown(path, -1, gid)); err != nil {
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

// swap changes redis.conf in place.
func (s *server) swap(old, now string) {
	s.t.Helper()
	text := s.read("redis.conf")
	if !strings.Contains(text, old) {
		s.t.Fatalf("redis.conf has no %q", old)
	}
	if err := os.WriteFile(s.conf, []byte(strings.Replace(text, old, now, 1)), 0o640); err != nil {
		s.t.Fatal(err)
	}
}

// between passes commands on, unless it is deaf.
func (s *server) between(path string) {
	s.t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go s.pass(in)
		}
	}()
}

func (s *server) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("unix", s.dir+"/run/redis.sock")
	if err != nil {
		return
	}
	defer out.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := in.Read(b)
		if err != nil {
			return
		}
		if s.deaf.Load() && bytes.Contains(b[:n], []byte("CONFIG\r\n$3\r\nSET")) {
			_, _ = in.Write([]byte("+OK\r\n"))
			continue
		}
		if _, err := out.Write(b[:n]); err != nil {
			return
		}
		if n, err = out.Read(b); err != nil { // a whole answer, as short as they are
			return
		}
		if _, err := in.Write(b[:n]); err != nil {
			return
		}
	}
}

func (s *server) target(ctx context.Context, env *target.Env) (delivery.Target, error) {
	k := Kind()
	v, problems := target.Parse(&k, s.said, env.Getenv, false, true)
	if len(problems) > 0 {
		return nil, fmt.Errorf("%v", problems)
	}
	return k.Target(ctx, v, env)
}

// hold keeps a connection that has asked something.
func (s *server) hold(t *testing.T) func() error {
	c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return func() error {
		if _, err := c.Write([]byte("PING\r\n")); err != nil {
			return err
		}
		b := make([]byte, 7)
		_, err := c.Read(b)
		if err == nil && string(b) != "+PONG\r\n" {
			err = fmt.Errorf("it says %q", b)
		}
		return err
	}
}

func newRig(t *testing.T) *targettest.Rig {
	s := newServer(t, "")
	return &targettest.Rig{
		Single: true, Target: s.target, Parallel: true,
		At: []installers.Endpoint{{Addr: s.addr}},
		Snapshot: func(*testing.T) string {
			pem, err := os.ReadFile(s.dir + "/ssl/one.pem")
			return s.read("redis.conf") + string(pem) + fmt.Sprint(err)
		},
		Stop: func(t *testing.T) { s.daemon.Stop(t) }, Start: func(t *testing.T) { s.daemon.Start(t) },
		IgnoreReload: func(*testing.T) func() {
			s.deaf.Store(true)
			return func() { s.deaf.Store(false) }
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

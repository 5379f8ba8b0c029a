package sftp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest/targettest"
)

// sshd is Debian's server on a port of the loopback, for root, with keys of its own.
type sshd struct {
	t          *testing.T
	dir        string
	port       int
	cmd        *exec.Cmd
	log        *lockedText
	key        string // path of the client's
	publicKey  string // of the host, a line of a .pub file
	known      string // path of a known_hosts with it
	sftp, more string // the subsystem, and lines of the configuration
}

type lockedText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newSSHD(t *testing.T) *sshd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("sshd has to be started by root")
	}
	// Debian's sshd has this folder compiled in; systemd makes it when the service starts.
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	s := &sshd{t: t, dir: t.TempDir(), log: &lockedText{}, sftp: "internal-sftp"}
	for _, name := range []string{"host", "client"} {
		run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", filepath.Join(s.dir, name))
	}
	s.key = filepath.Join(s.dir, "client")
	s.publicKey = strings.TrimSpace(read(t, filepath.Join(s.dir, "host.pub")))
	s.port = freePort(t)
	s.known = filepath.Join(s.dir, "known_hosts")
	write(t, s.known, fmt.Sprintf("[127.0.0.1]:%d %s\n", s.port, s.publicKey), 0o600)
	s.start()
	t.Cleanup(s.stop)
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func run(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, out)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func (s *sshd) start() {
	s.t.Helper()
	config := filepath.Join(s.dir, "sshd_config")
	text := fmt.Sprintf("ListenAddress 127.0.0.1:%d\nHostKey %s/host\nAuthorizedKeysFile %s/client.pub\nPidFile none\nUsePAM no\nStrictModes no\n"+
		"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nSubsystem sftp %s\n", s.port, s.dir, s.dir, s.sftp)
	write(s.t, config, text+s.more, 0o600)
	s.cmd = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", config)
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	wait(s.t, func() error {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err != nil {
			return fmt.Errorf("%w\n%s", err, s.log)
		}
		return c.Close()
	})
}

func (s *sshd) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

func wait(t *testing.T, try func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// said are the settings of the connection.
func (s *sshd) said(more map[string][]string) map[string][]string {
	said := map[string][]string{
		"host": {"127.0.0.1"}, "port": {strconv.Itoa(s.port)}, "user": {"root"}, "key": {"file:" + s.key}, "known_hosts": {s.known}, "timeout": {"10s"},
	}
	for k, v := range more {
		said[k] = v
	}
	return said
}

func values(t *testing.T, said map[string][]string, proves bool) target.Values {
	t.Helper()
	k := Kind()
	v, problems := target.Parse(&k, said, nil, proves, !proves)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return v
}

func newRig(t *testing.T) *targettest.Rig {
	ssh, s := newSSHD(t), newWeb(t)
	at := installers.Endpoint{Addr: s.addr}
	return &targettest.Rig{
		Target: func(ctx context.Context, env *target.Env) (delivery.Target, error) {
			return Kind().Target(ctx, values(t, ssh.said(map[string][]string{
				"fullchain_path": {filepath.Join(s.dir, env.Name+".pem")}, "key_path": {filepath.Join(s.dir, env.Name+".key")}, "command": {s.command()}, "verify": {s.addr},
			}), false), env)
		},
		At:       []installers.Endpoint{at},
		Item:     func(it *delivery.Item) { it.Within = time.Second },
		Snapshot: s.snapshot,
		Secrets:  []string{strings.Split(read(t, ssh.key), "\n")[2]},
		Stop:     func(*testing.T) { s.stop() }, Start: func(*testing.T) { s.start() },
		IgnoreReload: func(*testing.T) (restore func()) {
			set := func(to bool) { s.mu.Lock(); s.ignore = to; s.mu.Unlock() }
			set(true)
			return func() { set(false) }
		},
		Unreadable: func(t *testing.T) (restore func()) {
			path := filepath.Join(s.dir, "one.key")
			if err := errors.Join(os.Rename(path, path+".away"), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := errors.Join(os.Remove(path), os.Rename(path+".away", path)); err != nil {
					t.Fatal(err)
				}
			}
		},
		Hold: func(t *testing.T) (alive func() error) {
			c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return func() error {
				if _, err := c.Write([]byte("x")); err != nil {
					return err
				}
				_, err := c.Read(make([]byte, 1))
				return err
			}
		},
	}
}

func TestTarget(t *testing.T) { targettest.Run(t, newRig) }

func newProof(t *testing.T) *targettest.Proof {
	ssh, root := newSSHD(t), t.TempDir()
	server := httptest.NewServer(http.FileServer(http.Dir(root)))
	t.Cleanup(server.Close)
	return &targettest.Proof{
		Type: edge.HTTP01,
		Authenticator: func(ctx context.Context, env *target.Env) (target.Authenticator, error) {
			return Kind().Authenticator(ctx, values(t, ssh.said(map[string][]string{"webroot": {root}}), true), env)
		},
		Answers: func(a edge.Answer) error {
			resp, err := http.Get(server.URL + edge.HTTP01Prefix + a.Token)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != a.KeyAuth {
				return fmt.Errorf("%s %q %v", resp.Status, body, err)
			}
			return nil
		},
		Left: func() string {
			entries, err := os.ReadDir(root)
			if err != nil || len(entries) > 0 {
				return fmt.Sprint(entries, err)
			}
			return ""
		},
		Down: func(t *testing.T) (restore func()) {
			ssh.stop()
			return ssh.start
		},
		Secrets: []string{strings.Split(read(t, ssh.key), "\n")[2]},
	}
}

func TestProof(t *testing.T) { targettest.Prove(t, newProof) }

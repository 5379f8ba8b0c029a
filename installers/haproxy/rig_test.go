package haproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

const program = "/usr/sbin/haproxy"

// server is a real HAProxy with a master, and a relay in front of each of its sockets.
type server struct {
	t      testing.TB
	dir    string
	addr   string // TLS, in front of an echo
	web    string // HTTP
	daemon *edgetest.Daemon
	stats  *relay
	master *relay
	said   map[string][]string
}

const someConf = `# nothing of this is ever changed
global
	stats socket DIR/admin.sock mode 600 level admin
	setenv CERTS DIR/certs
defaults
	mode http
	timeout client 20s
	timeout server 20s
	timeout connect 5s
frontend tls
	mode tcp
	bind ADDR ssl crt "${CERTS}/"
	default_backend echo
frontend web
	bind WEB
	http-request return status 200 content-type text/plain lf-string "%[path,map(DIR/acme.map)]" if { path,map(DIR/acme.map) -m found }
	http-request return status 404
backend echo
	mode tcp
	server echo ECHO
`

// newServer writes a configuration, with DIR, ADDR, WEB and ECHO in it.
func newServer(t testing.TB, conf string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir()}
	s.addr = fmt.Sprintf("127.0.0.1:%d", edgetest.FreePort(t))
	s.web = fmt.Sprintf("127.0.0.1:%d", edgetest.FreePort(t))
	if err := os.Mkdir(filepath.Join(s.dir, "certs"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write("certs/00-first.pem", pemOf(t, "first.example.test"))
	s.write("acme.map", "")
	s.write("haproxy.cfg", strings.NewReplacer("DIR", s.dir, "ADDR", s.addr, "WEB", s.web, "ECHO", echo(t)).Replace(conf))
	s.daemon = &edgetest.Daemon{Argv: []string{program, "-W", "-S", s.path("master.sock"), "-f", s.path("haproxy.cfg")}, Dir: s.dir, Up: []string{s.addr}}
	s.stats = newRelay(t, s.path("stats-relay.sock"), s.path("admin.sock"))
	s.master = newRelay(t, s.path("master-relay.sock"), s.path("master.sock"))
	s.said = map[string][]string{"config": {s.path("haproxy.cfg")}, "program": {program}, "map": {s.path("acme.map")}}
	return s
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *server) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func pemOf(t testing.TB, names ...string) string {
	b := edgetest.NewChain(t, time.Now().Add(time.Hour), names...)
	return string(b.Chain) + string(b.Key)
}

// echo is a backend that sends back what it gets.
func echo(t testing.TB) string {
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
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// values are the settings, with more of them.
func (s *server) values(more ...string) target.Values {
	s.t.Helper()
	said := map[string][]string{}
	for k, v := range s.said {
		said[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		said[more[i]] = []string{more[i+1]}
	}
	k := Kind()
	v, problems := target.Parse(&k, said, os.Getenv, true, true)
	if len(problems) > 0 {
		s.t.Fatal(problems)
	}
	return v
}

// ask is a command of the stats socket, past the relay.
func (s *server) ask(command string) string {
	s.t.Helper()
	c := &cli{addr: s.path("admin.sock"), dial: new(net.Dialer).DialContext}
	answer := ""
	err := c.settle(context.Background(), func() (err error) {
		answer, err = c.ask(context.Background(), command, "")
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return answer
}

// memory is what the running HAProxy has.
func (s *server) memory() string {
	s.t.Helper()
	have, err := parseCerts(s.ask("show ssl cert"))
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, name := range have.names {
		lines = append(lines, name+" "+fingerprint(s.ask("show ssl cert "+name)))
	}
	lists, err := parseLists(s.ask("show ssl crt-list"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range lists {
		of := strings.Split(s.ask("show ssl crt-list "+l), "\n")
		slices.Sort(of)
		lines = append(lines, of...)
	}
	return "transaction " + have.transaction + "\n" + strings.Join(lines, "\n")
}

// disk is all files of a folder.
func (s *server) disk(dir string) string {
	s.t.Helper()
	entries, err := os.ReadDir(s.path(dir))
	if err != nil {
		s.t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasSuffix(e.Name(), ".out") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(s.path(dir), e.Name()))
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s:\n%s\n", e.Name(), raw)
	}
	return b.String()
}

// hold opens a connection, which has to be there to the end.
func (s *server) hold(t *testing.T) func() error {
	conn, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, ServerName: "a.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	alive := func() error {
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.WriteString(conn, "hello\n"); err != nil {
			return err
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && line != "hello\n" {
			err = fmt.Errorf("echo said %q", line)
		}
		return err
	}
	if err := alive(); err != nil {
		t.Fatal(err)
	}
	return alive
}

// rig is for targettest, with more settings.
func (s *server) rig(more ...string) *targettest.Rig {
	values := s.values(more...)
	k := Kind()
	return &targettest.Rig{
		Target: func(ctx context.Context, env *target.Env) (delivery.Target, error) {
			env.Within = time.Second
			return k.Target(ctx, values, env)
		},
		At: []installers.Endpoint{{Addr: s.addr}},
		Snapshot: func(t *testing.T) string {
			return s.disk(".") + s.disk("certs") + s.memory()
		},
		Stop:  func(t *testing.T) { s.daemon.Stop(t) },
		Start: func(t *testing.T) { s.daemon.Start(t) },
		IgnoreReload: func(t *testing.T) func() {
			s.stats.deaf.Store(true)
			s.master.deaf.Store(true)
			return func() { s.stats.deaf.Store(false); s.master.deaf.Store(false) }
		},
		// A folder where the PEM file is to be.
		Unreadable: func(t *testing.T) func() {
			path, aside := s.path("certs/one.pem"), s.path("aside.pem")
			if err := os.Rename(path, aside); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(aside, path); err != nil {
					t.Fatal(err)
				}
			}
		},
		Hold: s.hold,
	}
}

// relay is a socket in front of one of HAProxy's. While it is deaf, commands that change
// something are answered with success and go nowhere.
type relay struct {
	deaf atomic.Bool
	to   string
}

func newRelay(t testing.TB, path, to string) *relay {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &relay{to: to}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(c)
		}
	}()
	return r
}

func (r *relay) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	first, err := in.ReadString('\n')
	if err != nil {
		return
	}
	if r.deaf.Load() {
		if answer := lie(strings.TrimPrefix(strings.TrimSuffix(first, "\n"), "@1 ")); answer != "" {
			_, _ = io.WriteString(c, answer+"\n\n")
			// What was sent has to be read, or the answer is lost with it.
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = io.Copy(io.Discard, in)
			return
		}
	}
	up, err := net.Dial("unix", r.to)
	if err != nil {
		return
	}
	defer up.Close()
	go func() {
		_, _ = io.WriteString(up, first)
		_, _ = io.Copy(up, in)
	}()
	_, _ = io.Copy(c, up)
}

func lie(command string) string {
	f := strings.Fields(command)
	name := ""
	if len(f) > 3 {
		name = f[3]
	}
	switch {
	case command == "reload":
		return "Success=1\n--\n"
	case strings.HasPrefix(command, "set ssl cert"):
		return "Transaction created for certificate " + name + "!"
	case strings.HasPrefix(command, "commit ssl cert"):
		return "Committing " + name + ".\nSuccess!"
	case strings.HasPrefix(command, "show ssl cert /"):
		return "Filename: " + name + "\nStatus: Used"
	}
	return ""
}

// proof is for targettest.
func (s *server) proof(mode string, more ...string) *targettest.Proof {
	values := s.values(append(more, "mode", mode)...)
	k := Kind()
	return &targettest.Proof{
		Authenticator: func(ctx context.Context, env *target.Env) (target.Authenticator, error) {
			return k.Authenticator(ctx, values, env)
		},
		Type:    edge.HTTP01,
		Answers: func(a edge.Answer) error { return get(context.Background(), s.web, a) },
		Left: func() string {
			if mode != mapMode {
				return ""
			}
			return s.ask("show map " + s.path("acme.map"))
		},
		Down: func(t *testing.T) func() {
			s.daemon.Stop(t)
			return func() { s.daemon.Start(t) }
		},
	}
}

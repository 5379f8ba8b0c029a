package postfix

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/pemfile"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

// TestMain has more cases run side by side than there are processors: most of their time
// is Postfix's own pauses.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() == "" {
		if err := flag.Set("test.parallel", "6"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// server is a Postfix with all that it needs in a folder of its own.
type server struct {
	t    testing.TB
	dir  string
	etc  string
	addr map[string]string // of the services: smtp, smtps
	said map[string][]string
}

const mainTest = `# kept as it is
compatibility_level = 3.6
queue_directory = DIR/queue
data_directory = DIR/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = a.example.test
inet_interfaces = loopback-only
inet_protocols = ipv4
maillog_file = DIR/log
maillog_file_prefixes = /tmp, /var
default_process_limit = 20
smtpd_tls_security_level = may
`

const masterTest = `SMTP inet n - n - - smtpd
127.0.0.1:SMTPS inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
pickup unix n - n 60 1 pickup
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
`

// newServer starts one, with more lines in main.cf, in which DIR is its folder.
func newServer(t *testing.T, lines string) *server {
	t.Helper()
	if _, err := exec.LookPath("postfix"); err != nil {
		t.Fatalf("%v: install postfix (make test does)", err)
	}
	top, err := os.MkdirTemp("/var/lib", "edge-test-") // its user has to get there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	s := &server{t: t, dir: top, etc: top + "/etc", addr: map[string]string{}}
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"etc", "queue", "data"} {
		if err := os.Mkdir(filepath.Join(top, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	if err := os.Chown(top+"/data", uid, -1); err != nil {
		t.Fatal(err)
	}
	master := masterTest
	for _, name := range []string{"SMTPS", "SMTP"} {
		port := strconv.Itoa(edgetest.FreePort(t))
		s.addr[name] = "127.0.0.1:" + port
		master = strings.ReplaceAll(master, name+" ", port+" ")
	}
	s.write("master.cf", master)
	s.write("main.cf", strings.ReplaceAll(mainTest+lines, "DIR", top))
	s.said = map[string][]string{"config_dir": {s.etc}}
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

func (s *server) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.etc, name), []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) read(name string) string {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.etc, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(raw)
}

func (s *server) ctl(verb string) (string, error) {
	return installers.Run(context.Background(), []string{"postfix", "-c", s.etc, verb})
}

// start starts it, and waits until it answers. postfix start does the same, and sleeps.
func (s *server) start(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(s.dir + "/queue/pid"); err != nil { // check makes what it needs
		if out, err := s.ctl("check"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if out, err := installers.Run(context.Background(), []string{"/usr/lib/postfix/sbin/master", "-c", s.etc, "-w"}); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.until(func() bool {
		c, err := net.Dial("tcp", s.addr["SMTP"])
		if err == nil {
			_ = c.Close() // only tried
		}
		return err == nil
	})
}

func (s *server) stop(t testing.TB) {
	t.Helper()
	raw, err := os.ReadFile(s.dir + "/queue/pid/master.pid")
	pid, perr := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || perr != nil || syscall.Kill(pid, syscall.SIGTERM) != nil {
		return // it does not run
	}
	s.until(func() bool {
		_, err := s.ctl("status")
		return err != nil
	})
	if t.Failed() {
		log, _ := os.ReadFile(s.dir + "/log")
		t.Logf("Postfix said:\n%s", log[max(0, len(log)-8<<10):])
	}
}

func (s *server) until(is func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(s.dir + "/log")
			s.t.Fatalf("it does not come to that:\n%s", log)
		}
	}
}

func (s *server) target(ctx context.Context, env *target.Env) (delivery.Target, error) {
	kind := Kind()
	v, problems := target.Parse(&kind, s.said, os.Getenv, false, true)
	if len(problems) > 0 {
		return nil, &problems[0]
	}
	env.Within = 3 * time.Second
	return kind.Target(ctx, v, env)
}

// at are the two services.
func (s *server) at() []installers.Endpoint {
	return []installers.Endpoint{{Addr: s.addr["SMTP"], StartTLS: "smtp"}, {Addr: s.addr["SMTPS"]}}
}

// snapshot is the configuration, with modes.
func (s *server) snapshot(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(s.etc, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		info, _ := d.Info()
		fmt.Fprintf(&b, "%s %s\n%q\n", path, info.Mode(), raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (s *server) rig() *targettest.Rig {
	return &targettest.Rig{
		Target: s.target, At: s.at(), Snapshot: s.snapshot, Parallel: true,
		Stop: func(t *testing.T) { s.stop(t) }, Start: func(t *testing.T) { s.start(t) },
		IgnoreReload: func(*testing.T) func() {
			s.said["reload"] = []string{"/bin/true"}
			return func() { delete(s.said, "reload") }
		},
		Unreadable: func(t *testing.T) func() {
			// Not main.cf: a smtpd that starts meanwhile would be throttled for a minute.
			from := filepath.Join(s.etc, "master.cf")
			if err := os.Rename(from, from+".away"); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.Rename(from+".away", from); err != nil {
					t.Fatal(err)
				}
			}
		},
		Hold: s.hold,
	}
}

// hold is a session with STARTTLS that stays open.
func (s *server) hold(t *testing.T) func() error {
	t.Helper()
	c, err := tls.Dial("tcp", s.addr["SMTPS"], &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	r := bufio.NewReader(c)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return func() error {
		if _, err := fmt.Fprint(c, "NOOP\r\n"); err != nil {
			return err
		}
		line, err := r.ReadString('\n')
		if err == nil && !strings.HasPrefix(line, "250 ") {
			err = fmt.Errorf("it said %q", line)
		}
		return err
	}
}

func TestTarget(t *testing.T) {
	targettest.Run(t, func(t *testing.T) *targettest.Rig { return newServer(t, "").rig() })
}

// beside is a Postfix with a default certificate of somebody else.
func beside(t *testing.T) *server {
	t.Helper()
	s := newServer(t, "smtpd_tls_cert_file = DIR/etc/theirs.pem\nsmtpd_tls_key_file = $smtpd_tls_cert_file\n")
	b := edgetest.NewChain(t, time.Now().Add(time.Hour), "theirs.example.org")
	s.write("theirs.pem", string(slices.Concat(b.Chain, b.Key)))
	s.write("main.cf", strings.Replace(s.read("main.cf"), "myhostname = a.example.test", "myhostname = theirs.example.org", 1))
	s.stop(t)
	s.start(t)
	return s
}

// The same cases, with names beside the default: all of them in the long run.
func TestTable(t *testing.T) {
	if os.Getenv("EDGE_SOAK") != "" {
		targettest.Run(t, func(t *testing.T) *targettest.Rig {
			rig := beside(t).rig()
			rig.Cannot = map[string]string{"reload ignored": "a table of names is read again without one"}
			return rig
		})
		return
	}
	s := beside(t)
	b := targettest.NewBench(t, s.rig())
	one, wild := b.Material("one", "a.example.test"), b.Material("wild", "*.w.example.test", "w.example.test")
	for _, m := range []*delivery.Material{one, wild} {
		if res := b.Apply(m); !res.OK() {
			t.Fatalf("%+v", res)
		}
	}
	one = b.Material("one", "a.example.test")
	if res := b.Apply(one); !res.OK() {
		t.Fatalf("%+v", res)
	}
	b.Shows(one)
	b.Shows(wild)
	theirs, err := pemfile.Leaf(s.etc + "/theirs.pem")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.at() {
		if got, err := installers.Shows(t.Context(), e, nil); err != nil || !got.Equal(theirs) {
			t.Errorf("%s shows clients that name no host another certificate (%v)", e.Addr, err)
		}
	}
	for _, name := range []string{"sni", "sni.db"} {
		if info, err := os.Stat(filepath.Join(s.etc, "edge", name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}

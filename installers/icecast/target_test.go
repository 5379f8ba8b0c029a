package icecast

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
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

// server is a real Icecast, run as Debian's init script does: by the user icecast2.
type server struct {
	t          *testing.T
	dir, conf  string
	plain, tls string // addresses
	said       map[string][]string
	now        func() time.Time // nil: time.Now
	within     time.Duration    // zero: 2 seconds
}

// control starts and stops it, as a service manager would: it does not wait for anything but
// the end of the old one, which takes Icecast seconds when it is asked.
const control = `#!/bin/sh
old=$(cat DIR/pid 2>/dev/null)
if [ -n "$old" ] && [ "$1" != start ]; then
	kill -9 "$old"
	while [ -e "/proc/$old/exe" ]; do sleep 0.02; done
	rm DIR/pid
fi
if [ "$1" != stop ]; then
	echo "$1" >> DIR/log/starts
	cd /
	setsid setpriv --reuid=icecast2 --regid=icecast --clear-groups icecast2 -c DIR/icecast.xml > DIR/log/out 2>&1 < /dev/null &
	echo $! > DIR/pid
fi
`

// conf is a configuration with what people have in theirs.
const conf = `<?xml version="1.0"?>
<!-- Mine: do not touch -->
<icecast>
    <location>Earth &amp; so on</location>
    <limits><clients>100</clients><sources>2</sources></limits>
    <authentication><source-password>hackme</source-password><admin-user>admin</admin-user><admin-password>hackme</admin-password></authentication>
    <hostname>localhost</hostname>
    <listen-socket>
        <port>PLAIN</port>
        <bind-address>127.0.0.1</bind-address>
    </listen-socket>
    <!--
    <listen-socket>
        <port>8443</port>
        <ssl>1</ssl>
    </listen-socket>
    -->
    <fileserve>1</fileserve>
    <paths>
        <basedir>/usr/share/icecast2</basedir>
        <logdir>DIR/log</logdir>
        <webroot>/usr/share/icecast2/web</webroot>
        <adminroot>/usr/share/icecast2/admin</adminroot>
        <alias source="/" destination="/status.xsl"/>
        <!-- <ssl-certificate>/usr/share/icecast2/icecast.pem</ssl-certificate> -->
    </paths>
    <logging><accesslog>access.log</accesslog><errorlog>error.log</errorlog><loglevel>3</loglevel></logging>
    <security><chroot>0</chroot></security>
</icecast>
`

func newServer(t *testing.T) *server {
	t.Helper()
	for _, program := range []string{"icecast2", "setpriv", "setsid"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: install it (make test does)", err)
		}
	}
	s := &server{t: t, dir: t.TempDir()}
	for dir := s.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // for Icecast's user
			t.Fatal(err)
		}
	}
	s.conf = s.dir + "/icecast.xml"
	tlsPort := edgetest.FreePort(t)
	s.plain, s.tls = fmt.Sprintf("127.0.0.1:%d", edgetest.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", tlsPort)
	if err := os.Mkdir(s.dir+"/log", 0o700); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(s.plain)
	s.write("icecast.xml", strings.NewReplacer("DIR", s.dir, "PLAIN", port).Replace(conf), 0o640)
	s.write("control", strings.ReplaceAll(control, "DIR", s.dir), 0o755)
	u, err := user.Lookup("icecast2")
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroup("icecast")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(g.Gid)
	for path, owner := range map[string]int{"/log": uid, "/icecast.xml": 0} {
		if err := os.Chown(s.dir+path, owner, gid); err != nil {
			t.Fatal(err)
		}
	}
	s.said = map[string][]string{"configuration_file": {s.conf}, "new_ssl_socket_port": {strconv.Itoa(tlsPort)}, "command": {s.dir + "/control", "restart"}}
	t.Cleanup(func() {
		s.stop(t)
		if t.Failed() {
			t.Logf("icecast said:\n%s\n%s", s.read("log/out"), s.read("log/error.log"))
		}
	})
	return s
}

func (s *server) write(name, content string, mode os.FileMode) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), mode); err != nil {
		s.t.Fatal(err)
	}
}

// read is the content of a file, "" where there is none.
func (s *server) read(name string) string {
	raw, _ := os.ReadFile(filepath.Join(s.dir, name))
	return string(raw)
}

func (s *server) control(t *testing.T, what string) {
	t.Helper()
	if out, err := exec.Command(s.dir+"/control", what).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func (s *server) stop(t *testing.T) { s.control(t, "stop") }

// start starts it and waits until it answers.
func (s *server) start(t *testing.T) {
	t.Helper()
	s.control(t, "start")
	_, port, _ := net.SplitHostPort(s.plain)
	n, _ := strconv.Atoi(port)
	for deadline := time.Now().Add(10 * time.Second); !listening([]int{n}) && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(soon) // see settle
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get("http://" + s.plain + "/")
		if err == nil {
			_ = resp.Body.Close() // it answers
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("Icecast does not answer: %v", err)
		}
	}
}

func (s *server) target(ctx context.Context, env *target.Env) (delivery.Target, error) {
	kind := Kind()
	v, problems := target.Parse(&kind, s.said, os.Getenv, false, true)
	if len(problems) > 0 {
		return nil, &problems[0]
	}
	env.Within = cmp.Or(s.within, 2*time.Second)
	if s.now != nil {
		env.Now = s.now
	}
	tg, err := kind.Target(ctx, v, env)
	if err == nil {
		tg.(*delivery.Local).Planner.(*Icecast).o.Settle = soon
	}
	return tg, err
}

// soon is long enough for a machine that does little else.
const soon = settled / 2

// snapshot is the configuration and the bundle, but for times.
func (s *server) snapshot(t *testing.T) string {
	t.Helper()
	text := ""
	for _, name := range []string{"icecast.xml", "edge.pem"} {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
			text += fmt.Sprintf("%s %v\n%s\n", name, info.Mode(), s.read(name))
		}
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text += e.Name() + "\n"
	}
	return text
}

func rig(s *server) *targettest.Rig {
	s.start(s.t)
	return &targettest.Rig{
		Target: s.target, At: []installers.Endpoint{{Addr: s.tls}}, Snapshot: s.snapshot, Single: true,
		Stop: s.stop, Start: s.start,
		IgnoreReload: func(*testing.T) func() {
			was := s.said["command"]
			s.said["command"] = []string{"/bin/true"}
			return func() { s.said["command"] = was }
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
		Cannot: map[string]string{"in flight": "Icecast takes a certificate only when it is restarted, which ends all connections: see the setting restart"},
	}
}

func TestTarget(t *testing.T) {
	targettest.Run(t, func(t *testing.T) *targettest.Rig { return rig(newServer(t)) })
}

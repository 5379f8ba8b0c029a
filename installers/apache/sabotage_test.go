package apache

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/installers"
)

// meddler is the server, with somebody who interferes before it is activated first.
type meddler struct {
	*server
	meddle func()
}

func (m *meddler) Activate(ctx context.Context) error {
	if m.meddle != nil {
		m.meddle()
		m.meddle = nil
	}
	return m.server.Activate(ctx)
}

// Whatever happens between the plan and its end, all is as it was afterwards, and the
// error names the cause. DIR stands for the folder of the server.
func TestSabotage(t *testing.T) {
	t.Parallel()
	const two = "sites-available/two.conf"
	for name, c := range map[string]struct {
		prepare func(t *testing.T, s *meddler) // after the plan
		want    string                         // in the error
		changed string                         // what somebody else changed, and keeps
	}{
		"master stopped": {func(t *testing.T, s *meddler) {
			pid, _ := s.master(t.Context())
			signal(t, pid, syscall.SIGSTOP)
			t.Cleanup(func() { signal(t, pid, syscall.SIGCONT) })
		}, "nothing listens there: the server does not run, or did not take the new configuration", ""},
		"port taken": {func(t *testing.T, s *meddler) {
			occupy(t, s.tlsPort)
		}, "could not bind to address", ""},
		"certificate swapped": {func(t *testing.T, s *meddler) {
			s.meddle = func() { certificate(t, s.dir+"/le/live/a", "a.example.test", "b.example.test") }
		}, "has been changed while the server was: run the command again", ""},
		"error in another file": {func(t *testing.T, s *meddler) {
			write(t, s.root, map[string]string{"conf-enabled/other.conf": "# \nNonsense on\n"})
		}, "Syntax error on line 2 of DIR/apache2/conf-enabled/other.conf", "conf-enabled/other.conf"},
		"read-only": {func(t *testing.T, s *meddler) {
			chattr(t, "+i", filepath.Join(s.root, two))
			t.Cleanup(func() { chattr(t, "-i", filepath.Join(s.root, two)) })
		}, "operation not permitted; the file or folder may be immutable", ""},
		"edited after the plan": {func(t *testing.T, s *meddler) {
			write(t, s.root, map[string]string{two: "# mine\n" + twoSites})
		}, two + " has been changed since the plan was made", two},
		"edited while the server is asked": {func(t *testing.T, s *meddler) {
			s.meddle = func() { write(t, s.root, map[string]string{two: "Nonsense on\n"}) }
		}, "Syntax error on line 1 of DIR/apache2/sites-enabled/two.conf", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &meddler{server: debianTree(t, map[string]string{"two.conf": twoSites}).live(t)}
			s.restartTime = 500 * time.Millisecond
			before := snapshot(t, s.root)
			r := s.request(certificate(t, s.dir+"/le/live/a", "a.example.test", "b.example.test"), "a.example.test", "b.example.test")
			r.Enhance.Redirect = true
			p := s.plan(t, r)
			runner := s.runner()
			runner.Verify = time.Second
			c.prepare(t, s)
			_, err := runner.Apply(t.Context(), s, p, r)
			var step *installers.StepError
			if !errors.As(err, &step) || step.State == installers.NotUndone || !strings.Contains(err.Error(), strings.ReplaceAll(c.want, "DIR", s.dir)) {
				t.Errorf("got %v", err)
			}
			t.Log(err)
			after := snapshot(t, s.root)
			if c.changed != "" {
				changed := filepath.Join(s.root, c.changed)
				before[changed] = after[changed]
			}
			same(t, before, after)
			if left, err := filepath.Glob(s.dir + "/le/options*"); err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
			for _, host := range r.Names {
				if answer, body := s.get(t, host, "/"); answer.StatusCode != 200 || body != "hello\n" {
					t.Errorf("%s: %d %q", host, answer.StatusCode, body)
				}
			}
		})
	}
}

// occupy listens on a port, of all addresses, and answers nobody.
func occupy(t *testing.T, port uint16) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{Port: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
}

func signal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if pid < 2 {
		t.Fatalf("signal %v to process %d", s, pid)
	}
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

func chattr(t *testing.T, how, path string) {
	t.Helper()
	if out, err := exec.Command("chattr", how, path).CombinedOutput(); err != nil {
		t.Fatalf("chattr %s %s: %v: %s", how, path, err, out)
	}
}

// Where sites-enabled is a link itself, and its sites are links, the files that they lead to
// are changed; every link stays one.
func TestLinkedSites(t *testing.T) {
	t.Parallel()
	s := debianTree(t, map[string]string{"two.conf": twoSites})
	if err := os.Rename(s.root+"/sites-enabled", s.dir+"/enabled"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.dir + "/enabled/two.conf"); err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, map[string]string{"enabled/two.conf": "-> " + s.root + "/sites-available/two.conf", "apache2/sites-enabled": "-> ../enabled"})
	s.live(t)
	before := []map[string]string{snapshot(t, s.root), snapshot(t, s.dir+"/enabled")}
	r := s.request(certificate(t, s.dir+"/le/live/a", "a.example.test"), "a.example.test")
	r.Enhance.Redirect = true
	if _, err := s.runner().Apply(t.Context(), s, s.plan(t, r), r); err != nil {
		t.Fatal(err)
	}
	now := snapshot(t, s.root)
	for _, path := range []string{s.root + "/sites-enabled", s.dir + "/enabled/two.conf"} {
		if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s is no link any more: %v", path, err)
		}
	}
	if path := s.root + "/sites-available/two.conf"; now[path] == before[0][path] {
		t.Error("the file is as before")
	}
	if got := s.shows(t, "a.example.test"); len(got) != 1 || got[0] != "a.example.test" {
		t.Errorf("%q", got)
	}
	if again := s.plan(t, r); !again.Empty() {
		t.Errorf("again: %v", again.Notes)
	}
	if _, err := s.runner().Rollback(t.Context(), 1, find(s), false); err != nil {
		t.Fatal(err)
	}
	same(t, before[0], snapshot(t, s.root))
	same(t, before[1], snapshot(t, s.dir+"/enabled"))
}

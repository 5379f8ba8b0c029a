package runlog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is a user without rights.
const nobody = 65534

// certbot runs Debian's on folders of its own and returns what it wrote to standard
// error. uid 0 stays who we are.
func certbot(t *testing.T, root, logs string, uid uint32, args ...string) string {
	t.Helper()
	bin, err := exec.LookPath("certbot")
	if err != nil {
		t.Fatalf("%v; install it: apt-get install certbot", err)
	}
	cmd := exec.CommandContext(t.Context(), bin, append([]string{"certificates", "-n", "--logs-dir", logs,
		"--config-dir", filepath.Join(root, "config"), "--work-dir", filepath.Join(root, "work")}, args...)...)
	cmd.Env = append(os.Environ(), "no_proxy=*", "HTTPS_PROXY=http://127.0.0.1:1", "HOME="+root, "TMPDIR="+root)
	cmd.Dir = "/"
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stderr.String()
}

// run is a run of ours that logs one line.
func run(t *testing.T, o Options, line string) {
	t.Helper()
	if err := MakeDir(o.Dir, 0o700, false); err != nil {
		t.Fatal(err)
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	l.Logger().With("component", "main").Debug(line)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// tree is what a folder has: names, modes and contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = info.Mode().String() + " " + string(b)
	}
	return out
}

// certbotLine is what stands in certbot's log, line by line.
var certbotLine = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}:(DEBUG|INFO|WARNING|ERROR):[a-z._]+:.+$`)

// certbot and edge take turns in one folder, and neither disturbs the other.
func TestTurnsWithCertbot(t *testing.T) {
	root := t.TempDir()
	logs := filepath.Join(root, "deep", "logs")
	const backups = 3
	o := Options{Dir: logs, MaxBackups: backups}
	var stderr bytes.Buffer
	o.Stderr = &stderr
	run(t, o, "ours 1")
	theirs := certbot(t, root, logs, 0, "--max-log-backups", strconv.Itoa(backups))
	if stderr.String() != theirs || theirs != "Saving debug log to "+logs+"/letsencrypt.log\n" {
		t.Errorf("we say %q, certbot %q", stderr.String(), theirs)
	}
	run(t, o, "ours 2")
	certbot(t, root, logs, 0, "--max-log-backups", strconv.Itoa(backups))
	run(t, o, "ours 3")
	files := tree(t, logs)
	if len(files) != backups+1 {
		t.Errorf("%d files: %v", len(files), files)
	}
	for name, want := range map[string]string{"letsencrypt.log": ":DEBUG:edge.main:ours 3\n", "letsencrypt.log.1": "certbot version",
		"letsencrypt.log.2": ":DEBUG:edge.main:ours 2\n", "letsencrypt.log.3": "certbot version"} {
		got := files[name]
		if !strings.Contains(got, want) || !strings.HasPrefix(got, "-rw-r--r-- ") {
			t.Errorf("%s: %s", name, got)
		}
		for line := range strings.Lines(strings.TrimPrefix(got, "-rw-r--r-- ")) {
			if !certbotLine.MatchString(line) {
				t.Errorf("%s: line %q", name, line)
			}
		}
	}
	for _, dir := range []string{logs, filepath.Dir(logs)} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
}

// The same old logs, gaps included: afterwards they are where certbot puts them.
func TestRotatesAsCertbot(t *testing.T) {
	for _, c := range []struct {
		backups int
		there   []string
	}{
		{4, []string{"", ".1", ".2", ".3", ".4"}}, {4, []string{".1", ".3"}}, {1, []string{"", ".1", ".2"}},
		{0, []string{"", ".1", ".txt"}}, {12, []string{"", ".9", ".10", ".11", ".12", ".13"}},
	} {
		var got [2]map[string]string
		for i := range got {
			root := t.TempDir()
			logs := filepath.Join(root, "logs")
			if err := os.Mkdir(logs, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, suffix := range c.there {
				if err := os.WriteFile(filepath.Join(logs, Name+suffix), []byte("old"+suffix+"\n"), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			if i == 0 {
				certbot(t, root, logs, 0, "--max-log-backups", strconv.Itoa(c.backups))
			} else {
				run(t, Options{Dir: logs, MaxBackups: c.backups}, "ours")
			}
			got[i] = tree(t, logs)
			got[i][Name] = regexp.MustCompile(`\d{4}-\d\d-\d\d .*\n`).ReplaceAllString(got[i][Name], "")
			// certbot leaves an empty one where there was none before.
			for name, content := range got[i] {
				if i == 0 && name == Name+".1" && content == "-rw-r--r-- " {
					delete(got[i], name)
				}
			}
		}
		if want, have := got[0], got[1]; !equal(want, have) {
			t.Errorf("%+v: certbot has\n%v\nwe have\n%v", c, want, have)
		}
	}
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// asNobody works on files as somebody without rights.
func asNobody(work func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the function
		err := error(nil)
		if os.Geteuid() == 0 {
			err = unix.Setfsuid(nobody)
		}
		if err == nil {
			err = work()
		}
		done <- err
	}()
	return <-done
}

var certbotTemp = regexp.MustCompile(`See the logfile (\S+/certbot-log-[A-Za-z0-9_]+/log) or`)

// Where the folder cannot be used, both say the same and log to a temporary file.
func TestFolderRefusedAsCertbot(t *testing.T) {
	root := t.TempDir()
	closed := filepath.Join(root, "closed")
	if err := errors.Join(os.Chmod(filepath.Dir(root), 0o755), os.Chmod(root, 0o777), os.Mkdir(closed, 0o700)); err != nil {
		t.Fatal(err)
	}
	for dir, message := range map[string]string{
		closed + "/logs": "[Errno 13] Permission denied: '" + closed + "/logs'",
		"/dev/full/logs": "[Errno 20] Not a directory: '/dev/full/logs'",
	} {
		theirs := certbotTemp.ReplaceAllString(certbot(t, root, dir, nobody), "See the logfile TEMP or")
		var stderr bytes.Buffer
		var l *Log
		err := asNobody(func() error {
			err := MakeDir(dir, 0o700, false)
			var dirErr *DirError
			if !errors.As(err, &dirErr) || !strings.Contains(err.Error(), message) {
				return fmt.Errorf("MakeDir: %w", err)
			}
			var err2 error
			if l, err2 = Open(Options{Dir: dir, Temp: root, Stderr: &stderr}); !errors.As(err2, &dirErr) {
				return fmt.Errorf("Open: %w", err2)
			}
			l.Logger().Error(err.Error())
			stderr.WriteString(l.Advice("Certbot") + "\n")
			return l.Close()
		})
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		if ours := certbotTemp.ReplaceAllString(stderr.String(), "See the logfile TEMP or"); ours != theirs {
			t.Errorf("%s: we say\n%s\ncertbot\n%s", dir, ours, theirs)
		}
		if info, err := os.Stat(l.Path()); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", l.Path(), info, err)
		}
		if info, err := os.Stat(filepath.Dir(l.Path())); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", l.Path(), info, err)
		}
	}
}

func TestStrictPermissionsAsCertbot(t *testing.T) {
	root := t.TempDir()
	logs := filepath.Join(root, "logs")
	if err := os.Mkdir(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	theirs := certbot(t, root, logs, 0, "--strict-permissions")
	err := MakeDir(logs, 0o700, true)
	if err == nil || !strings.HasPrefix(theirs, err.Error()+"\n") {
		t.Errorf("we say %v, certbot %s", err, theirs)
	}
	if err := MakeDir(logs, 0o755, true); err != nil {
		t.Error(err)
	}
	if err := MakeDir(logs, 0o700, false); err != nil {
		t.Error(err)
	}
	// What it makes itself may be stricter.
	defer syscall.Umask(syscall.Umask(0o077))
	if err := MakeDir(filepath.Join(root, "work"), 0o755, true); err != nil {
		t.Error(err)
	}
}

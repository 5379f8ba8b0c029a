package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/internal/durable"
)

// fakeSystemctl knows the calls that takeover makes, and no others. A unit is a file
// of two words: UnitFileState and ActiveState.
const fakeSystemctl = `#!/bin/sh
cd "$FAKE_SYSTEMD" || exit 70
die() { echo "$1" >&2; exit "$2"; }
[ "$LC_ALL" = C ] || die "LC_ALL is not C" 64
if [ "$1" = show ]; then
	[ $# = 3 ] && [ "$2" = --property=LoadState,UnitFileState,ActiveState ] || die "unknown call: $*" 64
	if [ ! -f "$3" ]; then echo "LoadState=not-found"; echo "UnitFileState="; echo "ActiveState=inactive"; exit 0; fi
	read -r state active <"$3"
	load=loaded; [ "$state" = masked ] && load=masked
	echo "UnitFileState=$state"; echo "LoadState=$load"; echo "ActiveState=$active"; exit 0
fi
echo "$*" >>log
grep -qxF "$*" fail 2>/dev/null && die "Failed: \033[31mno" 1
verb=$1; shift
now=; case "$verb $1" in "enable --now"|"disable --now"|"enable --runtime") now=$1; shift;; esac
[ $# = 1 ] || die "unknown call: $verb $*" 64
[ -f "$1" ] || die "Unit file $1 does not exist." 1
read -r state active <"$1"
[ "$verb $state" = "enable masked" ] && die "Unit $1 is masked." 1
case "$verb $now" in
"enable "|"enable --now") state=enabled;;
"enable --runtime") state=enabled-runtime;;
"disable "|"disable --now") state=disabled;;
"start ") active=active;;
"stop ") active=inactive;;
*) die "unknown call: $verb $now" 64;;
esac
[ "$verb $now" = "enable --now" ] && active=active
[ "$verb $now" = "disable --now" ] && active=inactive
echo "$state $active" >"$1"
`

const debianCron = "# /etc/cron.d/certbot\nSHELL=/bin/sh\nPATH=/bin\n\n0 */12 * * * root test -x /usr/bin/certbot && certbot -q renew\n  @daily root certbot renew"

// machine is a root folder, with a service manager.
type machine struct {
	t       *testing.T
	root    string
	systemd string
	files   durable.Writer
}

// newMachine has units by name, and a cron job where cron is not "".
func newMachine(t *testing.T, units map[string]string, cron string) *machine {
	t.Helper()
	m := &machine{t: t, root: t.TempDir(), systemd: t.TempDir()}
	t.Setenv("FAKE_SYSTEMD", m.systemd)
	m.put("/run/systemd/system/x", "", 0o644)
	m.put("/usr/bin/systemctl", fakeSystemctl, 0o755)
	for name, state := range units {
		m.set(name, state)
	}
	if cron != "" {
		m.put(cronJob, cron, 0o640)
	}
	return m
}

func (m *machine) put(path, data string, mode os.FileMode) {
	m.t.Helper()
	path = filepath.Join(m.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), mode)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) set(unit, state string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.systemd, unit), []byte(state+"\n"), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// run runs the verb.
func (m *machine) run(args ...string) (stdout string, err error) {
	m.t.Helper()
	var out bytes.Buffer
	cmd := newTakeoverAt(takeover{root: m.root, systemctl: filepath.Join(m.root, "usr/bin/systemctl"), uid: os.Geteuid(), now: time.Now, files: m.files})
	cmd.SetArgs(append([]string{"certbot"}, args...))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err = cmd.ExecuteContext(m.t.Context())
	return out.String(), err
}

func (m *machine) must(args ...string) string {
	m.t.Helper()
	out, err := m.run(args...)
	if err != nil {
		m.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// calls returns the calls that change something, and forgets them.
func (m *machine) calls() string {
	m.t.Helper()
	path := filepath.Join(m.systemd, "log")
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	_ = os.Remove(path)
	return strings.TrimSuffix(string(b), "\n")
}

// snapshot is everything that there is: units and files with their modes and owners.
func (m *machine) snapshot() string {
	m.t.Helper()
	var b strings.Builder
	for _, dir := range []string{m.root, m.systemd} {
		err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			if err != nil || info.Name() == "log" || info.Name() == "fail" {
				return err
			}
			content := ""
			if info.Mode().IsRegular() {
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				content = string(data)
			}
			// Folders that are made on the way may stay.
			if rel, _ := filepath.Rel(dir, path); !strings.HasPrefix(rel, "var") || info.Mode().IsRegular() {
				fmt.Fprintf(&b, "%s %v %+v %q\n", rel, info.Mode(), gidOf(info), content)
			}
			return nil
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
	return b.String()
}

func gidOf(info os.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Gid }

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

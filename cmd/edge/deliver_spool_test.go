package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/internal/config"
	"edge/internal/edgetest"
	"edge/internal/flock"
)

func untold() error { return nil }

// Whatever lies in the spool, it becomes empty, nothing outside of it is touched, and
// nothing but names of hosts comes of it.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	spool, outside := dir+"/state/deliver", dir+"/outside"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fill := func() {
		t.Helper()
		must(os.MkdirAll(spool+"/empty", 0o700))
		must(os.WriteFile(outside, []byte("stays"), 0o600))
		for _, name := range []string{"a.example.test", "*.b.example.test", "192.0.2.1", "UPPER.example.test", "..name", "a b", "-rf", "$(id)", strings.Repeat("x", 250), "no_host", "line\nbreak"} {
			must(os.WriteFile(spool+"/"+name, []byte("ignored"), 0o600))
		}
		must(os.Symlink(outside, spool+"/link.example.test"))
		must(syscall.Mkfifo(spool+"/fifo.example.test", 0o600))
		must(os.Mkdir(spool+"/folder.example.test", 0o700))
	}
	fill()
	names, err := takeSpool(spool, untold)
	if err != nil || fmt.Sprint(names) != "[*.b.example.test 192.0.2.1 a.example.test]" {
		t.Errorf("%q %v", names, err)
	}
	if left, err := os.ReadDir(spool); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "stays" {
		t.Errorf("%s %v", b, err)
	}
	if names, err := takeSpool(dir+"/nosuch", untold); names != nil || err != nil {
		t.Errorf("before the first door: %v %v", names, err)
	}
	// A folder that is not what it seems is not emptied.
	must(os.Mkdir(dir+"/precious", 0o700))
	must(os.WriteFile(dir+"/precious/a.example.test", nil, 0o600))
	must(os.Remove(spool))
	must(os.Symlink(dir+"/precious", spool))
	if _, err := takeSpool(spool, untold); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link: %v", err)
	}
	must(os.Remove(spool))
	must(os.Mkdir(dir+"/precious/deliver", 0o700))
	must(os.Rename(dir+"/state", dir+"/old"))
	must(os.Symlink(dir+"/precious", dir+"/state"))
	if _, err := takeSpool(spool, untold); err == nil {
		t.Error("a link on the way is followed")
	}
	if _, err := os.Stat(dir + "/precious/a.example.test"); err != nil {
		t.Error(err)
	}
	must(os.Remove(dir + "/state"))
	must(os.Mkdir(dir+"/state", 0o700))
	must(os.WriteFile(spool, nil, 0o600))
	if _, err := takeSpool(spool, untold); err == nil {
		t.Error("a file is taken for a spool")
	}
	// What cannot be removed is told of, and keeps nothing else from being taken.
	must(os.Remove(spool))
	for n := range 3 {
		must(os.MkdirAll(fmt.Sprintf("%s/full%d/of/it", spool, n), 0o700))
	}
	must(os.WriteFile(spool+"/a.example.test", nil, 0o600))
	must(os.WriteFile(spool+"/z.example.test", nil, 0o600))
	names, err = takeSpool(spool, untold)
	if err == nil || !strings.Contains(err.Error(), "remove it by hand") || !strings.Contains(err.Error(), "2 more") || fmt.Sprint(names) != "[a.example.test z.example.test]" {
		t.Errorf("folders with something in them: %q %v", names, err)
	}
	if left, err := os.ReadDir(spool); err != nil || len(left) != 3 {
		t.Errorf("left: %v %v", left, err)
	}
	// Where it cannot be noted that names are taken, they stay; without names nothing
	// is noted.
	full := func() error { return syscall.ENOSPC }
	if names, err := takeSpool(spool, full); names != nil || !strings.Contains(fmt.Sprint(err), "not empty") {
		t.Errorf("%q %v", names, err)
	}
	must(os.WriteFile(spool+"/a.example.test", nil, 0o600))
	if names, err := takeSpool(spool, full); names != nil || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%q %v", names, err)
	}
	if _, err := os.Stat(spool + "/a.example.test"); err != nil {
		t.Error(err)
	}
	must(os.RemoveAll(spool))
	must(os.Mkdir(spool, 0o700))
	for n := range maxSpool + 10 {
		must(os.WriteFile(fmt.Sprintf("%s/n%d.example.test", spool, n), nil, 0o600))
	}
	if names, err := takeSpool(spool, untold); err != nil || len(names) != maxSpool {
		t.Errorf("%d names %v", len(names), err)
	}
}

// The spool has hosts of the door. A lineage of the same name is not the door's to have
// delivered.
func TestSpooledItems(t *testing.T) {
	to := []config.Deliver{{Exec: &config.Exec{Command: []string{"x"}}}}
	cfg := &config.Config{
		Certificates: []config.Certificate{{Name: "lineage.example.test", Hosts: []string{"a.example.test"}, Deliver: to}},
		Sites:        []config.Site{{Hosts: []string{"site.example.test", "www.example.test"}, Deliver: to}, {Hosts: []string{"plain.example.test"}}},
	}
	got := spooledItems(cfg, []string{"lineage.example.test", "plain.example.test", "site.example.test", "a.example.test"}, slog.New(slog.DiscardHandler))
	if len(got) != 1 || !got["site.example.test"] {
		t.Errorf("%v", got)
	}
}

// spooledSites has two hosts of the door that are delivered.
const spooledSites = `version: 1
acme: {agree_tos: true}
admin: {socket: DIR/admin.sock}
sites:
  - hosts: [shop.example.test]
    proxy: http://127.0.0.1:1
    deliver: [{files: {dir: DIR/shop}}]
  - hosts: [www.example.test]
    proxy: http://127.0.0.1:1
    deliver: [{files: {dir: DIR/www}}]
`

// newSpool has a door that named one of its hosts.
func newSpool(t *testing.T) *deliverTo {
	t.Helper()
	d := newDeliverTo(t, spooledSites)
	d.answer(&lyingDoor{b: edgetest.NewChain(t, time.Now().Add(time.Hour), "shop.example.test", "www.example.test")})
	if err := os.Mkdir(d.path("spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.name("shop.example.test")
	return d
}

func (d *deliverTo) name(host string) {
	d.t.Helper()
	if err := spoolName(d.path("spool"), host); err != nil {
		d.t.Fatal(err)
	}
}

// spooled runs what the path unit starts, and fails the test where the run does not
// end with the code, or leaves other things in the spool.
func (d *deliverTo) spooled(code, left int) string {
	d.t.Helper()
	out := d.deliver(code, "apply", "--spool", d.path("spool"), "--lock-timeout", "1ms")
	if l, err := os.ReadDir(d.path("spool")); err != nil || len(l) != left {
		d.t.Errorf("the spool has %v %v, want %d", l, err, left)
	}
	return out
}

func (d *deliverTo) delivered(dir string) bool {
	_, err := os.Stat(d.path(dir, "fullchain.pem"))
	return err == nil
}

// A run that cannot begin does not lose what the door named: the next one delivers it,
// with nothing new in the spool, and looks at all hosts.
func TestDeliverSpoolAfterARunThatCouldNotBegin(t *testing.T) {
	for name, breaks := range map[string]struct {
		begin func(d *deliverTo) (end func())
		code  int
	}{
		"configuration": {func(d *deliverTo) func() {
			d.configure(spooledSites + "  - hosts: [half")
			return func() { d.configure(spooledSites) }
		}, exitUsage},
		"lock": {func(d *deliverTo) func() {
			if err := os.Mkdir(d.path("state"), 0o700); err != nil {
				t.Fatal(err)
			}
			l, err := flock.Dir(t.Context(), d.path("state"), flock.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = l.Release() }
		}, exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			d := newSpool(t)
			end := breaks.begin(d)
			d.spooled(breaks.code, 0)
			d.spooled(breaks.code, 0) // nor does the one after it
			if d.delivered("shop") {
				t.Fatal("it was delivered")
			}
			end()
			if out := d.spooled(exitOK, 0); !d.delivered("shop") || !d.delivered("www") {
				t.Errorf("not delivered: %s", out)
			}
			if out := d.spooled(exitOK, 0); out != "" {
				t.Errorf("a run without names and after one that ended: %s", out)
			}
			d.name("www.example.test")
			if out := d.spooled(exitOK, 0); strings.Contains(out, "shop") || !strings.Contains(out, "www") {
				t.Errorf("more than was named: %s", out)
			}
		})
	}
}

// Where nothing can be noted, the spool keeps the names.
func TestDeliverSpoolWithoutState(t *testing.T) {
	d := newSpool(t)
	if err := os.WriteFile(d.path("state"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := d.spooled(exitFailed, 1); !strings.Contains(out, "--state-dir") {
		t.Error(out)
	}
	if err := os.Remove(d.path("state")); err != nil {
		t.Fatal(err)
	}
	if out := d.spooled(exitOK, 0); !d.delivered("shop") || d.delivered("www") {
		t.Error(out)
	}
}

// What a door that was taken over leaves in the spool for good keeps no host from being
// delivered, and is told of.
func TestDeliverSpoolThatCannotBeEmptied(t *testing.T) {
	d := newSpool(t)
	if err := os.MkdirAll(d.path("spool", "a-folder", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	out := d.spooled(exitFailed, 1)
	if !d.delivered("shop") || d.delivered("www") || !strings.Contains(out, "delivered now") || !strings.Contains(out, "remove it by hand") {
		t.Error(out)
	}
	if out := d.spooled(exitFailed, 1); strings.Contains(out, "->") || !strings.Contains(out, "a-folder") {
		t.Errorf("without names: %s", out)
	}
}

// A run that ends leaves the mark of one that took names meanwhile.
func TestSpoolMark(t *testing.T) {
	path := t.TempDir() + "/state/spooled"
	one, two := &spoolMark{path: path}, &spoolMark{path: path}
	step := func(what string, err error, there bool) {
		t.Helper()
		if err != nil || one.there() != there {
			t.Fatalf("%s: %v, there: %t", what, err, one.there())
		}
	}
	step("at first", nil, false)
	step("one begins", one.set(), true)
	step("two begins", two.set(), true)
	step("one ends", one.remove(), true)
	step("two ends", two.remove(), false)
	step("two ends once more", two.remove(), false)
}

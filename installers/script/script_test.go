package script

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/internal/edgetest"
)

func material(t *testing.T, live string) *delivery.Material {
	t.Helper()
	m, err := delivery.NewMaterial("mail", edgetest.NewChain(t, time.Now().Add(time.Hour), "mail.test", "*.mail.test"), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m.Live = live
	return m
}

// program writes a script that notes how it was called.
func program(t *testing.T, more string) (path, note string) {
	t.Helper()
	dir := t.TempDir()
	path, note = filepath.Join(dir, "hook"), filepath.Join(dir, "note")
	text := "#!/bin/sh\nprintf '%s|' \"$RENEWED_LINEAGE\" \"$RENEWED_DOMAINS\" \"$@\" >> " + note + "\n" + more + "\n"
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path, note
}

func engine(t *testing.T) *delivery.Engine {
	return &delivery.Engine{Dir: t.TempDir(), Run: installers.Run, Now: time.Now}
}

func TestStyles(t *testing.T) {
	for style, want := range map[Style]string{
		Certbot: "/live/mail|mail.test *.mail.test|a b|$x|",
		ACMESh:  "||a b|$x|mail.test|/live/mail/privkey.pem|/live/mail/cert.pem|/live/mail/chain.pem|/live/mail/fullchain.pem|",
	} {
		path, note := program(t, "")
		target, err := New(Options{Command: []string{path, "a b", "$x"}, Style: style, Run: installers.Run})
		if err != nil {
			t.Fatal(err)
		}
		e, m := engine(t), material(t, "/live/mail")
		it := delivery.Item{Name: "mail", Target: target}
		if res := e.Look(t.Context(), it, m); res.State != delivery.Pending || len(res.Actions) != 1 || !strings.HasPrefix(res.Actions[0], "run ") {
			t.Errorf("%+v", res)
		}
		for range 2 { // the second time there is nothing to do
			if res := e.Apply(t.Context(), it, m); res.State != delivery.Unverified {
				t.Fatalf("%+v", res)
			}
		}
		got, err := os.ReadFile(note)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, want %q (%v)", style, got, want, err)
		}
		if res := e.Apply(t.Context(), it, material(t, "/live/mail")); !res.Changed || res.State != delivery.Unverified {
			t.Errorf("a renewal: %+v", res)
		}
	}
}

// A program that fails, hangs or is not there fails the delivery, and is run again.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct{ more, want string }{
		"fails": {"echo no room; exit 3", "no room"},
		"hangs": {"sleep 60", "took longer than"},
		"gone":  {"", "no such file"},
	} {
		path, note := program(t, c.more)
		if name == "gone" {
			path += ".gone"
		}
		o := Options{Command: []string{path}, Style: ACMESh, Run: installers.Run}
		if name == "hangs" {
			o.Timeout = 100 * time.Millisecond
		}
		target, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		e, m := engine(t), material(t, "/live/mail")
		it := delivery.Item{Name: "mail", Target: target}
		for n := 1; n <= 2; n++ {
			res := e.Apply(t.Context(), it, m)
			if res.State != delivery.Failed || res.Failures != n || !strings.Contains(res.Error, c.want) {
				t.Errorf("%s: %+v", name, res)
			}
		}
		if got, _ := os.ReadFile(note); name == "fails" && strings.Count(string(got), "fullchain.pem") != 2 {
			t.Errorf("run %q", got)
		}
	}
}

// What ended well but is not shown is said to be so, and tried again.
func TestNotShown(t *testing.T) {
	path, _ := program(t, "")
	target, err := New(Options{Command: []string{path}, Style: Certbot, Run: installers.Run})
	if err != nil {
		t.Fatal(err)
	}
	it := delivery.Item{Name: "mail", Target: target, Verify: []installers.Endpoint{{Addr: "127.0.0.1:1"}}, Within: 50 * time.Millisecond}
	e, m := engine(t), material(t, "/live/mail")
	if res := e.Apply(t.Context(), it, m); res.State != delivery.Failed || !strings.Contains(res.Error, "exec cannot be undone") {
		t.Errorf("%+v", res)
	}
	if res := e.Look(t.Context(), it, m); res.State != delivery.Failed || len(res.Actions) != 2 {
		t.Errorf("%+v", res)
	}
}

func TestBadOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"no program": {Style: Certbot}, "not known": {Command: []string{"x"}, Style: "lego"}, "give it another": {Command: []string{"/a=b"}, Style: Certbot},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	target, err := New(Options{Command: []string{"x"}, Style: Certbot})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Put(t.Context(), material(t, ""), nil); err == nil {
		t.Error("a certificate without a folder is handed over")
	}
}

// The name that a program is told is the one that was wanted, whatever comes first in
// the certificate.
func TestNameOfTheHost(t *testing.T) {
	b := edgetest.NewChain(t, time.Now().Add(time.Hour), "other.test", "site.test")
	m, err := delivery.NewMaterial("site.test", b, []string{"site.test"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m.Live = "/live"
	for style, want := range map[Style]string{
		ACMESh: "run hook site.test /live/privkey.pem /live/cert.pem /live/chain.pem /live/fullchain.pem", Certbot: "run env RENEWED_LINEAGE=/live RENEWED_DOMAINS=site.test hook",
	} {
		target, err := New(Options{Command: []string{"hook"}, Style: style})
		if err != nil {
			t.Fatal(err)
		}
		if got := target.Plan(t.Context(), m); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q", style, got)
		}
	}
}

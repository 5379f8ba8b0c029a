package haproxy

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/installers"
	"edge/installers/target"
)

// What is warned of, and for how long a certificate is another one than it seems.
func TestWarnings(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	s.write("certs/one.pem", pemOf(t, "old.example.test"))
	s.write("certs/one.pem.ocsp", "")
	s.daemon.Start(t)
	for name, want := range map[string][]string{"0": {"0.pem is the first file of its folder"}, "two": nil, "one": {"one.pem.ocsp with the certificate"}} {
		m := newMaterial(t, name, "a.example.test")
		h, err := New(must(options(s.values(), s.env(name))))
		if err != nil {
			t.Fatal(err)
		}
		p, err := h.Plan(t.Context(), m)
		if err != nil || len(p.Warnings) != len(want) {
			t.Errorf("%s: %v, %q", name, err, p.Warnings)
			continue
		}
		for i := range want {
			if !strings.Contains(p.Warnings[i], want[i]) {
				t.Errorf("%s: %q", name, p.Warnings[i])
			}
		}
	}
	// No key is written where others could read it, nor over what is no PEM file.
	h, err := New(must(options(s.values(), s.env("one"))))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.path("certs/one.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Plan(t.Context(), newMaterial(t, "one", "a.example.test")); err == nil || !strings.Contains(err.Error(), "others can read the key; chmod 0640") {
		t.Errorf("a file that others can read: %v", err)
	}
}

func must(o Options, err error) Options {
	if err != nil {
		panic(err)
	}
	return o
}

// Where a unit of systemd has HAProxy, it reloads it; where it only seems so, not.
func TestReloadUnit(t *testing.T) {
	var asked []string
	o := &Options{Run: func(_ context.Context, argv []string) (string, error) {
		asked = argv
		return "42\n", nil
	}}
	cgroup := "0::/system.slice/haproxy@blue.service\n"
	if got := strings.Join(o.reloadUnit(t.Context(), cgroup, 42), " "); got != "systemctl reload haproxy@blue.service" {
		t.Errorf("%q", got)
	}
	if got := o.reloadUnit(t.Context(), cgroup, 43); got != nil || asked[len(asked)-1] != "haproxy@blue.service" {
		t.Errorf("%q, asked %q", got, asked)
	}
	if got := o.reloadUnit(t.Context(), "0::/user.slice\n", 42); got != nil {
		t.Errorf("%q", got)
	}
	w := &world{o: &Options{Reload: []string{"true", "x"}, Run: o.Run, Config: []string{"/x"}}, conf: parse(nil, lookupIn(nil))}
	if err := w.reload(t.Context()); err != nil || strings.Join(asked, " ") != "true x" {
		t.Errorf("%v, %q", err, asked)
	}
	w.o.Reload = nil
	wants(t, w.reload(t.Context()), "does not know how to reload HAProxy")
}

func TestFound(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	k := Kind()
	says, err := k.Found(t.Context(), s.values(), s.env(""))
	if err != nil || !strings.Contains(says, "HAProxy does not run") {
		t.Errorf("%q, %v", says, err)
	}
	s.daemon.Start(t)
	says, err = k.Found(t.Context(), s.values(), s.env(""))
	if want := "configuration " + s.path("haproxy.cfg") + ", the stats socket " + s.path("admin.sock"); err != nil || !strings.HasPrefix(says, "HAProxy 2.") || !strings.HasSuffix(says, want) {
		t.Errorf("%q, %v", says, err)
	}
	if _, err := k.Found(t.Context(), s.values("config", "/nothing.cfg"), s.env("")); err == nil {
		t.Error("a configuration that is not there is found")
	}
}

// Where certificates can go, and where not.
func TestChoose(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("a/x.pem", pemOf(t, "x.test"))
	write("a/x.pem.key", "")
	write("a/.hidden", "")
	write("b/y.pem", pemOf(t, "a.test"))
	write("c/z.pem", pemOf(t, "a.test"))
	write("d/one.pem.rsa", "")
	write("list1", dir+"/a/x.pem\n")
	write("list2", "")
	write("live/full.pem", "no key")
	if err := os.Symlink(dir+"/live/full.pem", dir+"/e.pem"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line, more string // of bind; "key=value" settings
		want       string // path, or in the error
	}{
		{"crt DIR/a", "", "DIR/a/one.pem"},
		{"crt DIR/a/", "pem_name=two.pem", "DIR/a/two.pem"},
		{"crt DIR/a crt DIR/d", "", "several folders"},
		{"crt DIR/a crt DIR/d", "crt_dir=DIR/d", "DIR/d/one.pem"},
		{"crt DIR/a crt DIR/b", "", "DIR/b/y.pem"},
		{"crt DIR/b crt DIR/c", "", "several files that the certificate could go to: DIR/b/y.pem, DIR/c/z.pem"},
		{"crt DIR/b crt DIR/c", "crt_dir=DIR/c", "DIR/c/z.pem"},
		{"crt DIR/a/x.pem", "", "single files, for other names: DIR/a/x.pem"},
		{"crt DIR/a/x.pem", "pem_name=x.pem", "DIR/a/x.pem"},
		{"crt DIR/a/x.pem crt DIR/new.pem", "", "DIR/new.pem"},
		{"crt DIR/d/one.pem", "pem_name=one.pem.rsa", "DIR/d/one.pem.rsa"},
		{"crt-list DIR/list1", "", "DIR/a/one.pem"},
		{"crt-list DIR/list2", "", "DIR/one.pem"},
		{"crt-list DIR/list1 crt-list DIR/list2", "", "several crt-lists"},
		{"crt-list DIR/list1 crt-list DIR/list2", "crt_list=DIR/list2", "DIR/one.pem"},
		{"crt-list DIR/list1", "crt_list=DIR/other", "no bind line"},
		{"crt-list DIR/nothing", "", "no such file"},
		{"crt DIR/a", "crt_dir=DIR/b", "no bind line"},
		{"crt rel.pem", "", "relative paths (rel.pem)"},
		{"", "", "no bind line of /x has certificates"},
		{"crt DIR/a acme", "", "itself (acme)"},
		{"crt DIR/b acme", "", "gets the certificate DIR/b/y.pem itself"},
		{"crt @store/y.pem", "", "gets the certificate DIR/b/y.pem itself"},
	} {
		c.line = strings.ReplaceAll(c.line, "DIR", dir)
		o := &Options{Name: "one", Config: []string{"/x"}}
		switch key, value, _ := strings.Cut(strings.ReplaceAll(c.more, "DIR", dir), "="); key {
		case "crt_dir":
			o.CrtDir = value
		case "crt_list":
			o.CrtList = value
		case "pem_name":
			o.PEMName = value
		}
		text := "crt-store store\n crt-base " + dir + "/b\n load crt y.pem acme LE\nfrontend f\n bind :443 ssl " + c.line + "\n"
		w := &world{o: o, conf: parse([]string{text}, lookupIn(nil))}
		got := ""
		at, err := w.choose(newMaterial(t, "one", "a.test"))
		if err != nil {
			got = err.Error()
		} else {
			got = at.path
		}
		if want := strings.ReplaceAll(c.want, "DIR", dir); got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%s, %s: %s, want %s", c.line, c.more, got, want)
		}
	}
	h := &HAProxy{}
	wants(t, h.planPEM(new(installers.Plan), &place{path: dir + "/e.pem"}, nil), "a file of something else is not overwritten")
}

func TestBadOptions(t *testing.T) {
	k := Kind()
	for want, said := range map[string]map[string][]string{
		"pem_mode":            {"pem_mode": {"0644"}},
		"pem_owner":           {"pem_owner": {"nobody-of-this-name"}},
		"cannot be the name":  {"pem_name": {"../x"}},
		"something else than": {"pem_name": {"x.pem.key"}},
		"not where a file":    {"config": {"haproxy.cfg"}},
	} {
		v, problems := target.Parse(&k, said, nil, false, true)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		_, err := k.Target(t.Context(), v, &target.Env{Name: "one"})
		wants(t, err, want)
	}
	v, _ := target.Parse(&k, map[string][]string{"reload": {"sudo systemctl restart haproxy"}, "pem_mode": {"0640"}, "pem_owner": {"12"}, "pem_group": {"0"}}, nil, false, true)
	o, err := options(v, &target.Env{})
	if err != nil || len(o.Reload) != 4 || o.Mode != fs.FileMode(0o640) || o.Owner.UID != 12 || o.Owner.GID != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

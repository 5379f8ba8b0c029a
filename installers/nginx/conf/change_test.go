package conf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Edits to several files, one behind a symbolic link, and a new file: the new Set sees
// all of it, the disk nothing.
func TestWith(t *testing.T) {
	dir := realDir(t, t.TempDir())
	write(t, dir, map[string]string{
		"nginx.conf":        "events{}\nhttp {\n    include sites-enabled/*;\n    include snippets/*.conf;\n}\n",
		"sites-available/a": "server {\r\n\tlisten 127.0.0.1:1;\r\n\tserver_name a.test;\r\n\tinclude common;\r\n}",
		"common":            "root /x;\n", "snippets/README": "{",
	})
	if err := os.Mkdir(filepath.Join(dir, "sites-enabled"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../sites-available/a", filepath.Join(dir, "sites-enabled/a")); err != nil {
		t.Fatal(err)
	}
	s := mustLoad(t, filepath.Join(dir, "nginx.conf"))
	if len(s.Changes()) != 0 {
		t.Errorf("%v", s.Changes())
	}
	server := mustHTTP(t, s, Env{}).Servers[0]
	var e Edits
	e.InsertLast(server.Directive.Block, Line("include", dir+"/new/tls"))
	e.AddWord(server.Names[0].Directive, "b.test")
	e.InsertFirst(server.HTTP.Block, "include snippets/x.conf;")
	e.NewFile(dir+"/snippets/x.conf", "server { server_name x.test; }\n")
	if _, err := s.With(&e); err == nil || !strings.Contains(err.Error(), dir+"/new/tls") {
		t.Errorf("an include of what is not there: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "new"), 0o755); err != nil {
		t.Fatal(err)
	}
	e.NewFile(dir+"/new/tls", "ssl_protocols TLSv1.3;\n")
	next, err := s.With(&e)
	if err != nil {
		t.Fatal(err)
	}
	h := mustHTTP(t, next, Env{})
	if len(h.Servers) != 3 || h.Servers[1].Names[1].Text != "b.test" || h.Servers[0].Names[0].Text != "x.test" || len(h.Servers[1].Own("ssl_protocols")) != 1 || h.Servers[2].Names[0].Text != "x.test" {
		t.Fatalf("%d servers", len(h.Servers))
	}
	if s.Files[2] != next.Files[3] || s.Files[2].Path != dir+"/common" {
		t.Error("a file that did not change was parsed again")
	}
	// A second step starts from the first; edits of what has changed since are refused.
	var second, late Edits
	second.Replace(h.Servers[1].Own("ssl_protocols")[0], "ssl_protocols TLSv1.2 TLSv1.3;")
	second.RemoveWord(h.Servers[1].Names[1].Directive, 2)
	last, err := next.With(&second)
	if err != nil {
		t.Fatal(err)
	}
	late.Remove(server.Names[0].Directive)
	if _, err := last.With(&late); err == nil || !strings.Contains(err.Error(), "not of this configuration") {
		t.Errorf("an edit of an old tree: %v", err)
	}
	want := map[string]string{
		"nginx.conf":        "events{}\nhttp {\n    include snippets/x.conf;\n    include sites-enabled/*;\n    include snippets/*.conf;\n}\n",
		"sites-available/a": "server {\r\n\tlisten 127.0.0.1:1;\r\n\tserver_name a.test;\r\n\tinclude common;\r\n\tinclude " + dir + "/new/tls;\r\n}",
		"new/tls":           "ssl_protocols TLSv1.2 TLSv1.3;\n", "snippets/x.conf": "server { server_name x.test; }\n",
	}
	for _, c := range last.Changes() {
		name, _ := filepath.Rel(dir, c.Path)
		if c.New != want[name] || c.Created != (name == "new/tls" || name == "snippets/x.conf") {
			t.Errorf("%s: %q (%v)", name, c.New, c.Created)
		}
		if now, err := os.ReadFile(c.Path); c.Created != errors.Is(err, fs.ErrNotExist) || string(now) != c.Old {
			t.Errorf("%s: on disk is %q (%v)", name, now, err)
		}
		delete(want, name)
		if err := os.WriteFile(c.Path, []byte(c.New), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if len(want) != 0 {
		t.Errorf("unchanged: %v", want)
	}
	if s := sameAsDump(t, dir); len(s.Changes()) != 0 || len(s.Files) != len(last.Files) {
		t.Errorf("%d files, %v", len(s.Files), s.Changes())
	}
}

func TestBadNewFiles(t *testing.T) {
	dir := realDir(t, t.TempDir())
	write(t, dir, map[string]string{"nginx.conf": "", "common": ""})
	last := mustLoad(t, dir+"/nginx.conf")
	if _, err := last.With(&Edits{added: map[string]string{dir + "/common": ""}}); err == nil {
		t.Error("a new file took the place of another")
	}
	var relative, broken, nowhere Edits
	relative.NewFile("x.conf", "")
	broken.NewFile(dir+"/y.conf", "a")
	nowhere.NewFile(dir+"/none/y.conf", "")
	for _, e := range []*Edits{&relative, &broken, &nowhere} {
		if _, err := last.With(e); err == nil {
			t.Error("a bad new file was taken")
		}
	}
}

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		change Change
		want   string
	}{
		{Change{Path: "/f", Old: "a\n", New: "a\n"}, ""},
		{Change{Path: "/f", Old: "a\n", New: "b\n"}, "--- /f\n+++ /f\n@@ -1 +1 @@\n-a\n+b\n"},
		{Change{Path: "/f", New: "a\n", Created: true}, "--- /dev/null\n+++ /f\n@@ -0,0 +1 @@\n+a\n"},
	} {
		if got := c.change.Diff(); got != c.want {
			t.Errorf("%q to %q:\n%s\nwant\n%s", c.change.Old, c.change.New, got, c.want)
		}
	}
}

// What was read once is not read again: all steps start from the same bytes.
func TestWithReadsNothingAnew(t *testing.T) {
	dir := realDir(t, t.TempDir())
	write(t, dir, map[string]string{"nginx.conf": "include a;\n", "a": "user x;\n"})
	s := mustLoad(t, dir+"/nginx.conf")
	write(t, dir, map[string]string{"nginx.conf": "", "a": "user y;\n"})
	var e Edits
	e.InsertLast(s.Main.Root, "pid p;")
	next, err := s.With(&e)
	if err != nil {
		t.Fatal(err)
	}
	c := next.Changes()
	if next.Files[1].Src != "user x;\n" || len(c) != 1 || c[0].Old != "include a;\n" || c[0].New != "include a;\npid p;\n" {
		t.Errorf("%q %+v", next.Files[1].Src, c)
	}
}

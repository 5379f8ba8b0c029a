package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

var dumped = regexp.MustCompile(`(?m)^# configuration file (.*):\n`)

// dump returns the files that nginx -T prints, in its order, with their bytes.
func dump(t *testing.T, dir string) (names []string, src map[string]string) {
	t.Helper()
	out, ok := nginx(t, dir, "-T")
	if !ok {
		t.Fatalf("nginx -T: %s", out)
	}
	src = map[string]string{}
	marks := dumped.FindAllStringSubmatchIndex(out, -1)
	for i, m := range marks {
		end := len(out)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		name := out[m[2]:m[3]]
		names = append(names, name)
		src[name] = strings.TrimSuffix(out[m[1]:end], "\n")
	}
	return names, src
}

// sameAsDump compares a Set with nginx -T.
func sameAsDump(t *testing.T, dir string) *Set {
	t.Helper()
	s := mustLoad(t, filepath.Join(dir, "nginx.conf"))
	names, src := dump(t, dir)
	if !slices.Equal(s.Opened, names) {
		t.Errorf("opened\n%s\nnginx opens\n%s", strings.Join(s.Opened, "\n"), strings.Join(names, "\n"))
	}
	for _, f := range s.Files {
		if got := src[f.Path]; got != f.Src {
			t.Errorf("%s: %q, nginx reads %q", f.Path, f.Src, got)
		}
	}
	return s
}

// Includes are followed as nginx follows them, at every level and with every pattern.
func TestIncludesAsNginx(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"nginx.conf": "include top/*.conf;\nevents { include ev; }\nhttp {\n include mime.types;\n types { include more.types; }\n" +
			" map $host $m { include maps/*; default 1; }\n split_clients $host $v { 50% include; * b; }\n" +
			" geo $g { include g.geo; }\n \"include\" 'sites-enabled/*';\n include none/*.conf;\n include sites-enabled/../deep/one.conf;\n" +
			" include pat/[!a-m]*.conf; include pat/[[:digit:]]?.conf; include pat/\\*.conf; include pat/.*.conf; include */in-folder.conf; include ./pat//x*; include pat/a[b.conf;\n" +
			" server { listen 127.0.0.1:1; location / { include snip; if ($host = a) { include snip; } } }\n}\n",
		"top/a.conf": "worker_processes 1;\n", "top/b.txt": "broken {", "top/.hidden.conf": "broken {",
		"ev": "worker_connections 64;", "mime.types": "types { a/b c; include more2.types; }", "more.types": "d/e f;", "more2.types": "g/h i;",
		"maps/1": "one 1;", "maps/2": "two 2; include maps2;", "maps2": "three 3;", "g.geo": "127.0.0.1 x;",
		"sites-available/b":   "server { listen 127.0.0.1:2; include srv; }\r\n",
		"srv":                 "server_name a.test;\ninclude srv2;\n",
		"srv2":                "server_name b.test;",
		"deep/one.conf":       "include deep/two.conf;",
		"deep/two.conf":       "# nothing\n",
		"deep/in-folder.conf": "", "maps2.d/in-folder.conf": "", "maps2.d-b/in-folder.conf": "",
		"snip": "add_header X y;",
	}
	for _, name := range []string{"a.conf", "m1.conf", "n.conf", "z9.conf", "12.conf", "3.conf", "é.conf", "*.conf", ".dot.conf", "x", "xy", "Z.conf", "a[b.conf", "-.conf"} {
		files["pat/"+name] = "# " + name + "\n"
	}
	write(t, dir, files)
	if err := os.Mkdir(filepath.Join(dir, "sites-enabled"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"c", "B", "a"} {
		if err := os.Symlink("../sites-available/b", filepath.Join(dir, "sites-enabled", name)); err != nil {
			t.Fatal(err)
		}
		// The second and third server on the same socket are warnings for nginx alone.
	}
	s := sameAsDump(t, dir)
	if len(s.Opened) < 30 || len(s.Files) != len(s.Opened)-2 {
		t.Errorf("%d files under %d names", len(s.Files), len(s.Opened))
	}
	d := find(t, s.Main, "include")
	if in := s.Included(d); len(in) != 1 || in[0].Path != filepath.Join(dir, "top/a.conf") {
		t.Errorf("%v", in)
	}
	h := mustHTTP(t, s, Env{})
	if len(h.Servers) != 4 || len(h.Servers[0].Names) != 2 || h.Servers[0].Directive.File.Real != filepath.Join(realDir(t, dir), "sites-available/b") {
		t.Errorf("%d servers", len(h.Servers))
	}
	if d := h.Servers[0].Names[1].Directive; d.File.Path != filepath.Join(dir, "srv2") {
		t.Errorf("the name stands in %s", d.File.Path)
	}
}

func realDir(t *testing.T, dir string) string {
	t.Helper()
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return real
}

// The trees of the corpus are read as nginx reads them, once what this machine lacks
// (users, modules) is out of them.
func TestCorpusTreesAsNginx(t *testing.T) {
	for key, root := range roots(t) {
		if key == "unit/etc_nginx" {
			continue // nginx does not take it: blocks named "empty"
		}
		main := filepath.Join(root, "nginx.conf")
		b, err := os.ReadFile(main)
		if err != nil {
			t.Fatal(err)
		}
		write(t, root, map[string]string{"nginx.conf": regexp.MustCompile(`(?m)^(pid|user) .*;`).ReplaceAllString(string(b), "")})
		if out, ok := nginx(t, root, "-t"); !ok {
			t.Errorf("%s: %s", main, out)
		}
		sameAsDump(t, root)
	}
}

// What nginx refuses when it opens files is an error at the include.
func TestRefusedIncludes(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"missing":      {map[string]string{"nginx.conf": "events{}\nhttp { include gone.conf; }"}, "nginx.conf:2:8: include DIR/gone.conf: there is no such file"},
		"itself":       {map[string]string{"nginx.conf": "include a;", "a": "events{}\n\n include b;", "b": "include ./a;"}, "b:1:1: include DIR/./a: the file includes itself"},
		"broken":       {map[string]string{"nginx.conf": "include a*;", "a1": "events{}", "a2": "server {\n b \"x\"y;"}, "a2:2:7: unexpected 'y'"},
		"two names":    {map[string]string{"nginx.conf": "include a b;"}, "nginx.conf:1:1: include takes one name"},
		"block":        {map[string]string{"nginx.conf": "include a {}"}, "nginx.conf:1:1: include takes one name"},
		"zero byte":    {map[string]string{"nginx.conf": "include a\x00b;", "a": ""}, "nginx.conf:1:1: the name has a zero byte"},
		"mark":         {map[string]string{"nginx.conf": "include a;", "a": "\ufeffserver { }"}, "a:1:1: the file begins with a byte order mark"},
		"folder":       {map[string]string{"nginx.conf": "include s/*;", "s/d/x": ""}, "nginx.conf:1:1: include DIR/s/d: DIR/s/d is not a regular file"},
		"open block":   {map[string]string{"nginx.conf": "http { include a; }", "a": "server {"}, "a:1:9: unexpected end of file"},
		"closed block": {map[string]string{"nginx.conf": "http { include a; }", "a": "}"}, "a:1:1: unexpected '}'"},
	} {
		dir := t.TempDir()
		write(t, dir, c.files)
		_, err := Load(filepath.Join(dir, "nginx.conf"))
		want := dir + "/" + strings.ReplaceAll(c.want, "DIR", dir)
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if out, ok := nginx(t, dir, "-t"); ok {
			t.Errorf("%s: nginx takes it: %s", name, out)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "nginx.conf")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no nginx.conf: %v", err)
	}
}

// Files that never end, links to nowhere, includes without bounds.
func TestHostileIncludes(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for i := range 40 { // two to the power of forty, were they followed for ever
		files[fmt.Sprint("twice", i)] = fmt.Sprintf("include twice%d;\ninclude twice%d;", i+1, i+1)
	}
	files["twice40"] = ""
	for i := range maxDepth + 2 {
		files[fmt.Sprint("deep", i)] = fmt.Sprintf("include deep%d;", i+1)
	}
	write(t, dir, files)
	for include, want := range map[string]string{
		"fifo": "is not a regular file", "dang*": "there is no such file", "loop": "too many links", "/dev/zero": "is not a regular file",
		"twice0": "are not read", "deep0": "are not read",
	} {
		write(t, dir, map[string]string{"nginx.conf": "include " + include + ";"})
		if _, err := Load(filepath.Join(dir, "nginx.conf")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("include %s: %v, want %s", include, err, want)
		}
	}
}

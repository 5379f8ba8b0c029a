package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/proxy/policy"
)

func tree(t testing.TB) string {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "www")
	for name, content := range map[string]string{
		"index.html": "home", "a b.txt": "spaces", "sub/index.html": "sub", "sub/x.js": "js", "empty/.keep": "", ".htpasswd": "secret",
		".git/config": "secret", "sub/.env": "secret", ".well-known/security.txt": "contact", ".well-known/.env": "secret", ".well-known/.git/config": "secret", ".well-known.bak/x": "secret", "app.css": "plain", "app.css.br": "br", "app.css.gz": "gz",
		"old.js": "new", "old.js.gz": "stale",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(dir, "old.js.gz"), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(top, "outside"), []byte("secret"), 0o644)
	os.Symlink("../outside", filepath.Join(dir, "out"))
	os.Symlink("/etc", filepath.Join(dir, "etc"))
	os.Symlink("sub/x.js", filepath.Join(dir, "in.js"))
	os.Symlink("loop", filepath.Join(dir, "loop"))
	for _, name := range []string{"fifo", "empty/index.html"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	dir := tree(t)
	f, err := Open(policy.Files{Root: dir, Precompressed: []string{"zstd", "br", "gzip"}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for path, want := range map[string]string{
		"/": "home", "/index.html": "home", "/a%20b.txt": "spaces", "/sub/": "sub", "/sub": "-> /sub/", "/sub/x.js": "js", "/in.js": "js",
		"/.well-known/security.txt": "contact",
		"/nothing":                  "404", "/index.html/": "404", "/sub/x.js/y": "404", "/empty/": "404",
		"/.htpasswd": "404", "/.git/config": "404", "/sub/.env": "404", "/sub/%2eenv": "404",
		"/.well-known/.env": "404", "/.well-known/.git/config": "404", "/.well-known/%2eenv": "404", "/.well-known.bak/x": "404",
		"/out": "404", "/etc/passwd": "404", "/loop": "404", "/fifo": "404",
		"/..%2foutside": "404", "/sub%2f..%2f..%2foutside": "404", "/%2e%2e/outside": "404", "/%00": "404", "/a%5cb": "404", "/sub%2f%2e%2e": "404",
		"/" + strings.Repeat("a", 300): "404", "/%zz": "404",
	} {
		if got := find(f, path, ""); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for accept, want := range map[string]string{"": "plain", "gzip": "gz", "br, gzip": "br", "br;q=0, gzip": "gz", "zstd": "plain", "identity": "plain"} {
		file, err := f.Find("/app.css", []string{accept})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(file)
		file.Close()
		suffix := map[string]string{"plain": `-5"`, "gz": `-gzip"`, "br": `-br"`}[want]
		if string(b) != want || !file.Varies || file.ContentType() != "text/css; charset=utf-8" || !strings.HasSuffix(file.ETag(), suffix) {
			t.Errorf("%q: %q %+v %s", accept, b, file, file.ETag())
		}
	}
	if got := find(f, "/old.js", "gzip"); got != "new" {
		t.Errorf("a compressed form that is older than the file was taken: %s", got)
	}
}

func find(f *Folder, path, accept string) string {
	file, err := f.Find(path, []string{accept})
	var to *RedirectError
	switch {
	case errors.As(err, &to):
		return "-> " + to.To
	case errors.Is(err, fs.ErrNotExist):
		return "404"
	case err != nil:
		return err.Error()
	}
	defer file.Close()
	b, _ := io.ReadAll(file)
	return string(b)
}

func TestFallbackAndHidden(t *testing.T) {
	dir := tree(t)
	f, err := Open(policy.Files{Root: dir, Fallback: "/index.html", Hidden: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for path, want := range map[string]string{"/app/route": "home", "/sub/x.js": "js", "/.htpasswd": "secret", "/out": "home"} {
		if got := find(f, path, ""); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if _, err := Open(policy.Files{Root: dir + "/nothing"}); err == nil {
		t.Error("a folder that is not there was opened")
	}
}

// What is wrong with the machine is no file that is missing, also where there is a
// fallback and where an index is looked for.
func TestMachineErrors(t *testing.T) {
	for _, o := range []policy.Files{{}, {Fallback: "/index.html"}} {
		o.Root = tree(t)
		f, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		for _, path := range []string{"/index.html", "/", "/sub/"} {
			if _, err := f.Find(path, nil); !errors.Is(err, fs.ErrClosed) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%+v, %s: %v", o, path, err)
			}
		}
	}
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EIO, syscall.EACCES} {
		if err := notThere(&fs.PathError{Op: "openat", Path: "x", Err: e}); errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v", err)
		}
	}
	for _, e := range []error{syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG, errors.New("path escapes from parent")} {
		if err := notThere(&fs.PathError{Op: "openat", Path: "x", Err: e}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v", err)
		}
	}
}

func TestContentType(t *testing.T) {
	for name, want := range map[string]string{"a.HTML": "text/html; charset=utf-8", "a.b.js": "text/javascript; charset=utf-8", "a.woff2": "font/woff2", "a.svg": "image/svg+xml",
		"a": "application/octet-stream", "a.html.exe": "application/octet-stream", ".css": "text/css; charset=utf-8"} {
		if got := (&File{Name: name}).ContentType(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	f := &File{Name: "app.js"}
	if n := testing.AllocsPerRun(100, func() { f.ContentType() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzFind(f *testing.F) {
	dir := tree(f)
	folder, err := Open(policy.Files{Root: dir})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"/", "/sub/../..", "/%2e%2e%2f", "/etc/passwd", "//", "/sub//x.js"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if got := find(folder, path, "gzip"); strings.Contains(got, "secret") || strings.Contains(got, "root:") {
			t.Errorf("%q: %s", path, got)
		}
	})
}

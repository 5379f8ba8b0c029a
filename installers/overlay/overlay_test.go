package overlay

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// What is laid over is seen as if it were there; what was read stays as it was; the disk
// is not touched.
func TestFiles(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a", "one")
	if err := os.Symlink("a", dir+"/l"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	f := New(8)
	read := func(f *Files, name, want string) {
		t.Helper()
		real, src, err := f.Read(dir + "/" + name)
		if err != nil || src != want {
			t.Errorf("%s: %q at %s, want %q (%v)", name, src, real, want, err)
		}
	}
	read(f, "l", "one")
	write("a", "changed meanwhile")
	read(f, "a", "one")
	next := f.Copy()
	next.Over[dir+"/a"], next.Over[dir+"/new"], next.Links[dir+"/n"] = "two", "three", dir+"/new"
	read(next, "l", "two")
	read(next, "n", "three")
	read(f, "a", "one")
	if f.Exists(dir+"/new") || !next.Exists(dir+"/new") || !next.Exists(dir+"/n") || next.Exists(dir+"/other") {
		t.Error("what there is, and what not")
	}
	if got := next.List(dir); !slices.Equal(got, []string{"a", "fifo", "l", "n", "new"}) {
		t.Errorf("the folder has %q", got)
	}
	if got, err := next.Place(dir + "/../" + filepath.Base(dir) + "/x"); err != nil || got != dir+"/x" {
		t.Errorf("%s %v", got, err)
	}
	if _, _, err := f.Read(dir + "/fifo"); err == nil {
		t.Error("a FIFO was read")
	}
	if _, src, err := New(8).Read(dir + "/a"); err != nil || src != "changed m" {
		t.Errorf("more than the limit and one: %q %v", src, err)
	}
	if _, err := os.Stat(dir + "/new"); err == nil {
		t.Error("something was written")
	}
}

package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"edge/internal/durable"
)

// each runs do in a new folder that prepare has filled, once well, and then with a
// failure at each step; check says whether the change is seen, and never in part.
func each(t *testing.T, prepare func(dir string), do func(w durable.Writer, dir string) error, check func(t *testing.T, dir string) (changed bool)) {
	t.Helper()
	for n := 0; ; n++ {
		dir := t.TempDir()
		prepare(dir)
		hook, seen := at(n, func() error { return syscall.ENOSPC })
		err := do(durable.Writer{Before: hook}, dir)
		if *seen <= n {
			if err != nil || !check(t, dir) {
				t.Errorf("without a failure: %v, or nothing has changed", err)
			}
			return
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("step %d: error %v, want ENOSPC", n, err)
		}
		check(t, dir)
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.Contains(e.Name(), ".tmp-") {
				t.Errorf("step %d: left behind: %s", n, e.Name())
			}
		}
	}
}

func TestRelink(t *testing.T) {
	links := []string{"a", "b", "c"}
	prepare := func(dir string) {
		for _, name := range links[:2] { // the third is new
			if err := os.Symlink("old"+name, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	do := func(w durable.Writer, dir string) error {
		var pointers []durable.Pointer
		for _, name := range links {
			pointers = append(pointers, durable.Pointer{Path: filepath.Join(dir, name), Target: "new" + name})
		}
		return w.Relink(pointers)
	}
	each(t, prepare, do, func(t *testing.T, dir string) bool {
		fresh := 0
		for i, name := range links {
			got, err := os.Readlink(filepath.Join(dir, name))
			switch {
			case got == "new"+name && fresh == i: // in order
				fresh++
			case got == "old"+name && i < 2, i == 2 && errors.Is(err, fs.ErrNotExist):
			default:
				t.Errorf("%s -> %q, %v, behind %d new ones", name, got, err, fresh)
			}
		}
		return fresh == len(links)
	})
}

func TestCreateFile(t *testing.T) {
	do := func(w durable.Writer, dir string) error {
		return w.CreateFile(filepath.Join(dir, "f"), []byte(newContent), durable.Attr{Mode: 0o640, Owner: &durable.Owner{UID: -1, GID: -1}})
	}
	each(t, func(string) {}, do, func(t *testing.T, dir string) bool {
		got, err := os.ReadFile(filepath.Join(dir, "f"))
		if errors.Is(err, fs.ErrNotExist) {
			return false
		}
		if info, serr := os.Stat(filepath.Join(dir, "f")); err != nil || string(got) != newContent || serr != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%q, %v, %v", got, err, serr)
		}
		return true
	})
	// What is there stays.
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(oldContent), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (durable.Writer{}).CreateFile(path, []byte(newContent), durable.Attr{Mode: 0o600}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want one that it exists", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != oldContent {
		t.Errorf("%q, %v", got, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWriteFileAsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run the tests as root: files are given to groups")
	}
	path := filepath.Join(t.TempDir(), strings.Repeat("n", 255)) // as long as a name can be
	w := durable.Writer{Before: func(step durable.Step, _ string) error {
		if step == durable.Rename {
			return syscall.EIO
		}
		return nil
	}}
	attr := durable.Attr{Mode: 0o640, Owner: &durable.Owner{UID: -1, GID: 1}}
	if err := w.WriteFileAs(path, nil, attr); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	if err := (durable.Writer{}).WriteFileAs(path, nil, attr); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 || info.Sys().(*syscall.Stat_t).Gid != 1 || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestFolders(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	name := func(dir string) string { return filepath.Join(dir, "d") }
	each(t, func(string) {}, func(w durable.Writer, dir string) error { return w.Mkdir(name(dir), 0o755) }, func(t *testing.T, dir string) bool {
		info, err := os.Stat(name(dir))
		if err == nil && info.Mode().Perm() != 0o755 {
			t.Errorf("mode %v", info.Mode())
		}
		return err == nil
	})
	prepare := func(dir string) {
		if err := errors.Join(os.Mkdir(name(dir), 0o750), os.Chmod(name(dir), 0o750)); err != nil {
			t.Fatal(err)
		}
	}
	each(t, prepare, func(w durable.Writer, dir string) error { return w.Rmdir(name(dir)) }, func(t *testing.T, dir string) bool {
		_, err := os.Stat(name(dir))
		return errors.Is(err, fs.ErrNotExist)
	})
	dir := t.TempDir()
	prepare(dir)
	var w durable.Writer
	if err := w.Mkdir(name(dir), 0o755); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(name(dir)); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("a folder that was there: %v, %v", info.Mode(), err)
	}
	file := filepath.Join(name(dir), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, name(dir)} {
		if err := w.Rmdir(path); err == nil {
			t.Errorf("%s is gone", path)
		}
	}
	if err := w.Mkdir(file, 0o755); err == nil {
		t.Error("a file was taken for a folder")
	}
	if err := w.Rmdir(filepath.Join(dir, "nothing")); err != nil {
		t.Error(err)
	}
}

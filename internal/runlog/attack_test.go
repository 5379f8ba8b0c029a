package runlog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// In a folder where others can write, whatever they put in the way is not written
// to, and the run fails rather than to log where they can read.
func TestTrapsInAFolderOfOthers(t *testing.T) {
	traps := map[string]func(victim, path string) error{
		"symlink":   os.Symlink,
		"hard link": os.Link,
		"pipe":      func(_, path string) error { return unix.Mkfifo(path, 0o666) },
		"pipe with reader": func(_, path string) error {
			if err := unix.Mkfifo(path, 0o666); err != nil {
				return err
			}
			r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
			t.Cleanup(func() { r.Close() })
			return err
		},
		"dangling symlink": func(victim, path string) error { return os.Symlink(victim+"-new", path) },
		"file of another":  func(_, path string) error { return mine(path, 0o666, nobody) },
		"socket or device": func(_, path string) error { return os.Symlink("/dev/null", path) },
	}
	for name, set := range traps {
		for mode, owner := range map[os.FileMode]int{0o777 | os.ModeSticky: os.Geteuid(), 0o700: nobody, 0o770: os.Geteuid()} {
			dir, outside := t.TempDir(), t.TempDir()
			victim, path := filepath.Join(outside, "victim"), filepath.Join(dir, Name)
			if err := mine(victim, 0o600, os.Geteuid()); err != nil {
				t.Fatal(err)
			}
			if err := set(victim, path); err != nil {
				t.Fatal(name, err)
			}
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(dir, owner, -1); err != nil {
				t.Fatal(err)
			}
			l, err := Open(Options{Dir: dir, Temp: outside})
			if err == nil {
				t.Errorf("%s in a folder of %v, uid %d: opened", name, mode, owner)
			}
			l.Logger().Error("line")
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			// With older logs kept, the trap is moved out of the way like a log.
			l, err = Open(Options{Dir: dir, MaxBackups: 2})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			l.Logger().Error("line")
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if !strings.HasSuffix(read(t, path), ":ERROR:edge:line\n") {
				t.Errorf("%s: not logged", name)
			}
			if got := read(t, victim); got != "victim" {
				t.Errorf("%s: the victim has %q", name, got)
			}
			if _, err := os.Lstat(victim + "-new"); err == nil {
				t.Errorf("%s: made a file elsewhere", name)
			}
		}
	}
}

// mine makes a file of somebody's.
func mine(path string, mode os.FileMode, uid int) error {
	if err := os.WriteFile(path, []byte("victim"), mode); err != nil {
		return err
	}
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return os.Chown(path, uid, -1)
}

// A folder of one's own may have a link in it: that was somebody's choice.
func TestLinkInAFolderOfOurs(t *testing.T) {
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "real.log")
	if err := os.Symlink(elsewhere, filepath.Join(dir, Name)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	l.Logger().Error("line")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(read(t, elsewhere), "line") {
		t.Error("not followed")
	}
}

func TestFolderIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs")
	if err := mine(path, 0o600, os.Geteuid()); err != nil {
		t.Fatal(err)
	}
	const want = "[Errno 20] Not a directory: '"
	if err := MakeDir(path, 0o700, false); err == nil || !strings.Contains(err.Error(), want+path+"'") {
		t.Error(err)
	}
	l, err := Open(Options{Dir: path, Temp: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), want+path+"'") {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if got := read(t, path); got != "victim" {
		t.Errorf("the file has %q", got)
	}
}

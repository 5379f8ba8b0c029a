package durable_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"edge/internal/durable"
)

const oldContent, newContent = "the old content, of some length", "the new content, which is longer than the old one"

// at returns a hook that does act at the n-th step, counting from 0, and a
// pointer to the number of steps seen.
func at(n int, act func() error) (func(durable.Step, string) error, *int) {
	seen := new(int)
	return func(durable.Step, string) error {
		*seen++
		if *seen-1 == n {
			return act()
		}
		return nil
	}, seen
}

func steps(t *testing.T) int {
	hook, seen := at(-1, nil)
	if err := (durable.Writer{Before: hook}).WriteFile(filepath.Join(t.TempDir(), "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return *seen
}

func TestWriteFileFailsAtEachStep(t *testing.T) {
	for n := range steps(t) {
		for _, existed := range []bool{true, false} {
			t.Run(fmt.Sprintf("step %d existed %v", n, existed), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "f")
				if existed {
					if err := os.WriteFile(path, []byte(oldContent), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				hook, _ := at(n, func() error { return syscall.ENOSPC })
				err := durable.Writer{Before: hook}.WriteFile(path, []byte(newContent), 0o600)
				if !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("error %v, want ENOSPC", err)
				}
				last := n == steps(t)-1
				got, rerr := os.ReadFile(path)
				switch {
				case last && string(got) != newContent:
					t.Errorf("after the rename: %q", got)
				case !last && existed && string(got) != oldContent:
					t.Errorf("old content is gone: %q, %v", got, rerr)
				case !last && !existed && !errors.Is(rerr, os.ErrNotExist):
					t.Errorf("a file appeared: %q, %v", got, rerr)
				}
				// A failure that the process survives leaves no litter.
				left, err := os.ReadDir(filepath.Dir(path))
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range left {
					if e.Name() != "f" {
						t.Errorf("left behind: %s", e.Name())
					}
				}
			})
		}
	}
}

func TestWriteFileKilledAtEachStep(t *testing.T) {
	if os.Getenv("EDGE_DURABLE_CHILD") != "" {
		n, err := strconv.Atoi(os.Getenv("EDGE_DURABLE_STEP"))
		if err != nil {
			t.Fatal(err)
		}
		hook, _ := at(n, func() error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) })
		t.Fatal(durable.Writer{Before: hook}.WriteFile(os.Getenv("EDGE_DURABLE_CHILD"), []byte(newContent), 0o600))
	}
	for n := range steps(t) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(oldContent), 0o600); err != nil {
			t.Fatal(err)
		}
		child := exec.Command(os.Args[0], "-test.run=^TestWriteFileKilledAtEachStep$")
		child.Env = append(os.Environ(), "EDGE_DURABLE_CHILD="+path, "EDGE_DURABLE_STEP="+strconv.Itoa(n))
		out, err := child.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: the child was not killed: %v\n%s", n, err, out)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != oldContent && string(got) != newContent {
			t.Errorf("killed at step %d: %q, %v", n, got, err)
		}
	}
}

func TestWriteFileMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (durable.Writer{}).WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", fi.Mode(), err)
	}
}

// What Finish does is there when the file has its name; what it refuses is never seen.
func TestWriteFileFinish(t *testing.T) {
	path, then := filepath.Join(t.TempDir(), "f"), time.Unix(1000000000, 0)
	set := func(f *os.File) error { return os.Chtimes(f.Name(), then, then) }
	if err := (durable.Writer{}).WriteFileAs(path, []byte("x"), durable.Attr{Mode: 0o600, Finish: set}); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || !fi.ModTime().Equal(then) {
		t.Errorf("%v, %v", fi.ModTime(), err)
	}
	refuse := func(*os.File) error { return syscall.EPERM }
	err := durable.Writer{}.WriteFileAs(path, []byte("y"), durable.Attr{Mode: 0o600, Finish: refuse})
	got, rerr := os.ReadFile(path)
	if !errors.Is(err, syscall.EPERM) || rerr != nil || string(got) != "x" {
		t.Errorf("%v: %q, %v", err, got, rerr)
	}
}

func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := (durable.Writer{}).Remove(path); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (durable.Writer{}).Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

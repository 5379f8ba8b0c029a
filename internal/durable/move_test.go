package durable_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"edge/internal/durable"
)

func TestMoveFailsAtEachStep(t *testing.T) {
	for _, below := range []string{"new", "other/new"} {
		for n := range 4 {
			dir := t.TempDir()
			from, to := filepath.Join(dir, "old"), filepath.Join(dir, below)
			for _, d := range []string{from, filepath.Join(dir, "other")} {
				if err := os.MkdirAll(d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(from, "f"), []byte(oldContent), 0o600); err != nil {
				t.Fatal(err)
			}
			hook, steps := at(n, func() error { return syscall.EIO })
			err := durable.Writer{Before: hook}.Move(from, to)
			if failed := n < *steps; failed != errors.Is(err, syscall.EIO) || !failed && err != nil {
				t.Fatalf("step %d of %d: %v", n, *steps, err)
			}
			want := to
			if n == 0 {
				want = from
			}
			if b, err := os.ReadFile(filepath.Join(want, "f")); err != nil || string(b) != oldContent {
				t.Errorf("step %d: %q, %v", n, b, err)
			}
			if _, err := os.Stat(from); n > 0 && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("step %d: both are there (%v)", n, err)
			}
			if want := map[string]int{"new": 2, "other/new": 3}[below]; n == 3 && *steps != want {
				t.Errorf("%s: %d steps, want %d", below, *steps, want)
			}
		}
	}
	dir := t.TempDir()
	for _, d := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(dir, d, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := (durable.Writer{}).Move(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err == nil {
		t.Error("a folder with something in it was replaced")
	}
}

package durable_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"edge/internal/durable"
)

func TestTouch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	when := time.Date(2030, 1, 2, 3, 4, 5, 6789, time.UTC)
	full := errors.New("full")
	failing := durable.Writer{Before: func(s durable.Step, p string) error {
		if s != durable.Touch || p != path {
			t.Errorf("step %s of %s", s, p)
		}
		return full
	}}
	if err := failing.Touch(path, when); !errors.Is(err, full) {
		t.Errorf("it says %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.ModTime().Equal(when) {
		t.Errorf("a step that failed was made: %v, %v", info.ModTime(), err)
	}
	if err := (durable.Writer{}).Touch(path, when); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(when) {
		t.Errorf("the time is %v, %v", info.ModTime(), err)
	}
}

package main

import (
	"net"
	"path/filepath"
	"testing"
)

// A broken configuration does not keep anybody from looking at a running edge.
func TestSocketOfBrokenConfiguration(t *testing.T) {
	dir := t.TempDir()
	usual := filepath.Join(dir, "admin.sock")
	if _, err := socketOf(filepath.Join(dir, "nosuch.yaml"), "", usual); err == nil {
		t.Error("no error without configuration and socket")
	}
	l, err := net.Listen("unix", usual)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, err := socketOf(filepath.Join(dir, "nosuch.yaml"), "", usual); err != nil || got != usual {
		t.Errorf("got %q %v", got, err)
	}
	if got, err := socketOf("", "/x.sock", usual); err != nil || got != "/x.sock" {
		t.Errorf("got %q %v", got, err)
	}
}

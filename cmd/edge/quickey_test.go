package main

import (
	"os"
	"path/filepath"
	"testing"

	"edge/acmeglue"
)

func TestQUICKey(t *testing.T) {
	dir := t.TempDir()
	s, err := acmeglue.OpenFileStorage(dir)
	if err != nil {
		t.Fatal(err)
	}
	first, err := quicKey(t.Context(), s)
	if err != nil || first == [32]byte{} {
		t.Fatal(first, err)
	}
	if again, err := quicKey(t.Context(), s); again != first || err != nil {
		t.Errorf("another key at the second start: %v", err)
	}
	file := filepath.Join(dir, quicKeyFile)
	if i, err := os.Stat(file); err != nil || i.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v", i.Mode(), err)
	}
	if err := os.WriteFile(file, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if other, err := quicKey(t.Context(), s); other == first || err != nil {
		t.Errorf("a key that was cut short: %v", err)
	}
}

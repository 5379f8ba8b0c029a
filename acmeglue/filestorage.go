package acmeglue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"edge/internal/durable"

	"github.com/caddyserver/certmagic"
)

// FileStorage is certmagic's storage on a local disk, with two promises added:
// a write survives a power cut once it has returned, and tests can fail it at
// every step. Folders are 0700, files 0600. Safe for concurrent use, also by
// several processes.
type FileStorage struct {
	certmagic.FileStorage
	files durable.Writer
}

// OpenFileStorage opens the folder dir, which is created where it is missing.
func OpenFileStorage(dir string) (*FileStorage, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("storage folder %s: %w; create it for the user that edge runs as, or set storage.dir", dir, err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return nil, fmt.Errorf("storage folder %s is not writable: %w; it has to belong to the user that edge runs as (uid %d)", dir, err, os.Getuid())
	}
	if err := probe.Close(); err != nil {
		return nil, fmt.Errorf("storage folder %s: %w", dir, err)
	}
	if err := os.Remove(probe.Name()); err != nil {
		return nil, fmt.Errorf("storage folder %s: %w", dir, err)
	}
	return &FileStorage{FileStorage: certmagic.FileStorage{Path: dir}}, nil
}

// ReadFileStorage is the storage in dir for those who only read: nothing is made, and
// a folder that is not there is an empty one.
func ReadFileStorage(dir string) *FileStorage {
	return &FileStorage{FileStorage: certmagic.FileStorage{Path: dir}}
}

// Store implements certmagic.Storage.
func (s *FileStorage) Store(_ context.Context, key string, value []byte) error {
	path := s.Filename(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return s.files.WriteFile(path, value, 0o600)
}

// Through returns the same storage with another writer. Tests of whole runs number
// its steps together with those of others.
func (s *FileStorage) Through(w durable.Writer) *FileStorage {
	return &FileStorage{FileStorage: s.FileStorage, files: w}
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"edge/acmeglue"
)

// quicKeyFile is the key of proxy.Options.QUICKey in the storage.
const quicKeyFile = "quic/key"

// quicKey is the key by which clients of HTTP/3 notice that a process has gone: it has
// to be the same after a restart, and is made at the first start.
func quicKey(ctx context.Context, s acmeglue.Storage) (key [32]byte, err error) {
	b, err := s.Load(ctx, quicKeyFile)
	if err == nil && len(b) == len(key) {
		return [32]byte(b), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return key, fmt.Errorf("read the key for HTTP/3: %w", err)
	}
	rand.Read(key[:])
	if err := s.Store(ctx, quicKeyFile, key[:]); err != nil {
		return key, fmt.Errorf("keep the key for HTTP/3: %w", err)
	}
	return key, nil
}

package api

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
)

// pinned trusts a leaf with one of the fingerprints.
func pinned(list string) (func(tls.ConnectionState) error, error) {
	var pins [][sha256.Size]byte
	for one := range strings.SplitSeq(list, ",") {
		raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(one), ":", ""))
		if err != nil || len(raw) != sha256.Size {
			return nil, errors.New("a fingerprint is the SHA-256 of a certificate: 64 hexadecimal digits, with colons or without")
		}
		pins = append(pins, [sha256.Size]byte(raw))
	}
	return func(s tls.ConnectionState) error {
		if sum := sha256.Sum256(s.PeerCertificates[0].Raw); !slices.Contains(pins, sum) {
			return &finalError{fmt.Errorf("it shows a certificate with fingerprint %X, not the one that was given", sum)}
		}
		return nil
	}, nil
}

// maxRoots bounds a file of roots, in bytes.
const maxRoots = 1 << 20

// Roots reads a file of roots in PEM form; "" is nil, those of the system.
func Roots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxRoots))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", path)
	}
	return pool, nil
}

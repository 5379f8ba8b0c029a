package kept

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"edge"
	"edge/internal/durable"
)

// File is where the pair of one delivery is kept.
type File struct {
	Dir     string // of all of them: target.Env.State; empty: nothing is kept
	Kind    string // of the target: "heroku"
	Name    string // of the lineage
	Where   string // tells targets of a kind apart
	Durable durable.Writer
}

// Pair is a certificate and its key.
type Pair struct {
	Chain, Key []byte           // PEM, leaf first
	TLS        *tls.Certificate // the same, parsed
}

// maxFile bounds a file that is read, in bytes.
const maxFile = 1 << 20

// load returns what was kept last; nil where nothing was.
func (f *File) load() (*Pair, error) {
	if f.Dir == "" {
		return nil, nil
	}
	path := f.path()
	raw, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	p := &Pair{}
	if err == nil {
		p, err = parse(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("certificate that was delivered before, %s: %w; remove the file, it is written anew by the next delivery", path, err)
	}
	return p, nil
}

// save keeps a pair in place of the last one.
func (f *File) save(chain, key []byte) error {
	if f.Dir == "" {
		return nil
	}
	err := f.Durable.Mkdir(f.Dir, 0o700)
	if err == nil {
		err = f.Durable.WriteFile(f.path(), bytes.Join([][]byte{chain, key}, nil), 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the certificate that was delivered: %w", err)
	}
	return nil
}

func (f *File) path() string {
	sum := sha256.Sum256([]byte(f.Name + "\x00" + f.Kind + "\x00" + f.Where))
	return filepath.Join(f.Dir, edge.FileName(f.Name)+"."+f.Kind+"."+hex.EncodeToString(sum[:6])+".pem")
}

// read reads a file which is no link, FIFO or device, and which nobody else can write to.
func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("not a regular file (%s)", info.Mode())
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("others can read or write it (mode %#o)", info.Mode().Perm())
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(raw) > maxFile {
		err = fmt.Errorf("more than %d bytes", maxFile)
	}
	return raw, err
}

func parse(raw []byte) (*Pair, error) {
	p := &Pair{}
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			p.Chain = append(p.Chain, pem.EncodeToMemory(block)...)
		} else {
			p.Key = append(p.Key, pem.EncodeToMemory(block)...)
		}
	}
	pair, err := tls.X509KeyPair(p.Chain, p.Key)
	if err != nil {
		return nil, err
	}
	p.TLS = &pair
	return p, nil
}

package pemfile

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"edge/installers"
	"edge/installers/delivery"
	"edge/internal/durable"
)

// maxSize bounds a file, in bytes.
const maxSize = 1 << 20

// KeyFirst is a certificate in one PEM file: key, leaf, chain. It is looked at as the
// server would see it.
func KeyFirst(m *delivery.Material) ([]byte, error) {
	raw := slices.Concat(m.KeyPEM, m.FullChainPEM)
	leaf, err := Check(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("certificate of %s: %w", m.Name, err)
	case !leaf.Equal(m.Certs[0]):
		return nil, fmt.Errorf("certificate of %s: the leaf does not come first", m.Name)
	}
	return raw, nil
}

// Check returns the leaf of what is in a PEM file, or of several in a row: its key has to
// be there, and the leaf before other certificates.
func Check(raw []byte) (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair(raw, raw)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "tls: "))
	}
	return pair.Leaf, nil
}

// Read reads a file, wherever links lead to.
func Read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s: %w", path, errors.New("it is not a regular file")))
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err == nil && len(raw) > maxSize {
		err = fmt.Errorf("%s has more than %d bytes", path, maxSize)
	}
	return raw, err
}

// Leaf is that of a file, see Check.
func Leaf(path string) (*x509.Certificate, error) {
	raw, err := Read(path)
	if err != nil {
		return nil, err
	}
	leaf, err := Check(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return leaf, nil
}

// File is one to be planned.
type File struct {
	Path    string
	Content []byte
	Mode    fs.FileMode    // of a new file; one that is there may have no more
	Owner   *durable.Owner // of a new file
	Dir     fs.FileMode    // of its folder, where it is made
	Public  bool           // no key is in it
	Any     bool           // it is no PEM file: what is there under its name is taken for an older one
}

// Plan adds what has to be done so that the file is there: with its folder, where that is
// missing and the one above is not. A key that it had before is not kept.
func Plan(p *installers.Plan, f File) error {
	dir, err := Folder(p, filepath.Dir(f.Path), f.Dir, f.Owner)
	if err != nil {
		return err
	}
	c := installers.Change{Path: filepath.Join(dir, filepath.Base(f.Path)), Op: installers.Create, New: f.Content, Mode: f.Mode, Owner: f.Owner, Secret: !f.Public}
	info, err := os.Lstat(c.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.Changes = append(p.Changes, c)
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is in the way, and no regular file; move it away", c.Path)
	}
	if c.Old, err = Read(c.Path); err != nil {
		return err
	}
	if err := fits(c.Path, info.Mode(), f.Mode, c.Old, f.Any || f.Public); err != nil {
		return err
	}
	if c.Op = installers.Rewrite; !bytes.Equal(c.Old, c.New) {
		p.Changes = append(p.Changes, c)
		p.Forget = p.Forget || c.Secret
	}
	return nil
}

// Takes reports why a key may not be written over what is there under a path, which has no
// links.
func Takes(path string, old []byte) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	return fits(path, info.Mode(), 0o770, old, false)
}

// fits looks at a file that is going to have a key: nobody else can read it, and the old
// content, which is not kept, is of this kind, since a typing error may name any file. One
// that was emptied, or ends too early, is put right.
func fits(path string, mode, most fs.FileMode, old []byte, anything bool) error {
	switch {
	case mode.Perm()&^most != 0:
		return fmt.Errorf("%s has mode %#o, so that others can read the key; chmod %#o %[1]s", path, mode.Perm(), mode.Perm()&most)
	case !anything && len(old) > 0 && !bytes.Contains(old, []byte("-----BEGIN ")):
		return fmt.Errorf("%s is there, and is no PEM file; nothing is written over it: name another, or move it away", path)
	}
	return nil
}

// Folder adds a folder to a plan, where it is missing, and returns where it really is.
func Folder(p *installers.Plan, dir string, mode fs.FileMode, owner *durable.Owner) (string, error) {
	real, err := Real(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	above := filepath.Dir(dir)
	real, err = Real(above)
	if err != nil {
		at := slices.IndexFunc(p.Changes, func(c installers.Change) bool { return c.Op == installers.Mkdir && c.Path == above })
		if at < 0 {
			return "", err
		}
		real = above
	}
	real = filepath.Join(real, filepath.Base(dir))
	for _, c := range p.Changes {
		if c.Op == installers.Mkdir && c.Path == real {
			return real, nil
		}
	}
	p.Changes = append(p.Changes, installers.Change{Path: real, Op: installers.Mkdir, Mode: mode, Owner: owner})
	return real, nil
}

// Chains are the parts of a file with several certificates in a row, each with its key
// before it; all of it, where it is in another order.
func Chains(raw []byte) [][]byte {
	var list [][]byte
	rest := raw
	for {
		block, after := pem.Decode(rest)
		if block == nil {
			return list
		}
		isKey := strings.HasSuffix(block.Type, "PRIVATE KEY")
		if !isKey && len(list) == 0 {
			return [][]byte{raw}
		}
		if isKey {
			list = append(list, nil)
		}
		last := &list[len(list)-1]
		*last = append(*last, pem.EncodeToMemory(block)...)
		rest = after
	}
}

package lineage

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"edge/internal/configobj"
	"edge/internal/durable"
)

// authority signs what the tests need.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

var theCA = sync.OnceValue(func() *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test intermediate"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &authority{key, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
})

func ecKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func keyPEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// chainFor is leaf first.
func chainFor(t testing.TB, key crypto.Signer, names ...string) []byte {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0),
	}
	ca := theCA()
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), ca.pem...)
}

// pair is a chain with its key.
func pair(t testing.TB, names ...string) (chain, key []byte) {
	t.Helper()
	k := ecKey(t)
	return chainFor(t, k, names...), keyPEM(t, k)
}

func openTree(root string, before func(durable.Step, string) error) *Tree {
	return Open(Dirs{
		Config: filepath.Join(root, "config"), Work: filepath.Join(root, "work"), Logs: filepath.Join(root, "logs"),
	}, Options{Durable: durable.Writer{Before: before}})
}

// newTree is a tree with nothing in it.
func newTree(t testing.TB) *Tree {
	t.Helper()
	root := t.TempDir()
	return openTree(root, nil)
}

func create(t testing.TB, tree *Tree, name string) *Lineage {
	t.Helper()
	chain, key := pair(t, name)
	l, err := tree.Create(CreateOptions{Name: name, Chain: chain, Key: key, Params: sampleParams()})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func renew(t testing.TB, l *Lineage) int {
	t.Helper()
	chain, key := pair(t, l.Name())
	n, err := l.Renew(RenewOptions{Chain: chain, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func sampleParams() *Params {
	return &Params{Renewal: Section{
		{Key: "account", Value: configobj.String("a22f1d8c8fe2f22450bde90034c068a5")},
		{Key: "server", Value: configobj.String("https://127.0.0.1:24000/dir")},
		{Key: "authenticator", Value: configobj.String("standalone")},
		{Key: "key_type", Value: configobj.String("ecdsa")},
	}}
}

// load fails the test where the lineage is not whole.
func load(t testing.TB, tree *Tree, name string) *Lineage {
	t.Helper()
	l, err := tree.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	return l
}

func repair(t testing.TB, tree *Tree) []Repaired {
	t.Helper()
	done, err := tree.Repair(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// snapshot is a folder as text: modes, links, contents.
func snapshot(t testing.TB, root string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		fmt.Fprintf(&out, "%s %s", info.Mode(), name)
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, " -> %s", target)
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, "\n%s", data)
		}
		out.WriteString("\n")
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out.String()
}

// leftovers are what no change may leave behind.
func leftovers(t testing.TB, tree *Tree) (found []string) {
	t.Helper()
	err := filepath.WalkDir(tree.Dirs().Config, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		info, err := d.Info()
		if err != nil {
			return err
		}
		if strings.Contains(name, ".tmp-") || strings.HasSuffix(name, ".job") || strings.HasSuffix(name, ".owed") || strings.HasPrefix(name, "previous_") ||
			strings.HasSuffix(name, ".new") || strings.HasSuffix(name, ".conf") && info.Size() == 0 {
			found = append(found, path)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// shared is a file of the recorded output of certbot.
func shared(t testing.TB, path string) []byte {
	t.Helper()
	root := os.Getenv("EDGE_SHARED")
	if root == "" {
		root = "../../../shared"
	}
	data, err := os.ReadFile(filepath.Join(root, path))
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") == "" {
		t.Skipf("not run: there are no recorded files: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// failAfter is a disk that is full from the moment when a file of that name was made.
func failAfter(name string) func(durable.Step, string) error {
	full := false
	return func(step durable.Step, path string) error {
		if full {
			return syscall.ENOSPC
		}
		full = step == durable.SyncDir && filepath.Base(path) == name
		return nil
	}
}

func parseKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return key.(crypto.Signer), nil
}

package installers

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	maxPEM   = 1 << 20 // bytes
	maxChain = 20      // certificates
)

// precheck looks at a certificate before anything is changed: servers accept much that
// no client does, or fail at the first handshake.
func precheck(c Certificate, names []string, now time.Time) (leaf *x509.Certificate, err error) {
	chain, err := c.load()
	if err != nil {
		return nil, err
	}
	leaf = chain[0]
	if err := checkChain(chain, c.chainPath()); err != nil {
		return nil, err
	}
	switch {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("the certificate %s expired on %s: renew it first", c.chainPath(), leaf.NotAfter.UTC().Format(time.DateTime))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("the certificate %s is not valid before %s: look at the clock of this machine", c.chainPath(), leaf.NotBefore.UTC().Format(time.DateTime))
	}
	for _, name := range names {
		if !covers(leaf, name) {
			return nil, fmt.Errorf("the certificate %s is for %s, not for %s: get one with that name", c.chainPath(), strings.Join(sans(leaf), ", "), name)
		}
	}
	return leaf, checkKey(c.Key, leaf)
}

func (c Certificate) chainPath() string {
	if c.FullChain != "" {
		return c.FullChain
	}
	return c.Cert
}

// load reads the chain, leaf first, as the server is going to.
func (c Certificate) load() ([]*x509.Certificate, error) {
	if c.chainPath() == "" {
		return nil, errors.New("no file with a certificate is given")
	}
	chain, err := readChain(c.chainPath())
	if err != nil {
		return nil, err
	}
	if c.FullChain == "" && c.Chain != "" {
		rest, err := readChain(c.Chain)
		return append(chain, rest...), err
	}
	if c.FullChain != "" && c.Cert != "" {
		alone, err := readChain(c.Cert)
		if err != nil {
			return nil, err
		}
		if !alone[0].Equal(chain[0]) {
			return nil, fmt.Errorf("%s and %s have different certificates: the lineage is broken or being renewed", c.Cert, c.FullChain)
		}
	}
	return chain, nil
}

func readChain(path string) ([]*x509.Certificate, error) {
	raw, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read the certificate %s: %w", path, err)
		}
		if out = append(out, cert); len(out) > maxChain {
			return nil, fmt.Errorf("%s has more than %d certificates", path, maxChain)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no certificate (PEM) in %s", path)
	}
	return out, nil
}

// readPEM follows symbolic links, as lineages have them.
func readPEM(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	raw, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(raw) > maxPEM {
		err = fmt.Errorf("%s has more than %d bytes", path, maxPEM)
	}
	return raw, err
}

// checkChain wants each certificate signed by the next one. A server takes any order;
// clients need not.
func checkChain(chain []*x509.Certificate, path string) error {
	for i, cert := range chain[1:] {
		below := chain[i]
		if !bytes.Equal(below.RawIssuer, cert.RawSubject) {
			return fmt.Errorf("%s: certificate %d (%s) did not issue the one before it (%s, issued by %s): put the leaf first, then its issuers in order",
				path, i+2, cert.Subject, below.Subject, below.Issuer)
		}
		if err := cert.CheckSignature(below.SignatureAlgorithm, below.RawTBSCertificate, below.Signature); err != nil {
			return fmt.Errorf("%s: certificate %d did not sign the one before it, though it has the issuer's name: %w", path, i+2, err)
		}
	}
	return nil
}

func covers(leaf *x509.Certificate, name string) bool {
	if strings.HasPrefix(name, "*.") {
		return slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) })
	}
	return leaf.VerifyHostname(name) == nil
}

func sans(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{"no name"}
	}
	return names
}

// checkKey wants the key of the leaf, which strangers cannot read.
func checkKey(path string, leaf *x509.Certificate) error {
	if path == "" {
		return errors.New("no file with the private key is given")
	}
	raw, err := readPEM(path)
	if err != nil {
		return err
	}
	// X509KeyPair compares the keys, and says which kind is wrong.
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
	pair, err := tls.X509KeyPair(own, raw)
	if err != nil {
		return fmt.Errorf("the key %s does not go with the certificate: %w", path, err)
	}
	if _, ok := pair.PrivateKey.(crypto.Signer); !ok {
		return fmt.Errorf("the key %s cannot sign", path)
	}
	return checkReaders(path)
}

// checkReaders refuses a key that every user of the machine can read. Whoever is in its
// group may.
func checkReaders(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(real)
	if err != nil {
		return err
	}
	if info.Mode()&0o004 == 0 {
		return nil
	}
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return nil // others do not get there
		}
		if dir == filepath.Dir(dir) {
			return fmt.Errorf("the key %s can be read by everyone: chmod o= %s, and get a new certificate with a new key if others use this machine", path, real)
		}
	}
}

// leafDigest is what endpoints are compared by.
func leafDigest(cert *x509.Certificate) [32]byte { return sha256.Sum256(cert.Raw) }

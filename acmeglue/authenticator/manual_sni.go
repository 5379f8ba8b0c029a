package authenticator

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"edge"
	"edge/acmeglue"
)

// sniFiles writes the certificate of TLS-SNI-01 to token.crt and its key to
// token.pem in the work folder, and notes both for removal.
func (m *Manual) sniFiles(a edge.Answer, run *manualRun) (cert, key string, err error) {
	if !isToken(a.Token) {
		return "", "", fmt.Errorf("the token %q cannot be a file's name", a.Token)
	}
	maker := acmeglue.NewRegistry()
	if err := maker.Put(a); err != nil {
		return "", "", err
	}
	pair, ok := maker.TLSSNI01(edge.SNI01Name(a.KeyAuth))
	if !ok {
		return "", "", errors.New("no certificate was made for TLS-SNI-01")
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(m.o.WorkDir, a.Token+".crt"), filepath.Join(m.o.WorkDir, a.Token+".pem")
	run.files = []string{cert, key}
	// What a run that was killed left behind is in the way.
	if err := removeFiles(run.files); err != nil {
		return "", "", err
	}
	if err := writeNew(cert, &pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, 0o644); err != nil {
		return "", "", err
	}
	return cert, key, writeNew(key, &pem.Block{Type: "PRIVATE KEY", Bytes: der}, 0o400)
}

func writeNew(name string, block *pem.Block, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	err = pem.Encode(f, block)
	if err == nil {
		err = f.Chmod(mode)
	}
	return errors.Join(err, f.Close())
}

func removeFiles(names []string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, gone(os.Remove(name)))
	}
	return errors.Join(errs...)
}

package pemfile

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"strings"
	"time"
)

// GivesWay reports whether a certificate that a server shows to clients that name no host
// gives way to another leaf: it is missing, over, self-signed, or for no other names. The
// file may have no key.
func GivesWay(path string, leaf *x509.Certificate, now time.Time) (bool, error) {
	raw, err := Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	present := first(raw)
	if present == nil || now.After(present.NotAfter) || bytes.Equal(present.RawIssuer, present.RawSubject) {
		return true, nil // nobody can use it, or nobody was meant to
	}
	for _, n := range present.DNSNames {
		if leaf.VerifyHostname(strings.Replace(n, "*.", "any.", 1)) != nil {
			return false, nil
		}
	}
	return len(present.DNSNames) > 0, nil
}

// first is the first certificate of a file, nil where there is none.
func first(raw []byte) *x509.Certificate {
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil
			}
			return c
		}
	}
	return nil
}

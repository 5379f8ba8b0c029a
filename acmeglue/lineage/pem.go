package lineage

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
)

// split makes the four files of a version of a chain, leaf first, and a key. Like
// certbot it writes certificates anew, so that fullchain is cert and chain byte for
// byte, and nothing is between them that a CA has put there.
func split(chain, key []byte) (files [4][]byte, err error) {
	var certs [][]byte
	for rest := chain; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			certs = append(certs, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		}
	}
	if len(certs) < 2 {
		return files, errors.New("failed to parse fullchain into cert and chain: less than 2 certificates in chain")
	}
	files[Cert] = certs[0]
	files[Chain] = bytes.Join(certs[1:], nil)
	files[FullChain] = bytes.Join(certs, nil)
	files[PrivKey] = key
	if _, err := tls.X509KeyPair(files[FullChain], key); err != nil {
		return files, fmt.Errorf("certificate and key: %w", err)
	}
	return files, nil
}

// whole reports whether four files belong together.
func whole(files [4][]byte) error {
	if !bytes.Equal(files[FullChain], append(bytes.Clone(files[Cert]), files[Chain]...)) {
		return errors.New("fullchain does not match cert + chain")
	}
	if _, err := tls.X509KeyPair(files[Cert], files[PrivKey]); err != nil {
		return fmt.Errorf("certificate and key: %w", err)
	}
	return nil
}

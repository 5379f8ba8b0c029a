package steward

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"edge/acmeglue"
	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// revoke has a certificate revoked, and offers to delete its lineage.
func (s *Steward) revoke(ctx context.Context, o *certbotcli.Options) error {
	if err := s.revocable(o); err != nil {
		return err
	}
	chain, err := readBounded(o.CertPath)
	if err != nil {
		return err
	}
	leaf, err := firstCertificate(chain)
	if err != nil {
		return fmt.Errorf("%s: %w", o.CertPath, err)
	}
	issuer, key, err := s.revoker(ctx, o, leaf)
	if err != nil {
		return err
	}
	if err := issuer.Revoke(ctx, chain, key, o.Reason); err != nil {
		if p, ok := acmeglue.ProblemOf(err); ok {
			return &unableError{fmt.Sprintf("%s :: %s", p.Type, p.Detail), err}
		}
		return err
	}
	if err := s.deleteRevoked(ctx, o); err != nil {
		return err
	}
	s.notify("Congratulations! You have successfully revoked the certificate that was located at %s.", o.CertPath)
	return nil
}

// revocable completes --cert-name and --cert-path, of which there is one.
func (s *Steward) revocable(o *certbotcli.Options) error {
	exactly := text("Error! Exactly one of --cert-path or --cert-name must be specified!")
	switch {
	case o.CertPath == "" && o.CertName != "":
		l, err := s.o.Tree.Load(o.CertName)
		var none *lineage.NotFoundError
		if errors.As(err, &none) {
			return text(fmt.Sprintf("No certificate found with name %s (expected %s).", o.CertName, none.ConfPath))
		}
		if err != nil {
			return err
		}
		o.CertPath = l.Path(lineage.Cert)
		params, err := l.Params()
		if err != nil {
			return err
		}
		if server := params.Server(); server != "" && !o.IsSet("server") {
			o.Server = server
		}
		if o.Account == "" {
			o.Account = s.knownAccount(o, params.Renewal.String("account"))
		}
	case o.CertPath == "" || o.CertName != "":
		return exactly
	}
	return nil
}

// knownAccount is the account of a lineage, if it is still there; "" leaves the
// choice to others.
func (s *Steward) knownAccount(o *certbotcli.Options, id string) string {
	if id == "" {
		return ""
	}
	at := o.Clone()
	at.Account = id
	if _, _, err := s.accountsAt(context.Background(), at); err != nil {
		return ""
	}
	return id
}

// revoker is who asks the CA: the account, or whoever has the certificate's key.
func (s *Steward) revoker(ctx context.Context, o *certbotcli.Options, leaf *x509.Certificate) (*acmeglue.Issuer, crypto.Signer, error) {
	if o.KeyPath == "" {
		i, err := s.issuer(ctx, o)
		return i, nil, err
	}
	raw, err := readBounded(o.KeyPath)
	if err != nil {
		return nil, nil, err
	}
	key, err := parseKey(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", o.KeyPath, err)
	}
	if !matches(leaf, key.Public()) {
		return nil, nil, text(fmt.Sprintf("verifying the certificate located at %s matches the private key located at %s has failed. "+
			"Give the key that belongs to the certificate, or leave --key-path out to revoke it with the account.", o.CertPath, o.KeyPath))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.issuerFor(o)
	return i, key, err
}

// deleteRevoked deletes the lineage of a revoked certificate if that is wanted.
func (s *Steward) deleteRevoked(ctx context.Context, o *certbotcli.Options) error {
	wanted := o.DeleteAfterRevoke == certbotcli.Yes
	if o.DeleteAfterRevoke == certbotcli.Unset {
		var err error
		if wanted, err = display.ConfirmDeleteRevoked(ctx, s.o.Display); err != nil {
			return err
		}
	}
	if !wanted {
		return nil
	}
	name := o.CertName
	if name == "" {
		var err error
		if name, err = s.lineageOf(ctx, o.CertPath); err != nil {
			return err
		}
	}
	l, err := s.o.Tree.Load(name)
	if err != nil {
		return err
	}
	shared, err := s.shareArchive(ctx, l)
	if err != nil {
		return err
	}
	if shared {
		s.o.Log.Warn(fmt.Sprintf("Not deleting revoked certificates due to overlapping archive dirs. More than one certificate is using %s", l.ArchiveDir()))
		return nil
	}
	return s.removeOne(name)
}

// shareArchive reports whether another lineage keeps its versions in the same folder.
func (s *Steward) shareArchive(ctx context.Context, of *lineage.Lineage) (bool, error) {
	all, err := s.o.Tree.List(ctx)
	if err != nil {
		return false, err
	}
	for _, e := range all {
		if e.Lineage != nil && e.Name != of.Name() && e.Lineage.ArchiveDir() == of.ArchiveDir() {
			return true, nil
		}
	}
	return false, nil
}

// lineageOf finds the lineage that a path of a certificate belongs to, which may
// be a link under live or a version in the archive.
func (s *Steward) lineageOf(ctx context.Context, path string) (string, error) {
	all, err := s.o.Tree.List(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range all {
		if e.Lineage != nil && ofLineage(e.Lineage, path) {
			found = append(found, e.Name)
		}
	}
	switch len(found) {
	case 0:
		return "", text(fmt.Sprintf("No match found for cert-path %s!", path))
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("the lineages %s all have %s: name the one to delete with --cert-name", strings.Join(found, " and "), path)
}

func ofLineage(l *lineage.Lineage, path string) bool {
	if path == l.Path(lineage.FullChain) || path == l.Path(lineage.Cert) {
		return true
	}
	base := filepath.Base(path)
	return filepath.Dir(path) == l.ArchiveDir() && filepath.Ext(base) == ".pem" &&
		(strings.HasPrefix(base, "cert") || strings.HasPrefix(base, "fullchain"))
}

// longestPEM bounds the files that people name, in bytes.
const longestPEM = 1 << 20

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > longestPEM {
		return nil, fmt.Errorf("%s is not a file of at most %d bytes", path, longestPEM)
	}
	return os.ReadFile(path)
}

func firstCertificate(raw []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			return nil, errors.New("no certificate in PEM form")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}

package steward

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge/acmeglue"
	"edge/internal/certbotcli"
)

// byCSR obtains a certificate for a request that somebody else made, and saves it
// where the flags say. There is no key here, so there is no lineage.
func (s *Steward) byCSR(ctx context.Context, o *certbotcli.Options) error {
	j := &job{o: o, to: s.o.Display, names: slices.Concat(o.CSR.Domains, o.CSR.IPs)}
	j.announce()
	issuer, err := s.issuer(ctx, o)
	if err != nil {
		return err
	}
	order := acmeglue.Order{CSR: o.CSR.DER, Profile: o.RequiredProf, PreferredProfile: o.PreferredProf, PreferredChain: o.PreferredChain, DeactivateValid: o.DryRun}
	if order.Identifiers, err = identifiers(j.names); err != nil {
		return err
	}
	if order.Authenticator, err = s.authenticator(ctx, o, j.names); err != nil {
		return err
	}
	if order.Challenges, err = types(o, order.Authenticator); err != nil {
		return err
	}
	if err := s.preflight(ctx, o, order); err != nil {
		return err
	}
	issued, err := issuer.Issue(ctx, order)
	if err != nil {
		return s.explain(j, err)
	}
	if o.DryRun {
		s.notify("The dry run was successful.")
		return nil
	}
	leaf, rest := acmeglue.SplitChain(issued.Chain)
	paths := make([]string, 3)
	for n, f := range []struct {
		path    string
		content []byte
	}{{o.CertPath, leaf}, {o.ChainPath, rest}, {o.FullchainPath, slices.Concat(leaf, rest)}} {
		if paths[n], err = saveNew(f.path, f.content); err != nil {
			return err
		}
	}
	s.notify("\nSuccessfully received certificate.\nCertificate is saved at:            %s\nIntermediate CA chain is saved at:  %s\n"+
		"Full certificate chain is saved at: %s\nThis certificate expires on %s.", paths[0], paths[1], paths[2], issued.Leaf.NotAfter.UTC().Format("2006-01-02"))
	s.nextSteps(o, true)
	s.donation(o)
	return nil
}

// saveNew writes a file that is not there: PATH, or in its folder 0000_NAME,
// 0001_NAME and so on, as certbot's unique_file names them.
func saveNew(path string, content []byte) (string, error) {
	dir, name := filepath.Split(path)
	if err := os.MkdirAll(filepath.Clean(dir), 0o755); err != nil {
		return "", err
	}
	for n := range 10000 {
		at := filepath.Join(dir, fmt.Sprintf("%04d_%s", n, name))
		f, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if os.IsExist(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = f.Write(content)
		if err == nil {
			err = f.Sync()
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			_ = os.Remove(at) // half a certificate is of no use
			return "", err
		}
		return at, nil
	}
	return "", &fs.PathError{Op: "save", Path: strings.TrimSuffix(path, "/"), Err: fs.ErrExist}
}

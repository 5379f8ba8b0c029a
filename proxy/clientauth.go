package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"edge"
	"edge/proxy/policy"
)

// clientAuthConfig is the configuration of handshakes for a host that asks its
// clients for certificates. It has no session tickets: whoever comes shows the
// certificate each time, and a session of another site opens nothing here
// (CVE-2025-23419).
func clientAuthConfig(a *ClientAuth, min uint16) *tls.Config {
	cfg := &tls.Config{
		MinVersion:             min,
		NextProtos:             []string{"h2", "http/1.1"},
		GetCertificate:         siteCertificate,
		SessionTicketsDisabled: true,
		ClientCAs:              a.Roots,
	}
	switch a.Mode {
	case "request":
		cfg.ClientAuth = tls.RequestClientCert
	case "verify_if_given":
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	default:
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		for _, chain := range cs.VerifiedChains {
			if err := revoked(chain, a.CRLs); err != nil {
				return err
			}
		}
		return nil
	}
	return cfg
}

// errRevoked ends handshakes with a certificate that its CA took back.
var errRevoked = errors.New("the client's certificate was revoked")

// revoked looks every certificate of a chain, but the root, up in the lists of
// its issuer. A list that the issuer did not sign says nothing, so that it must
// not be there: the handshake fails.
func revoked(chain []*x509.Certificate, lists []*x509.RevocationList) error {
	for i := 0; i+1 < len(chain); i++ {
		for _, l := range lists {
			if !bytes.Equal(l.RawIssuer, chain[i].RawIssuer) {
				continue
			}
			if err := l.CheckSignatureFrom(chain[i+1]); err != nil {
				return fmt.Errorf("revocation list of %s: %w", l.Issuer, err)
			}
			for j := range l.RevokedCertificateEntries {
				if l.RevokedCertificateEntries[j].SerialNumber.Cmp(chain[i].SerialNumber) == 0 {
					return fmt.Errorf("%w: serial %x of %s", errRevoked, chain[i].SerialNumber, chain[i].Issuer)
				}
			}
		}
	}
	return nil
}

// clientAuth returns the configuration for a gated server name; nil where the
// host asks for no certificate.
func (st *state) clientAuth(name string) *tls.Config {
	if len(st.auth) == 0 {
		return nil
	}
	for _, key := range [...]string{name, edge.Parent(name), "*"} {
		if cfg, ok := st.auth[key]; ok {
			return cfg
		}
	}
	return nil
}

// clientAuthConfigs makes the configurations of all hosts that ask for certificates.
func (s *Server) clientAuthConfigs(st *state) map[string]*tls.Config {
	if len(st.set.ClientAuth) == 0 {
		return nil
	}
	all := make(map[string]*tls.Config, len(st.set.ClientAuth))
	stale := map[*x509.RevocationList]bool{}
	for host, a := range st.set.ClientAuth {
		all[host] = clientAuthConfig(a, st.minVersion(host))
		for _, l := range a.CRLs {
			if !l.NextUpdate.IsZero() && l.NextUpdate.Before(s.opts.Now()) && !stale[l] {
				stale[l] = true
				s.log.Warn("a revocation list is out of date: what it does not list may have been revoked since; fetch a new one and reload",
					"issuer", l.Issuer.String(), "next_update", l.NextUpdate.Format(time.RFC3339))
			}
		}
	}
	return all
}

// identity is what a handshake says of the client; nil: it showed no certificate.
func identity(cs *tls.ConnectionState) *policy.ClientCert {
	if len(cs.PeerCertificates) == 0 {
		return nil
	}
	leaf := cs.PeerCertificates[0]
	sum := sha256.Sum256(leaf.Raw)
	c := &policy.ClientCert{
		Verified: len(cs.VerifiedChains) > 0,
		Subject:  leaf.Subject.String(), Issuer: leaf.Issuer.String(),
		Serial: fmt.Sprintf("%x", leaf.SerialNumber), Fingerprint: hex.EncodeToString(sum[:]),
	}
	c.Names = append(append(c.Names, leaf.DNSNames...), leaf.EmailAddresses...)
	for _, u := range leaf.URIs {
		c.Names = append(c.Names, u.String())
	}
	return c
}

package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"edge"
	"edge/proxy/policy"
)

// clientAuthConfig is the configuration of handshakes for a host that asks its
// clients for certificates. It has no session tickets: whoever comes shows the
// certificate each time, and a session of another site opens nothing here
// (CVE-2025-23419). look sees each list at each handshake.
func clientAuthConfig(a *ClientAuth, min uint16, look func(*x509.RevocationList)) *tls.Config {
	cfg := &tls.Config{
		MinVersion:             min,
		NextProtos:             []string{"h2", "http/1.1"},
		GetCertificate:         siteCertificate,
		SessionTicketsDisabled: true,
		ClientCAs:              a.Roots,
	}
	if a.Roots == nil {
		cfg.ClientCAs = x509.NewCertPool() // nil would be the CAs of the Web
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
		for _, l := range a.CRLs {
			look(l)
		}
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
// its issuer. Where there are lists under the issuer's name, and it signed none of
// them, nobody knows: the handshake fails. Another CA of the same name, as after a
// change of keys, may have signed some.
func revoked(chain []*x509.Certificate, lists []*x509.RevocationList) error {
	for i := 0; i+1 < len(chain); i++ {
		var foreign error
		signed := false
		for _, l := range lists {
			if !bytes.Equal(l.RawIssuer, chain[i].RawIssuer) {
				continue
			}
			if err := l.CheckSignatureFrom(chain[i+1]); err != nil {
				foreign = fmt.Errorf("revocation list of %s: %w", l.Issuer, err)
				continue
			}
			signed = true
			for j := range l.RevokedCertificateEntries {
				if l.RevokedCertificateEntries[j].SerialNumber.Cmp(chain[i].SerialNumber) == 0 {
					return fmt.Errorf("%w: serial %x of %s", errRevoked, chain[i].SerialNumber, chain[i].Issuer)
				}
			}
		}
		if !signed && foreign != nil {
			return foreign
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
	var told sync.Map // *x509.RevocationList -> true
	look := func(l *x509.RevocationList) {
		if l.NextUpdate.IsZero() || s.opts.Now().Before(l.NextUpdate) {
			return
		}
		if _, twice := told.LoadOrStore(l, true); !twice {
			s.log.Warn("a revocation list is out of date: what it lists stays refused, but more may have been revoked since; fetch a new one and reload",
				"issuer", l.Issuer.String(), "next_update", l.NextUpdate.Format(time.RFC3339))
		}
	}
	for host, a := range st.set.ClientAuth {
		if a == nil {
			all[host] = nil
			continue
		}
		all[host] = clientAuthConfig(a, st.minVersion(host), look)
		for _, l := range a.CRLs {
			look(l)
		}
	}
	return all
}

// shown is the certificate that the client of a connection showed.
type shown struct {
	chain  []*x509.Certificate // as it was sent
	judged atomic.Pointer[judgement]
}

// judgement is what one configuration, which a reload replaces, holds of a certificate.
type judgement struct {
	by   *tls.Config
	cert *policy.ClientCert
}

// newShown takes a handshake's result; nil: the client showed no certificate.
func newShown(cs *tls.ConnectionState, by *tls.Config) *shown {
	if len(cs.PeerCertificates) == 0 {
		return nil
	}
	c := &shown{chain: cs.PeerCertificates}
	c.judged.Store(&judgement{by, identity(cs)})
	return c
}

// identity is who the client is by the settings in force: a connection may be older
// than the list that revokes its certificate, or than a change of CAs. What does
// not pass any more counts as unverified.
func (c *shown) identity(st *state, name string, now func() time.Time) *policy.ClientCert {
	if c == nil {
		return nil
	}
	by, j := st.clientAuth(name), c.judged.Load()
	if j.by == by {
		return j.cert
	}
	cert := *j.cert
	cert.Verified = by != nil && c.verify(by, now()) == nil
	c.judged.Store(&judgement{by, &cert})
	return &cert
}

// verify does what crypto/tls does at the handshake.
func (c *shown) verify(by *tls.Config, now time.Time) error {
	if by.ClientAuth < tls.VerifyClientCertIfGiven {
		return errUnverified
	}
	o := x509.VerifyOptions{Roots: by.ClientCAs, CurrentTime: now, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, cert := range c.chain[1:] {
		o.Intermediates.AddCert(cert)
	}
	chains, err := c.chain[0].Verify(o)
	if err != nil {
		return err
	}
	return by.VerifyConnection(tls.ConnectionState{PeerCertificates: c.chain, VerifiedChains: chains})
}

var errUnverified = errors.New("certificates are taken unverified")

// identity is what a handshake says of a client that showed a certificate.
func identity(cs *tls.ConnectionState) *policy.ClientCert {
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

package acmeglue

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"edge"
)

// dressLocked gives the slot of a host what it serves: the leaf of its lineage
// where that is for the host. The caller holds s.mu.
func (m *Manager) dressLocked(ctx context.Context, s *slot) {
	l := m.lineages.get(ctx, s.lineage)
	s.loaded = ctx.Err() == nil
	if l.served.covers(s.id.Value) {
		if !sameChain(s.held, l.served) {
			s.setLocked(l.served)
		}
		return
	}
	if l.served == nil && s.held != nil && s.held.validAt(m.now()) {
		return // until something is put, the host keeps what it had
	}
	// A certificate that edge obtained for the host itself, before the configuration
	// named a lineage, is better than none.
	if own := m.find(ctx, s.id.Value, &Plan{}); own != nil && own.validAt(m.now()) {
		s.setLocked(own)
	} else if l.served != nil {
		// The client is better off with an alert than with a certificate for others.
		s.held = nil
		s.live.Store(nil)
	}
}

// describeLineage completes the status of a host that is served with a lineage.
func (m *Manager) describeLineage(st *edge.CertificateStatus, sn *snapshot, now time.Time) {
	st.Lineage = sn.lineage
	st.RenewAfter = time.Time{} // the steward knows
	meanwhile := ""
	if sn.held != nil && sn.held.issuerKey != "" {
		meanwhile = "; the certificate that edge obtained for the host earlier is served meanwhile"
	}
	switch l := m.lineages.get(m.ctx, sn.lineage); {
	case l.served == nil:
		st.State = edge.StatePending
		st.LastError = fmt.Sprintf("lineage %s was never put; edge renew does it, once /etc/letsencrypt has it%s", sn.lineage, meanwhile)
	case !l.served.covers(st.Name):
		st.State = edge.StateFailing
		st.LastError = fmt.Sprintf("lineage %s is not for this host but for %s%s", sn.lineage, strings.Join(l.served.names, ", "), meanwhile)
	case l.stored != l.served:
		st.LastError = fmt.Sprintf("lineage %s could not be stored and is served by this process alone; make room and run edge renew", sn.lineage)
	}
	if st.State == edge.StateExpiring && now.Before(sn.held.notBefore.Add(renewalPart(sn.held.lifetime()))) {
		st.State = edge.StateValid // the steward takes no earlier day
	}
}

// covers reports whether the leaf is for a host of a site.
func (h *held) covers(host string) bool {
	if h == nil || host == "*" {
		return h != nil
	}
	leaf, err := x509.ParseCertificate(h.served.Certificate.Certificate[0])
	return err == nil && covers(leaf, host)
}

func sameChain(a, b *held) bool {
	return a != nil && b != nil && slices.EqualFunc(a.served.Certificate.Certificate, b.served.Certificate.Certificate, bytes.Equal)
}

// acceptable checks a bundle that the steward wants served for some hosts.
func (m *Manager) acceptable(b edge.Bundle, slots []*slot) (*held, error) {
	if err := inOrder(b.Chain); err != nil {
		return nil, err
	}
	h, err := m.share.parse(b.Chain, b.Key)
	if err != nil {
		return nil, err
	}
	if !m.now().Before(h.notAfter) {
		return nil, fmt.Errorf("the certificate expired at %s", h.notAfter.UTC().Format(time.RFC3339))
	}
	if !slices.ContainsFunc(slots, func(s *slot) bool { return h.covers(s.id.Value) }) {
		return nil, fmt.Errorf("the certificate is for %s, and for none of the hosts that use the lineage (%s)", strings.Join(h.names, ", "), slots[0].id)
	}
	return h, nil
}

// inOrder checks that a PEM chain is nothing but certificates, each issued by the
// next: clients need not be able to sort one.
func inOrder(chain []byte) error {
	var below *x509.Certificate
	for n := 0; ; n++ {
		block, rest := pem.Decode(chain)
		if block == nil {
			if bytes.Contains(chain, []byte("-----BEGIN")) {
				return fmt.Errorf("block %d of the chain is damaged", n+1)
			}
			return nil // an empty chain has no leaf, which is found later
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("block %d of the chain is no certificate (%q)", n+1, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("certificate %d of the chain: %w", n+1, err)
		}
		if below != nil && !issuedBy(below, cert) {
			return fmt.Errorf("certificate %d of the chain (%s) was not issued by the next one (%s)", n, below.Subject, cert.Subject)
		}
		below, chain = cert, rest
	}
}

func issuedBy(cert, issuer *x509.Certificate) bool {
	if !bytes.Equal(cert.RawIssuer, issuer.RawSubject) {
		return false
	}
	err := cert.CheckSignatureFrom(issuer)
	var weak x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &weak) // an old private CA: its clients decide
}

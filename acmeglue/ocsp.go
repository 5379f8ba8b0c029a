package acmeglue

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/crypto/ocsp"
)

// stapleState is what is known of the OCSP answer of a certificate.
type stapleState struct {
	until   time.Time // the answer in use is good until then; zero: none in use
	next    time.Time // ask again
	revoked bool
}

const (
	ocspRetry   = time.Hour
	ocspLongest = 64 << 10 // bytes of an answer
)

// staple asks the responder that the leaf names and puts the answer into the
// certificate that is served. Without an answer the certificate is served as
// it is: no handshake ever waits for a responder.
func (m *Manager) staple(ctx context.Context, s *slot, sn *snapshot) {
	now := m.now()
	raw, resp, err := m.askResponder(ctx, sn.held)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != sn.held {
		return // replaced meanwhile
	}
	if err != nil {
		m.log.Debug("no OCSP answer", "name", s.id.Value, "responder", sn.held.responder, "error", err)
		s.ocsp.next = now.Add(m.spread(ocspRetry))
		if !s.ocsp.until.IsZero() && !s.ocsp.until.After(s.ocsp.next) {
			// It would run out before the next try.
			s.stapleLocked(nil, time.Time{})
		}
		return
	}
	if resp.Status == ocsp.Revoked {
		m.log.Error("the CA has revoked a certificate; it is replaced", "name", s.id.Value, "revoked_at", resp.RevokedAt)
		s.ocsp.revoked = true
		raw = nil // to staple it would only take the site away until then
	}
	until := resp.NextUpdate
	if until.IsZero() {
		until = now.Add(24 * time.Hour)
	}
	s.ocsp.next = clampTime(resp.ThisUpdate.Add(until.Sub(resp.ThisUpdate)/2), now.Add(ocspRetry), now.Add(7*24*time.Hour))
	s.stapleLocked(raw, until)
}

// stapleLocked serves the certificate with another staple. The one that
// handshakes may be using is left alone. The caller holds s.mu.
func (s *slot) stapleLocked(raw []byte, until time.Time) {
	h, c := *s.held, *s.held.served
	c.OCSPStaple = raw
	h.served = &c
	s.held, s.ocsp.until = &h, until
	s.live.Store(&c)
}

func (m *Manager) askResponder(ctx context.Context, h *held) ([]byte, *ocsp.Response, error) {
	chain := h.served.Certificate.Certificate
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, nil, err
	}
	issuer, err := x509.ParseCertificate(chain[1])
	if err != nil {
		return nil, nil, err
	}
	return askOCSP(ctx, m.opts.HTTP, h.responder, leaf, issuer, m.now())
}

// askOCSP asks a responder about a leaf, and believes no answer that is not
// signed for its issuer, not about it, or not of now.
func askOCSP(ctx context.Context, client *http.Client, responder string, leaf, issuer *x509.Certificate, now time.Time) ([]byte, *ocsp.Response, error) {
	question, err := ocsp.CreateRequest(leaf, issuer, nil)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, responder, bytes.NewReader(question))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/ocsp-request")
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close() // read to its end or given up
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("the responder answered %s", res.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(res.Body, ocspLongest))
	if err != nil {
		return nil, nil, err
	}
	resp, err := ocsp.ParseResponseForCert(raw, leaf, issuer)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case resp.Status == ocsp.Unknown:
		return nil, nil, errors.New("the responder does not know the certificate")
	case !resp.NextUpdate.IsZero() && !now.Before(resp.NextUpdate):
		return nil, nil, fmt.Errorf("the answer expired at %s", resp.NextUpdate)
	case resp.ThisUpdate.After(now.Add(time.Hour)):
		return nil, nil, fmt.Errorf("the answer is of the future (%s)", resp.ThisUpdate)
	}
	return raw, resp, nil
}

// Revocation is what an OCSP responder says about a certificate (RFC 6960).
type Revocation struct {
	Revoked bool
	At      time.Time // of the revocation; zero where there is none
	Until   time.Time // the answer is good until then; zero: no answer, and none to be had
}

// CheckRevocation asks the responder that the leaf of a PEM chain names, with the
// issuer's certificate from the chain. Where the leaf names none (as those of
// Let's Encrypt do not), or the chain has no issuer, the answer is a zero
// Revocation and no error.
func CheckRevocation(ctx context.Context, client *http.Client, chain []byte, now time.Time) (Revocation, error) {
	leaf, err := parseLeaf(chain)
	if err != nil {
		return Revocation{}, err
	}
	_, rest := SplitChain(chain)
	if len(leaf.OCSPServer) == 0 || len(rest) == 0 {
		return Revocation{}, nil
	}
	issuer, err := parseLeaf(rest)
	if err != nil {
		return Revocation{}, fmt.Errorf("issuer of %s: %w", leafName(leaf), err)
	}
	_, resp, err := askOCSP(ctx, client, leaf.OCSPServer[0], leaf, issuer, now)
	if err != nil {
		return Revocation{}, fmt.Errorf("OCSP responder %s about %s: %w", leaf.OCSPServer[0], leafName(leaf), err)
	}
	r := Revocation{Revoked: resp.Status == ocsp.Revoked, Until: resp.NextUpdate}
	if r.Revoked {
		r.At = resp.RevokedAt
	}
	if r.Until.IsZero() {
		r.Until = now.Add(24 * time.Hour)
	}
	return r, nil
}

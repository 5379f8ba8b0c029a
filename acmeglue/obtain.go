package acmeglue

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/url"
	"time"

	"edge"

	"github.com/caddyserver/certmagic"
)

// want is one certificate to be had.
type want struct {
	id     edge.Identifier
	plan   *Plan
	source edge.CertificateSource
	old    *held // to be replaced, nil for the first
}

// postponed says that no CA was asked, and when one may be.
type postponed struct {
	until time.Time
	err   error
}

func (p *postponed) Error() string { return p.err.Error() }
func (p *postponed) Unwrap() error { return p.err }

// obtain gets a certificate: from storage, where another process was quicker,
// else from the first CA of the plan that grants one.
func (m *Manager) obtain(ctx context.Context, w want) (*held, error) {
	if err := m.open(w); err != nil {
		return nil, err // before anybody touches storage for it
	}
	locking, cancel := context.WithTimeout(ctx, m.opts.OrderTimeout)
	release, err := m.store.lock(locking, w.id.Value)
	cancel()
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, &postponed{until: m.now().Add(time.Minute), err: fmt.Errorf("another process is still busy with it: %w", err)}
	}
	if err != nil {
		return nil, &edge.IssueError{Name: w.id.Value, Reason: edge.ReasonPermission, Err: err}
	}
	defer release()
	if h := m.find(ctx, w.id.Value, w.plan); h != nil && m.fresh(h, &w) {
		m.log.Info("another process obtained the certificate", "name", w.id.Value, "not_after", h.notAfter)
		return h, nil
	}
	var tried []error
	for _, ca := range w.plan.CAs {
		state := m.cas.get(ca.Key())
		if !state.admit() {
			continue
		}
		h, err := m.issue(ctx, ca, state, &w)
		if err == nil {
			return h, nil
		}
		tried = append(tried, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(tried) == 0 {
		if err := m.open(w); err != nil {
			return nil, err
		}
		return nil, &postponed{until: m.now().Add(time.Second), err: errors.New("other names were quicker to ask the CA")}
	}
	return nil, errors.Join(tried...)
}

// open returns nil where a CA of the plan would be asked now, else a *postponed.
func (m *Manager) open(w want) error {
	var later *postponed
	for _, ca := range w.plan.CAs {
		until, reason, err := m.cas.get(ca.Key()).closed()
		if err == nil {
			return nil
		}
		if later == nil || until.Before(later.until) {
			later = &postponed{until: until, err: &edge.IssueError{Name: w.id.Value, CA: ca.Directory(), Reason: reason, Err: err}}
		}
	}
	if later == nil {
		return nil
	}
	return later
}

// fresh reports whether a certificate from storage makes an order needless.
func (m *Manager) fresh(h *held, w *want) bool {
	now := m.now()
	return w.plan.has(h.issuerKey) && h.validAt(now) && renewAt(h).After(now) && (w.old == nil || w.old.sum != h.sum)
}

// issue asks one CA, and keeps what it grants.
func (m *Manager) issue(ctx context.Context, ca CA, state *caState, w *want) (*held, error) {
	started := m.now()
	o := Order{Identifiers: []edge.Identifier{w.id}, KeyType: w.plan.KeyType, Challenges: w.plan.Challenges, Profile: w.plan.Profile, Hold: true}
	issuerKey := m.share.string(certmagic.StorageKeys.Safe(ca.Key()))
	if w.old != nil && w.old.issuerKey == issuerKey {
		if b, err := w.old.bundle(); err == nil {
			o.Replaces = b.Chain
		}
	}
	asking, cancel := context.WithTimeout(ctx, m.opts.OrderTimeout)
	issued, err := ca.Issue(asking, o)
	cancel()
	var h *held
	st := &stored{}
	if err == nil {
		if st.key, err = certmagic.PEMEncodePrivateKey(issued.Key); err == nil {
			st.chain = issued.Chain
			h, err = m.share.parse(st.chain, st.key, w.id.Value)
		}
	}
	if ctx.Err() == nil {
		state.result(err)
	}
	err = classify(err, w.id.Value, ca.Directory())
	ev := &edge.OrderEvent{Name: w.id.Value, CA: host(ca.Directory()), Source: w.source, Renewal: w.old != nil, Duration: m.now().Sub(started), Err: err}
	var ie *edge.IssueError
	if errors.As(err, &ie) {
		ev.Reason = ie.Reason
	}
	if issued != nil {
		ev.Challenge = issued.Challenge
	}
	m.opts.Observer.Order(ev)
	if err != nil {
		return nil, err
	}
	h.issuerKey, h.ca = issuerKey, m.share.string(ca.Directory())
	h.window = MergeWindow(nil, issued.RenewWindow, m.rand())
	st.meta.CA, st.sans = ca.Directory(), h.names
	st.setWindow(h.window)
	// The certificate is good even where it cannot be written: serving it is
	// better than asking for another, which could not be written either. The
	// issuer may remember the order, and the next process gets it from there.
	if err := m.store.save(context.WithoutCancel(ctx), issuerKey, w.id.Value, st); err != nil {
		m.log.Error("a new certificate was not written to storage and may be lost with the process; make room or fix the folder's owner",
			"name", w.id.Value, "error", err)
		return h, nil
	}
	issued.Done(context.WithoutCancel(ctx))
	return h, nil
}

// classify makes every error of a CA an *edge.IssueError.
func classify(err error, name, directory string) error {
	var ie *edge.IssueError
	if err == nil || errors.As(err, &ie) {
		return err
	}
	ie = &edge.IssueError{Name: name, CA: directory, Reason: edge.ReasonServer, Err: err}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		ie.Reason = edge.ReasonTimeout
	case unreachable(err):
		ie.Reason = edge.ReasonConnection
	}
	return ie
}

// renew replaces the certificate of a slot, or obtains its first, and notes how
// that went.
func (m *Manager) renew(ctx context.Context, s *slot, sn *snapshot) {
	h, err := m.obtain(ctx, want{id: s.id, plan: sn.plan, source: sn.source, old: sn.held})
	if ctx.Err() != nil && err != nil {
		return // shutting down: nobody's failure
	}
	if err == nil {
		m.install(ctx, s, h)
		m.settle(ctx, s.id.Value, sn.plan, h)
		return
	}
	var p *postponed
	if errors.As(err, &p) {
		s.holdUntil(p.until.Add(time.Duration(m.rand()*float64(5*time.Second))), false)
		return
	}
	var expiry time.Time
	if sn.held != nil {
		expiry = sn.held.notAfter
	}
	f := m.failures.fail(ctx, s.id.Value, sn.plan, err, expiry)
	about := []any{"name", s.id.Value, "error", err, "failures", f.Count, "next_attempt", f.Next}
	if !expiry.IsZero() {
		about = append(about, "not_after", expiry)
	}
	m.log.Error("certificate not obtained", about...)
}

// install makes h what the slot serves.
func (m *Manager) install(ctx context.Context, s *slot, h *held) {
	s.mu.Lock()
	s.setLocked(h)
	s.loaded, s.denied, s.hold = true, false, time.Time{}
	s.mu.Unlock()
	m.log.Info("certificate obtained", "name", s.id.Value, "ca", h.ca, "issuer", h.issuer, "not_after", h.notAfter, "renew_after", renewAt(h))
}

// settle ends the back-off of a name after a success. A new certificate that is
// due already is none: the next order would follow at once, and so on. A clock
// that is far ahead does this.
func (m *Manager) settle(ctx context.Context, name string, p *Plan, h *held) {
	if renewAt(h).After(m.now()) {
		m.failures.clear(ctx, name)
		return
	}
	err := fmt.Errorf("the new certificate for %s (until %s) is due for renewal already; is the clock of this machine right?",
		name, h.notAfter.UTC().Format(time.RFC3339))
	f := m.failures.fail(ctx, name, p, err, time.Time{})
	m.log.Error("new certificate is of no use", "name", name, "error", err, "next_attempt", f.Next)
}

func host(directory string) string {
	u, err := url.Parse(directory)
	if err != nil {
		return ""
	}
	return u.Host
}

// newKey makes a key; every certificate gets one of its own.
func newKey(t KeyType) (crypto.Signer, error) {
	switch t {
	case "", P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	return nil, fmt.Errorf("unknown key type %q", t)
}

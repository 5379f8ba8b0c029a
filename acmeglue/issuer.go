package acmeglue

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"edge"
)

// EAB is an external account binding (RFC 8555 section 7.3.4).
type EAB struct {
	KID  string
	HMAC string // base64url; secret
}

// IssuerOptions describe one ACME directory and the account there.
type IssuerOptions struct {
	Directory      string // URL
	Email          string // may be empty
	Roots          *x509.CertPool
	EAB            *EAB
	Profile        string
	PreferredChain string               // common name of an issuer in the chain
	Challenges     []edge.ChallengeType // in order of preference
	Registry       *Registry
	DNS            *DNSOptions // nil: no DNS-01
	Storage        certmagic.Storage
	Log            *slog.Logger
	Transport      http.RoundTripper // nil: one of our own, with Roots
	Now            func() time.Time
}

// Issuer obtains certificates from one ACME directory. It implements CA, and is
// safe for concurrent use.
type Issuer struct {
	o      IssuerOptions
	key    string
	client *acme.Client
	dns    *dnsSolver
	log    *slog.Logger

	mu      sync.Mutex
	account *acme.Account
}

var _ CA = (*Issuer)(nil)

// NewIssuer checks the options; it asks nobody.
func NewIssuer(o IssuerOptions) (*Issuer, error) {
	u, err := url.Parse(o.Directory)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("ACME directory %q is not a URL", o.Directory)
	}
	if o.Registry == nil || o.Storage == nil {
		return nil, errors.New("an issuer needs a registry and a storage")
	}
	if len(o.Challenges) == 0 {
		o.Challenges = []edge.ChallengeType{edge.TLSALPN01, edge.HTTP01}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	i := &Issuer{o: o, key: issuerKey(u), log: o.Log.With("component", "acme", "ca", u.Host)}
	if o.DNS != nil {
		if i.dns, err = newDNSSolver(o.DNS); err != nil {
			return nil, err
		}
	}
	if o.Transport == nil {
		o.Transport = newTransport(o.Roots)
	}
	i.client = &acme.Client{
		Directory: o.Directory, UserAgent: "edge", Logger: i.log,
		HTTPClient:   &http.Client{Transport: pacer{o.Transport}, Timeout: 30 * time.Second},
		PollInterval: time.Millisecond, // the pacer decides
	}
	return i, nil
}

// issuerKey names a directory in storage the way certmagic does.
func issuerKey(u *url.URL) string {
	key := u.Host
	if path := strings.Trim(u.Path, "/"); path != "" {
		key += "-" + strings.ReplaceAll(path, "/", "-")
	}
	return certmagic.StorageKeys.Safe(key)
}

// Key implements CA.
func (i *Issuer) Key() string { return i.key }

// Directory implements CA.
func (i *Issuer) Directory() string { return i.o.Directory }

// Issue implements CA. Challenge types are tried in order of preference: where
// validation by one of them fails, the next order uses the others.
func (i *Issuer) Issue(ctx context.Context, o Order) (*Issued, error) {
	name := o.Identifiers[0].Value
	for again := 0; ; again++ {
		issued, err := i.issue(ctx, o)
		switch {
		case err == nil:
			return issued, nil
		case !isBadNonce(err) || again == nonceRounds || ctx.Err() != nil:
			return nil, i.classify(err, name)
		}
		// The library has tried ten nonces and the CA has refused them all. The
		// order is still good: go on with it.
	}
}

// nonceRounds bounds the rounds of ten nonces that one order may use up.
const nonceRounds = 5

func isBadNonce(err error) bool {
	var p acme.Problem
	return errors.As(err, &p) && p.Type == acme.ProblemTypeBadNonce
}

func (i *Issuer) issue(ctx context.Context, o Order) (*Issued, error) {
	ctx, pace := withPace(ctx)
	dir, err := i.client.GetDirectory(ctx)
	if err != nil {
		return nil, pace.explain(err)
	}
	profile, err := chooseProfile(dir, firstOf(o.Profile, i.o.Profile))
	if err != nil {
		return nil, err
	}
	csr, err := newCSR(o)
	if err != nil {
		return nil, err
	}
	wanted := acme.Order{Profile: profile}
	for _, id := range o.Identifiers {
		wanted.Identifiers = append(wanted.Identifiers, acme.Identifier{Type: string(id.Type), Value: id.Value})
	}
	if dir.RenewalInfo != "" && len(o.Replaces) > 0 {
		if leaf, err := parseLeaf(o.Replaces); err == nil {
			wanted.Replaces, _ = acme.ARIUniqueIdentifier(leaf)
		}
	}
	types := o.Challenges
	if len(types) == 0 {
		types = i.o.Challenges
	}
	types = slices.Clone(types)
	for {
		order, account, err := i.order(ctx, wanted)
		if err != nil {
			return nil, pace.explain(err)
		}
		used, err := i.authorize(ctx, account, &order, types)
		if err == nil {
			issued, err := i.finish(ctx, account, order, csr)
			if err != nil {
				return nil, pace.explain(err)
			}
			issued.Challenge = used
			return issued, nil
		}
		var failed *validationError
		if !errors.As(err, &failed) || ctx.Err() != nil {
			// The order is still good for the next attempt, or the next process.
			return nil, pace.explain(err)
		}
		i.forgetOrder(ctx, wanted)
		types = slices.DeleteFunc(types, func(t edge.ChallengeType) bool { return t == failed.challenge })
		if len(types) == 0 || !failed.retryable() {
			return nil, pace.explain(err)
		}
		i.log.Warn("validation failed, trying another challenge", "name", o.Identifiers[0].Value, "challenge", failed.challenge, "error", err)
	}
}

// finish finalizes an order whose authorizations are valid.
func (i *Issuer) finish(ctx context.Context, account acme.Account, order acme.Order, csr []byte) (*Issued, error) {
	location := order.Location
	order, err := i.client.FinalizeOrder(ctx, account, order, csr)
	if err != nil {
		return nil, fmt.Errorf("finalize order %s: %w", location, err)
	}
	chains, err := i.client.GetCertificateChain(ctx, account, order.Certificate)
	if err != nil {
		return nil, fmt.Errorf("download certificate %s: %w", order.Certificate, err)
	}
	if len(chains) == 0 {
		return nil, fmt.Errorf("order %s: the CA offered no chain", location)
	}
	i.forgetOrder(ctx, order)
	return &Issued{Chain: chooseChain(chains, i.o.PreferredChain).ChainPEM}, nil
}

// chooseChain takes the first chain in which a certificate was issued by the
// preferred common name, else the CA's default.
func chooseChain(chains []acme.Certificate, preferred string) acme.Certificate {
	if preferred != "" {
		for _, c := range chains {
			for block, rest := pem.Decode(c.ChainPEM); block != nil; block, rest = pem.Decode(rest) {
				if cert, err := x509.ParseCertificate(block.Bytes); err == nil && cert.Issuer.CommonName == preferred {
					return c
				}
			}
		}
	}
	return chains[0]
}

// errProfile is a mistake in the configuration, not of the CA.
var errProfile = errors.New("profile is not offered")

// chooseProfile checks the profile against those that the directory offers.
func chooseProfile(dir acme.Directory, profile string) (string, error) {
	if profile == "" {
		return "", nil
	}
	var offered []string
	if dir.Meta != nil {
		for name := range dir.Meta.Profiles {
			offered = append(offered, name)
		}
	}
	if slices.Contains(offered, profile) {
		return profile, nil
	}
	slices.Sort(offered)
	if len(offered) == 0 {
		return "", fmt.Errorf("%w: %q; the CA has no profiles: leave it out", errProfile, profile)
	}
	return "", fmt.Errorf("%w: %q; the CA has %s", errProfile, profile, strings.Join(offered, ", "))
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func newCSR(o Order) ([]byte, error) {
	names := make([]string, len(o.Identifiers))
	for n, id := range o.Identifiers {
		names[n] = id.Value
	}
	csr, err := acmez.NewCSR(o.Key, names)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	return csr.Raw, nil
}

// parseLeaf returns the first certificate of a PEM chain.
func parseLeaf(chain []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(chain)
	if block == nil {
		return nil, errors.New("no certificate in PEM form")
	}
	return x509.ParseCertificate(block.Bytes)
}

// RenewalInfo implements CA.
func (i *Issuer) RenewalInfo(ctx context.Context, chain []byte) (RenewWindow, error) {
	leaf, err := parseLeaf(chain)
	if err != nil {
		return RenewWindow{}, err
	}
	ctx, pace := withPace(ctx)
	info, err := i.client.GetRenewalInfo(ctx, leaf)
	switch {
	case errors.Is(err, acme.ErrUnsupported):
		return RenewWindow{}, nil
	case err != nil:
		return RenewWindow{}, i.classify(pace.explain(err), leafName(leaf))
	}
	w := RenewWindow{Start: info.SuggestedWindow.Start, End: info.SuggestedWindow.End, Selected: info.SelectedTime, URL: info.ExplanationURL}
	if info.RetryAfter != nil {
		w.RetryAfter = *info.RetryAfter
	}
	return w, nil
}

func leafName(leaf *x509.Certificate) string {
	if len(leaf.DNSNames) > 0 {
		return leaf.DNSNames[0]
	}
	return leaf.Subject.CommonName
}

// Revoke asks the CA to revoke a certificate (RFC 8555 section 7.6). reason is
// a CRL reason code.
func (i *Issuer) Revoke(ctx context.Context, chain []byte, certKey crypto.Signer, reason int) error {
	leaf, err := parseLeaf(chain)
	if err != nil {
		return err
	}
	ctx, pace := withPace(ctx)
	account, err := i.accountFor(ctx)
	if err == nil {
		err = i.client.RevokeCertificate(ctx, account, leaf, certKey, reason)
	}
	if err != nil {
		return i.classify(pace.explain(err), leafName(leaf))
	}
	return nil
}

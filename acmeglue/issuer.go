package acmeglue

import (
	"context"
	"crypto"
	"crypto/x509"
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
	"github.com/mholt/acmez/v3/acme"

	"edge"
)

// IssuerOptions describe one ACME directory and the account there.
type IssuerOptions struct {
	Directory      string // URL
	Email          string // may be empty; several with commas between
	Roots          *x509.CertPool
	EAB            *EAB
	Profile        string               // has to be offered
	PreferredChain string               // common name of an issuer in the chain
	Challenges     []edge.ChallengeType // in order of preference

	// Authenticator answers the challenges. Nil: Registry answers those of the
	// front door, and DNS, if it is set, DNS-01.
	Authenticator Authenticator
	Registry      *Registry
	DNS           *DNSOptions
	// BeforeAnswer is called when everything is presented, and before the CA is
	// told to look. An error ends the attempt.
	BeforeAnswer func(ctx context.Context, batch []edge.Answer) error

	// Storage has the account, unless Accounts is set, and unfinished orders,
	// which are not kept where it is nil.
	Storage    certmagic.Storage
	Accounts   AccountStore
	NoRegister bool         // an account that is not there is ErrNoAccount
	Backoff    BackoffStore // nil: none is kept

	IssuanceTimeout time.Duration // from finalizing to the certificate; 0: no limit but the context's
	UserAgent       string
	Log             *slog.Logger
	Transport       http.RoundTripper // nil: one of our own, with Roots
	Observer        RequestObserver   // nil: none
	Now             func() time.Time
}

// Issuer obtains certificates from one ACME directory. It implements CA, and is
// safe for concurrent use.
type Issuer struct {
	o        IssuerOptions
	key      string
	client   *acme.Client
	auth     Authenticator
	accounts AccountStore
	log      *slog.Logger
	pruned   sync.Once

	mu      sync.Mutex
	account *Account
}

var _ CA = (*Issuer)(nil)

const userAgent = "edge"

// NewIssuer checks the options; it asks nobody.
func NewIssuer(o IssuerOptions) (*Issuer, error) {
	u, err := url.Parse(o.Directory)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("ACME directory %q is not a URL", o.Directory)
	}
	if o.Registry == nil && o.Authenticator == nil || o.Storage == nil && o.Accounts == nil {
		return nil, errors.New("an issuer needs a registry or an authenticator, and a storage or accounts")
	}
	if len(o.Challenges) == 0 && o.Authenticator == nil {
		o.Challenges = []edge.ChallengeType{edge.TLSALPN01, edge.HTTP01}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.UserAgent = firstOf(o.UserAgent, userAgent)
	i := &Issuer{o: o, key: issuerKey(u), auth: o.Authenticator, accounts: o.Accounts, log: o.Log.With("component", "acme", "ca", u.Host)}
	if i.auth == nil {
		if i.auth, err = doorAuthenticator(o.Registry, o.DNS); err != nil {
			return nil, err
		}
	}
	if i.accounts == nil {
		i.accounts = newStorageAccounts(o.Storage, i.key, o.Email)
	}
	if o.Transport == nil {
		o.Transport = newTransport(o.Roots)
	}
	if o.Observer != nil {
		o.Transport = reporting{o.Transport, u.Host, o.Observer}
	}
	i.client = &acme.Client{
		Directory: o.Directory, UserAgent: o.UserAgent, Logger: i.log,
		HTTPClient:   &http.Client{Transport: pacer{o.Transport}, Timeout: 30 * time.Second},
		PollInterval: time.Millisecond, // the pacer decides
	}
	return i, nil
}

// doorAuthenticator is what a front door has.
func doorAuthenticator(r *Registry, o *DNSOptions) (Authenticator, error) {
	dns := Authenticator(noDNS{})
	if o != nil {
		var err error
		if dns, err = NewDNSAuthenticator("dns-"+o.Provider, *o); err != nil {
			return nil, err
		}
	}
	return &composite{name: "edge", parts: []Authenticator{NewRegistryAuthenticator(r), dns}}, nil
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

// Issue implements CA.
func (i *Issuer) Issue(ctx context.Context, o Order) (*Issued, error) {
	a, err := i.attempt(o)
	if err != nil {
		return nil, i.classify(err, orderName(o))
	}
	if err := i.closed(ctx, a); err != nil {
		return nil, err
	}
	for again := 0; ; again++ {
		ctx, pace := withPace(ctx)
		issued, err := a.run(ctx)
		if err != nil && isBadNonce(err) && again < nonceRounds && ctx.Err() == nil {
			// The library has tried ten nonces and the CA has refused them all. The
			// order is still good: go on with it.
			continue
		}
		err = pace.explain(err)
		i.noteResult(ctx, a, err)
		if err != nil {
			return nil, i.classify(err, a.name())
		}
		return issued, nil
	}
}

func orderName(o Order) string {
	if len(o.Identifiers) == 0 {
		return ""
	}
	return o.Identifiers[0].Value
}

// nonceRounds bounds the rounds of ten nonces that one order may use up.
const nonceRounds = 5

func isBadNonce(err error) bool {
	var p acme.Problem
	return errors.As(err, &p) && p.Type == acme.ProblemTypeBadNonce
}

// errProfile is a mistake in the configuration, not of the CA.
var errProfile = errors.New("profile is not offered")

// chooseProfile checks the profile against those that the directory offers. One
// that is only preferred is left out where it is not.
func chooseProfile(dir acme.Directory, required, preferred string) (string, error) {
	var offered []string
	if dir.Meta != nil {
		for name := range dir.Meta.Profiles {
			offered = append(offered, name)
		}
	}
	switch {
	case required != "" && slices.Contains(offered, required):
		return required, nil
	case required == "" && slices.Contains(offered, preferred):
		return preferred, nil
	case required == "":
		return "", nil
	}
	slices.Sort(offered)
	if len(offered) == 0 {
		return "", fmt.Errorf("%w: %q; the CA has no profiles: leave it out", errProfile, required)
	}
	return "", fmt.Errorf("%w: %q; the CA has %s", errProfile, required, strings.Join(offered, ", "))
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
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
	return windowOf(info), nil
}

func leafName(leaf *x509.Certificate) string {
	if len(leaf.DNSNames) > 0 {
		return leaf.DNSNames[0]
	}
	return leaf.Subject.CommonName
}

// Revoke asks the CA to revoke a certificate (RFC 8555 section 7.6), with the
// certificate's own key where that is given, else with the account's, which has
// to have ordered it. reason is a CRL reason code (RFC 5280 section 5.3.1).
func (i *Issuer) Revoke(ctx context.Context, chain []byte, certKey crypto.Signer, reason int) error {
	leaf, err := parseLeaf(chain)
	if err != nil {
		return err
	}
	_, err = i.verb(ctx, func(ctx context.Context) (Account, error) {
		var account acme.Account
		if certKey == nil {
			a, err := i.stored(ctx)
			if err != nil {
				return a, err
			}
			account = a.wire()
		}
		return Account{}, i.client.RevokeCertificate(ctx, account, leaf, certKey, reason)
	})
	var ie *edge.IssueError
	if errors.As(err, &ie) {
		ie.Name = leafName(leaf)
	}
	return err
}

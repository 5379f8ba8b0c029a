package acmeglue

import (
	"context"
	"crypto"
	"crypto/x509"
	"time"

	"edge"
)

// Observer receives what happens to certificates. Methods must not block.
type Observer interface {
	Order(*edge.OrderEvent)
	OnDemand(*edge.OnDemandEvent)
}

// RequestObserver receives each HTTP request that an Issuer sends to its CA. Its
// method must not block.
type RequestObserver interface {
	ACMERequest(*edge.ACMERequestEvent)
}

// StorageObserver receives each operation on storage. Its method must not block.
type StorageObserver interface {
	Storage(*edge.StorageEvent)
}

// KeyType is the kind of a certificate's key.
type KeyType string

// The key types.
const (
	P256    KeyType = "p256"
	P384    KeyType = "p384"
	RSA2048 KeyType = "rsa2048"
	RSA4096 KeyType = "rsa4096"
)

// Order asks an Issuer for one certificate.
type Order struct {
	// Identifiers the certificate is for; with a CSR they may be left out.
	Identifiers []edge.Identifier
	// Key of the certificate. Nil: a new one of type KeyType is made, and is in
	// Issued.Key. An order that an earlier process left behind is gone on with
	// only where it is for this key, or, without one, for a key of this type.
	Key        crypto.Signer
	KeyType    KeyType
	CSR        []byte // a certificate request in DER form, instead of a key
	MustStaple bool   // RFC 7633; not with a CSR

	Challenges       []edge.ChallengeType // in order of preference; nil: the issuer's
	Authenticator    Authenticator        // nil: the issuer's
	Profile          string               // has to be offered; "": the issuer's
	PreferredProfile string               // used where it is offered, and where Profile is empty
	PreferredChain   string               // common name of an issuer; "": the issuer's
	Replaces         []byte               // PEM chain of the certificate that this one replaces (ARI), or nil

	// DeactivateValid has authorizations that are valid already given up and
	// proved anew: a dry run that relied on them would show nothing.
	DeactivateValid bool
	// Hold keeps the order in mind until Issued.Done is called: a certificate that
	// could not be stored is then downloaded by the next run, not ordered again.
	Hold bool
	// FirstOnly leaves it at the first challenge type that the CA offers: where
	// validation fails, no second order tries another one.
	FirstOnly bool
}

// Issued is what an Issuer got.
type Issued struct {
	Chain     []byte            // PEM, leaf first: the chain that was preferred
	Chains    [][]byte          // PEM: all chains that the CA offers, its default first
	Preferred bool              // no chain was preferred, or Chain is what was
	Key       crypto.Signer     // of the certificate; nil where it was ordered by CSR
	Leaf      *x509.Certificate // of Chain

	Account     string             // URL
	Order       string             // URL
	Profile     string             // that was asked for
	Challenge   edge.ChallengeType // that was answered last, "" where all authorizations were valid already
	RenewWindow RenewWindow        // zero where the CA has no ARI

	done func(context.Context)
}

// Done says that the certificate and its key are stored: see Order.Hold.
func (i *Issued) Done(ctx context.Context) {
	if i.done != nil {
		i.done(ctx)
	}
}

// RenewWindow is what ACME Renewal Information says (RFC 9773).
type RenewWindow struct {
	Start, End time.Time
	Selected   time.Time // chosen once, uniformly, within the window
	RetryAfter time.Time // ask again not before
	URL        string    // explanation for people
}

// CA obtains certificates from one ACME directory. *Issuer implements it. Safe
// for concurrent use. Errors are *edge.IssueError.
type CA interface {
	// Key is the storage key of the directory, in certmagic's form
	// ("acme-v02.api.letsencrypt.org-directory").
	Key() string
	// Directory is the URL.
	Directory() string
	Issue(ctx context.Context, o Order) (*Issued, error)
	// RenewalInfo asks for the renewal window of a certificate (PEM chain).
	// It returns a zero window and no error where the CA has no ARI.
	RenewalInfo(ctx context.Context, chain []byte) (RenewWindow, error)
}

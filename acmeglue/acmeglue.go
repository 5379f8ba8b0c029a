package acmeglue

import (
	"context"
	"crypto"
	"time"

	"edge"
)

// Observer receives what happens to certificates. Methods must not block.
type Observer interface {
	Order(*edge.OrderEvent)
	OnDemand(*edge.OnDemandEvent)
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
	Identifiers []edge.Identifier
	Key         crypto.Signer        // of the certificate
	Challenges  []edge.ChallengeType // in order of preference; nil: the issuer's
	Profile     string               // "" : the issuer's
	Replaces    []byte               // PEM chain of the certificate that this one replaces (ARI), or nil
}

// Issued is what an Issuer got.
type Issued struct {
	Chain       []byte // PEM, leaf first
	Challenge   edge.ChallengeType
	RenewWindow RenewWindow // zero where the CA has no ARI
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

package edge

import "time"

// Bundle is a certificate chain with its private key.
type Bundle struct {
	Chain []byte // PEM, leaf first, root left out
	Key   []byte // PEM, PKCS #8 or the algorithm's own form; secret
}

// CertificateSource says why edge has a certificate.
type CertificateSource string

// The sources of certificates.
const (
	SourceSite     CertificateSource = "site"      // a host written in the configuration
	SourceOnDemand CertificateSource = "on_demand" // a name that a client asked for and policy allowed
	SourceStatic   CertificateSource = "static"    // files named in the configuration
	SourceLineage  CertificateSource = "lineage"   // put through the admin socket by the steward
)

// CertificateState is the one word that status and metrics have for a certificate.
type CertificateState string

// The states of a certificate.
const (
	StateValid    CertificateState = "valid"
	StateExpiring CertificateState = "expiring" // past its renewal time, not yet replaced
	StateExpired  CertificateState = "expired"
	StateFailing  CertificateState = "failing" // the last attempt to obtain or renew it failed
	StatePending  CertificateState = "pending" // wanted, never obtained, no failure yet
)

// CertificateStatus describes one certificate, or the want of one, at a moment.
// Times are zero where they are unknown.
type CertificateStatus struct {
	Name         string            `json:"name"` // the identifier, also the metric label
	Source       CertificateSource `json:"source"`
	Lineage      string            `json:"lineage,omitempty"` // that the configuration names for it
	State        CertificateState  `json:"state"`
	Names        []string          `json:"names,omitempty"`  // subject alternative names
	Issuer       string            `json:"issuer,omitempty"` // common name of the issuing certificate
	CA           string            `json:"ca,omitempty"`     // ACME directory it came from
	KeyType      string            `json:"key_type,omitempty"`
	Serial       string            `json:"serial,omitempty"` // hexadecimal
	SHA256       string            `json:"sha256,omitempty"` // of the leaf, hexadecimal
	NotBefore    time.Time         `json:"not_before,omitzero"`
	NotAfter     time.Time         `json:"not_after,omitzero"`
	RenewAfter   time.Time         `json:"renew_after,omitzero"`
	LastAttempt  time.Time         `json:"last_attempt,omitzero"`
	NextAttempt  time.Time         `json:"next_attempt,omitzero"` // back-off: not before this time
	Failures     int               `json:"failures,omitempty"`    // in a row
	LastError    string            `json:"last_error,omitempty"`
	LastReason   Reason            `json:"last_reason,omitempty"`
	LastUsed     time.Time         `json:"last_used,omitzero"` // on-demand names only
	StapledUntil time.Time         `json:"stapled_until,omitzero"`
}

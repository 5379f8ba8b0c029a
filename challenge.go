package edge

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// ChallengeType names a validation method as ACME spells it.
type ChallengeType string

// The challenge types that edge answers. TLSSNI01 was removed from public CAs
// in 2019 and is only ever used where it is named in the configuration.
const (
	HTTP01    ChallengeType = "http-01"     // RFC 8555 section 8.3
	DNS01     ChallengeType = "dns-01"      // RFC 8555 section 8.4
	TLSALPN01 ChallengeType = "tls-alpn-01" // RFC 8737
	TLSSNI01  ChallengeType = "tls-sni-01"  // draft-ietf-acme-acme-01 section 7.3, as deployed (no iterations)
)

// ChallengeTypes lists every type edge knows, in the order of preference used
// when the configuration names none.
var ChallengeTypes = []ChallengeType{TLSALPN01, HTTP01, DNS01, TLSSNI01}

// Answer is what proves control of an identifier for one challenge. It is not
// a secret once the CA has been told to look, but is kept out of logs all the same.
type Answer struct {
	Type       ChallengeType
	Identifier Identifier
	Token      string // base64url, as the CA sent it; untrusted
	KeyAuth    string // RFC 8555 section 8.1
}

// SNI01Suffix ends every server name of a TLS-SNI-01 validation.
const SNI01Suffix = ".acme.invalid"

// SNI01Name is the server name that a CA asks for when it validates TLS-SNI-01
// with the given key authorization: hex(SHA-256), split in two labels.
func SNI01Name(keyAuth string) string {
	sum := sha256.Sum256([]byte(keyAuth))
	z := hex.EncodeToString(sum[:])
	return z[:32] + "." + z[32:] + SNI01Suffix
}

// IsACMEInvalid reports whether a server name lies under "acme.invalid". Such
// a name reaches the challenge registry or nothing.
func IsACMEInvalid(sni string) bool {
	sni = strings.TrimSuffix(sni, ".")
	n := len("acme.invalid")
	if len(sni) < n || !strings.EqualFold(sni[len(sni)-n:], "acme.invalid") {
		return false
	}
	return len(sni) == n || sni[len(sni)-n-1] == '.'
}

// DNS01Value is what the TXT record of a DNS-01 validation has to say (RFC 8555
// section 8.4).
func DNS01Value(keyAuth string) string {
	sum := sha256.Sum256([]byte(keyAuth))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// HTTP01Prefix begins the path of every HTTP-01 request.
const HTTP01Prefix = "/.well-known/acme-challenge/"

// ALPNProto is the ALPN protocol of a TLS-ALPN-01 validation (RFC 8737 section 6.2).
const ALPNProto = "acme-tls/1"

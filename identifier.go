package edge

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// IdentifierType is the "type" of an ACME identifier (RFC 8555 section 9.7.7, RFC 8738).
type IdentifierType string

// The identifier types that edge handles.
const (
	DNS IdentifierType = "dns"
	IP  IdentifierType = "ip"
)

// Identifier is what a certificate is issued for: a lower-case DNS name in
// LDH form (optionally with a leading "*." label) or an IP address in its
// canonical text form. The zero value names nothing.
type Identifier struct {
	Type  IdentifierType
	Value string
}

// String returns the bare value.
func (id Identifier) String() string { return id.Value }

// IsWildcard reports whether the identifier covers one level of names.
func (id Identifier) IsWildcard() bool {
	return id.Type == DNS && strings.HasPrefix(id.Value, "*.")
}

// ErrName is wrapped by every error of ParseIdentifier, ParseName and ParsePattern.
var ErrName = errors.New("invalid name")

// ParseName is the gate through which every name passes before anything is
// looked up for it. It accepts a DNS name of letters, digits and hyphens
// (RFC 1123), removes one trailing dot, lower-cases it, and refuses everything
// else: IP addresses, underscores, wildcards, empty or over-long labels.
// A name that is clean already is returned without allocation.
func ParseName(s string) (string, error) {
	clean, ok := CleanName(s)
	if !ok {
		return "", fmt.Errorf("%w: %q is not a DNS name of letters, digits and hyphens", ErrName, clip(s))
	}
	return clean, nil
}

// CleanName is ParseName for the handshake path: no error value, and no
// allocation unless the name has upper-case letters.
func CleanName(s string) (string, bool) {
	if n := len(s); n > 0 && s[n-1] == '.' {
		s = s[:n-1]
	}
	if len(s) == 0 || len(s) > 253 {
		return "", false
	}
	upper, label, alpha := false, 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z':
			alpha = true
			label++
		case c >= '0' && c <= '9':
			label++
		case c >= 'A' && c <= 'Z':
			upper, alpha = true, true
			label++
		case c == '-':
			if label == 0 || i+1 == len(s) || s[i+1] == '.' {
				return "", false
			}
			label++
		case c == '.':
			if label == 0 {
				return "", false
			}
			label, alpha = 0, false
		default:
			return "", false
		}
		if label > 63 {
			return "", false
		}
	}
	// A last label of digits only would be an IPv4 address in some spelling.
	if label == 0 || !alpha && !hasLetter(s[strings.LastIndexByte(s, '.')+1:]) {
		return "", false
	}
	if upper {
		s = strings.ToLower(s)
	}
	return s, true
}

func hasLetter(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; c >= 'a' && c <= 'z' {
			return true
		}
	}
	return false
}

// ParseIdentifier accepts a DNS name, a wildcard name ("*.example.org") or an
// IP address. IPv6 zones and IPv4-mapped spellings are refused.
func ParseIdentifier(s string) (Identifier, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" || a.Is4In6() {
			return Identifier{}, fmt.Errorf("%w: %q: no zone and no IPv4-mapped address, please", ErrName, clip(s))
		}
		return Identifier{Type: IP, Value: a.String()}, nil
	}
	rest, wild := strings.CutPrefix(s, "*.")
	name, err := ParseName(rest)
	if err != nil {
		return Identifier{}, err
	}
	if wild {
		if !strings.Contains(name, ".") {
			return Identifier{}, fmt.Errorf("%w: %q covers a whole top-level domain", ErrName, clip(s))
		}
		name = "*." + name
	}
	return Identifier{Type: DNS, Value: name}, nil
}

// Parent returns the wildcard name that covers name ("a.b.c" gives "*.b.c"),
// or "" where name has fewer than three labels.
func Parent(name string) string {
	i := strings.IndexByte(name, '.')
	if i < 0 || strings.IndexByte(name[i+1:], '.') < 0 {
		return ""
	}
	return "*" + name[i:]
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

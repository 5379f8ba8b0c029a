package certbotcli

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"
)

// cleanDomain is certbot's enforce_domain_sanity: lower case, no trailing dot,
// and a refusal of what is no name. It is not the gate for names, only the first
// look at what somebody typed: see edge.ParseIdentifier.
func cleanDomain(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return "", &RefusedError{"Non-ASCII domain names not supported. To issue for an Internationalized Domain Name, use Punycode."}
	}
	s = strings.TrimSuffix(strings.ToLower(s), ".")
	for _, scheme := range []string{"http", "https"} {
		if strings.HasPrefix(s, scheme+"://") {
			return "", &RefusedError{fmt.Sprintf("Requested name %s appears to be a URL, not a FQDN. Try again without the leading %q.", s, scheme+"://")}
		}
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return "", &RefusedError{fmt.Sprintf("Requested name %s is an IP address. The Let's Encrypt certificate authority will not issue certificates for a bare IP address.", s)}
	}
	because := fmt.Sprintf("Requested domain %s is not a FQDN because", s)
	if len(s) > 255 {
		return "", &RefusedError{because + " it is too long."}
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" {
			return "", &RefusedError{because + " it contains an empty label."}
		}
		if len(label) > 63 {
			return "", &RefusedError{fmt.Sprintf("%s label %s is too long.", because, label)}
		}
	}
	return s, nil
}

// addDomains takes names with commas between them and returns them clean.
func (p *parser) addDomains(list string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	var added []string
	for s := range strings.SplitSeq(list, ",") {
		name, err := cleanDomain(strip(s))
		if err != nil {
			return nil, err
		}
		added = append(added, name)
		p.addOnce(&p.o.Domains, name)
	}
	return added, nil
}

// addOnce appends what is not there; p.seen keeps that quick for long lists.
func (p *parser) addOnce(to *[]string, name string) {
	if !p.seen[name] {
		p.seen[name] = true
		*to = append(*to, name)
	}
}

// addIP takes one address, as certbot does.
func (p *parser) addIP(f *Flag, value string) error {
	a, err := netip.ParseAddr(value)
	if err != nil || a.Zone() != "" {
		return p.argument(f, fmt.Sprintf("%s does not appear to be an IPv4 or IPv6 address", repr(value)))
	}
	p.addOnce(&p.o.IPs, a.String())
	return nil
}

// isWildcard reports whether any of the names is one.
func isWildcard(names []string) bool {
	return slices.ContainsFunc(names, func(s string) bool { return strings.HasPrefix(s, "*.") })
}

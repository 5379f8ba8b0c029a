package s3front

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/delivery"
)

// Places implements delivery.Placed: CloudFront is asked for each of the distribution's
// names that the certificate is for, at its own address, so that DNS may still lead
// elsewhere.
func (t *Target) Places(ctx context.Context, m *delivery.Material, _ json.RawMessage) ([]installers.Endpoint, error) {
	d, err := t.distribution(ctx, false)
	if err != nil {
		return nil, err
	}
	at := t.o.At
	if at == nil {
		at = t.locations(ctx, d.DomainName)
	}
	var list []installers.Endpoint
	for _, alias := range t.aliases(d, m.Certs[0]) {
		if rest, wild := strings.CutPrefix(alias, "*."); wild {
			alias = "edge-probe." + rest
		}
		for _, e := range at {
			e.Name = alias
			list = append(list, e)
		}
	}
	return list, nil
}

// locations are some of the addresses that CloudFront gives out for a domain name: not
// all of its servers learn of a change at once.
func (t *Target) locations(ctx context.Context, domain string) []installers.Endpoint {
	lookup := t.o.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupHost
	}
	found, _ := lookup(ctx, domain) // who dials the name says why
	var list []installers.Endpoint
	for _, addr := range found {
		if ip, err := netip.ParseAddr(addr); err == nil && ip.Is4() && len(list) < 3 {
			list = append(list, installers.Endpoint{Addr: net.JoinHostPort(addr, "443")})
		}
	}
	if list == nil {
		list = []installers.Endpoint{{Addr: net.JoinHostPort(domain, "443")}}
	}
	return list
}

// maxAsked bounds the names that are asked for.
const maxAsked = 50

// aliases are the names of a distribution that a leaf is for.
func (t *Target) aliases(d *distribution, leaf *x509.Certificate) []string {
	var list []string
	for _, alias := range d.Config.Aliases {
		if covers(leaf, alias) {
			list = append(list, alias)
		}
	}
	return list[:min(len(list), maxAsked)]
}

// covers reports whether a leaf is for a name, which may be a wildcard.
func covers(leaf *x509.Certificate, host string) bool {
	if strings.HasPrefix(host, "*.") {
		return slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, host) })
	}
	return leaf.VerifyHostname(host) == nil
}

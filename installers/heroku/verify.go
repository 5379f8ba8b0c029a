package heroku

import (
	"cmp"
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/delivery"
)

// wanted are the domains that have to use the endpoint of a certificate: those that it
// was wanted for, and those that it is for and that use no other.
func wanted(domains []domain, m *delivery.Material, id string) []domain {
	var list []domain
	for _, d := range domains {
		asked := slices.ContainsFunc(m.Hosts, func(h string) bool { return strings.EqualFold(h, d.Hostname) })
		free := d.Endpoint == nil || id != "" && d.attached() == id
		covers := slices.ContainsFunc(m.Certs[0].DNSNames, func(n string) bool { return covered(n, d.Hostname) })
		if d.Kind == "custom" && covers && (asked || free) {
			list = append(list, d)
		}
	}
	return list
}

// covered reports whether a name of a certificate is for a domain, which may be a wildcard
// itself.
func covered(name, hostname string) bool {
	if strings.EqualFold(name, hostname) {
		return true
	}
	rest, wild := strings.CutPrefix(name, "*.")
	first, under, _ := strings.Cut(hostname, ".")
	return wild && first != "*" && strings.EqualFold(rest, under)
}

// maxAsked bounds the names that are asked for.
const maxAsked = 50

// Places implements delivery.Placed: each domain is asked for at Heroku's own address for
// it, so that DNS may still lead elsewhere.
func (t *Target) Places(ctx context.Context, m *delivery.Material, data json.RawMessage) ([]installers.Endpoint, error) {
	if t.domains == nil {
		if _, err := t.look(ctx); err != nil {
			return nil, err
		}
	}
	var list []installers.Endpoint
	all := wanted(t.domains, m, noted(data))
	for _, d := range all[:min(len(all), maxAsked)] {
		host := d.Hostname
		if rest, wild := strings.CutPrefix(host, "*."); wild {
			host = "edge-probe." + rest
		}
		at := t.o.At
		if at == nil {
			at = []installers.Endpoint{{Addr: net.JoinHostPort(cmp.Or(d.CName, host), "443")}}
		}
		for _, e := range at {
			e.Name = host
			list = append(list, e)
		}
	}
	return list, nil
}

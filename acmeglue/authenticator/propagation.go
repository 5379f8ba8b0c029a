package authenticator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"edge"
)

// watchEvery is the pause between two looks at the name servers.
const watchEvery = time.Second

// watcher looks for TXT records at the servers of their zones.
type watcher struct {
	nameservers []string // "host:port"; nil: those of the zone
	every       time.Duration
}

// wait returns nil once all values of the batch are seen at every server, and at
// the end of ctx what was wrong the last time.
func (w watcher) wait(ctx context.Context, batch []edge.Answer) error {
	want := map[string][]string{}
	for _, a := range batch {
		want[dnsName(a)] = append(want[dnsName(a)], dnsValue(a))
	}
	var last error
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		for name, values := range want {
			err := w.look(ctx, name, values)
			if err == nil {
				delete(want, name)
			} else if ctx.Err() == nil || last == nil {
				last = err
			}
		}
		if len(want) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return last
		case <-tick.C:
		}
	}
}

// look asks every server of the zone that name is in.
func (w watcher) look(ctx context.Context, name string, values []string) error {
	servers := w.nameservers
	if len(servers) == 0 {
		var err error
		if servers, err = zoneServers(ctx, name); err != nil {
			return err
		}
	}
	for _, server := range servers {
		r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		}}
		have, err := r.LookupTXT(ctx, name+".")
		var none *net.DNSError
		if err != nil && !(errors.As(err, &none) && none.IsNotFound) {
			return fmt.Errorf("name server %s: %w", server, err)
		}
		for _, v := range values {
			if !slices.Contains(have, v) {
				return fmt.Errorf("name server %s does not have the TXT record of %s yet", server, name)
			}
		}
	}
	return nil
}

// zoneServers are the name servers of the zone that a name is in, by one address each.
func zoneServers(ctx context.Context, name string) ([]string, error) {
	for zone := name; strings.Contains(zone, "."); _, zone, _ = strings.Cut(zone, ".") {
		list, err := net.DefaultResolver.LookupNS(ctx, zone+".")
		if err != nil || len(list) == 0 {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue
		}
		var servers []string
		for _, ns := range list {
			for _, network := range []string{"ip4", "ip6"} {
				ips, err := net.DefaultResolver.LookupNetIP(ctx, network, ns.Host)
				if err == nil && len(ips) > 0 {
					servers = append(servers, net.JoinHostPort(ips[0].String(), "53"))
					break
				}
			}
		}
		if len(servers) == 0 {
			return nil, fmt.Errorf("no name server of %s has an address that is known here", zone)
		}
		return servers, nil
	}
	return nil, fmt.Errorf("the name servers for %s cannot be found from here", name)
}

package authenticator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"edge"
)

// watchEvery is the pause between two looks at the name servers.
const watchEvery = time.Second

// dialer connects, as net.Dialer does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// watcher looks for TXT records at the servers of their zones.
type watcher struct {
	nameservers []string // "host:port"; nil: those of the zone
	resolver    Resolver // finds these
	dial        dialer
}

// wait returns nil once all values of the batch are seen at every server, and at
// the end of ctx what was wrong the last time.
func (w watcher) wait(ctx context.Context, batch []edge.Answer) error {
	want := map[string][]string{}
	for _, a := range batch {
		want[dnsName(a)] = append(want[dnsName(a)], dnsValue(a))
	}
	var last error
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		for name, values := range want {
			err := w.look(ctx, name, values)
			var late net.Error
			switch {
			case err == nil:
				delete(want, name)
			case last == nil || !errors.As(err, &late) || !late.Timeout():
				last = err // that the time was over says less
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
	servers := make([][]string, len(w.nameservers))
	for n, address := range w.nameservers {
		servers[n] = []string{address}
	}
	if len(servers) == 0 {
		zone, err := zoneServers(ctx, w.resolver, name)
		if err != nil {
			return err
		}
		for _, ips := range zone {
			servers = append(servers, dnsPorts(ips))
		}
	}
	for _, addresses := range servers {
		have, err := w.txt(ctx, name, addresses)
		if err != nil {
			return fmt.Errorf("name server %s: %w", addresses[0], err)
		}
		for _, v := range values {
			if !slices.Contains(have, v) {
				return fmt.Errorf("name server %s does not have the TXT record of %s yet", addresses[0], name)
			}
		}
	}
	return nil
}

// txt asks one server, by the first of its addresses that answers.
func (w watcher) txt(ctx context.Context, name string, addresses []string) (have []string, err error) {
	for _, address := range addresses {
		have, err = askServer(w.dial, address).LookupTXT(ctx, name+".")
		if err == nil || notFound(err) {
			return have, nil
		}
	}
	return nil, err
}

// askServer is a resolver that asks one server and nobody else.
func askServer(dial dialer, address string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, address)
	}}
}

func notFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

func dnsPorts(ips []netip.Addr) []string {
	addresses := make([]string, len(ips))
	for n, ip := range ips {
		addresses[n] = netip.AddrPortFrom(ip, 53).String()
	}
	return addresses
}

// zoneServers are the addresses of the name servers of the zone that a name is in,
// IPv4 first, for each server.
func zoneServers(ctx context.Context, r Resolver, name string) ([][]netip.Addr, error) {
	for zone, more := name, true; more; _, zone, more = strings.Cut(zone, ".") {
		list, err := r.LookupNS(ctx, zone+".")
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil || len(list) == 0 {
			continue
		}
		var servers [][]netip.Addr
		for _, ns := range list {
			ips, err := r.LookupNetIP(ctx, "ip", ns.Host)
			if err != nil || len(ips) == 0 {
				continue
			}
			var sorted []netip.Addr
			for _, ip := range ips {
				sorted = append(sorted, ip.Unmap())
			}
			slices.SortStableFunc(sorted, netip.Addr.Compare)
			servers = append(servers, sorted)
		}
		if len(servers) == 0 {
			return nil, fmt.Errorf("no name server of %s has an address that is known here", zone)
		}
		return servers, nil
	}
	return nil, fmt.Errorf("the name servers for %s cannot be found from here", name)
}

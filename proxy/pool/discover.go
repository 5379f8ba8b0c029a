package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"edge"
	"edge/proxy/upstream"
)

// discovery keeps a pool's servers as DNS has them. A pool that discovers has none of its
// own: it hands requests to a pool of what was found last, and puts the next one in
// its place when that changes. Failures and empty answers change nothing.
type discovery struct {
	o        Options // of the pools that are made of what is found
	resolver *net.Resolver
	current  atomic.Pointer[Pool] // nil: nothing was found yet

	mu    sync.Mutex
	found []Server
	err   error // of the last look
	old   []*Pool
}

// maxFound bounds the servers of one pool.
const maxFound = 256

const (
	firstLook  = time.Second     // that the first look may take
	lookTime   = 5 * time.Second // that each other one may
	lookSooner = 5 * time.Second // after one that failed
)

func newDiscovery(o Options) *discovery {
	v := &discovery{o: o, resolver: &net.Resolver{}}
	v.o.Discover = nil
	if at := o.Discover.Resolver; at != "" {
		v.resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at)
		}}
	}
	return v
}

// discover begins to look; what before has found counts until this one knows better.
func (p *Pool) discover(ctx context.Context, before *Pool) {
	d, v := p.o.Discover, p.discovery
	if before != nil && before.discovery != nil && sameNames(before.o.Discover, d) {
		before.discovery.mu.Lock()
		v.found = before.discovery.found
		before.discovery.mu.Unlock()
		v.replace(before.discovery.current.Load(), v.found)
	}
	if v.current.Load() == nil {
		// Most names are known at once: a door that starts then refuses nobody.
		first, cancel := context.WithTimeout(ctx, firstLook)
		p.look(first)
		cancel()
	}
	p.wg.Go(func() {
		for {
			pause := d.Interval
			if v.failed() {
				pause = min(pause, lookSooner)
			}
			t := time.NewTimer(pause + time.Duration(rand.Int64N(int64(pause)/10+1)))
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return
			}
			next, cancel := context.WithTimeout(ctx, lookTime)
			p.look(next)
			cancel()
		}
	})
}

func sameNames(a, b *Discover) bool {
	x, y := *a, *b
	x.Interval, y.Interval = 0, 0
	return x == y
}

func (v *discovery) failed() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err != nil
}

// look asks DNS once, and takes up what has changed.
func (p *Pool) look(ctx context.Context) {
	v := p.discovery
	found, err := v.resolve(ctx, p.o.Discover, p.o.Template)
	if ctx.Err() != nil && context.Cause(ctx) == context.Canceled {
		return
	}
	v.mu.Lock()
	was, known := v.err, v.found
	v.err = err
	if err == nil {
		v.found = found
	}
	v.mu.Unlock()
	switch {
	case err != nil && (was == nil || was.Error() != err.Error()):
		p.log.Warn("the servers of a pool cannot be looked up; it goes on with those that it has", "pool", p.o.Name, "name", p.o.Discover.Name, "servers", len(known), "error", err)
	case err == nil && was != nil:
		p.log.Info("the servers of a pool can be looked up again", "pool", p.o.Name, "name", p.o.Discover.Name, "servers", len(found))
	}
	if err == nil && (v.current.Load() == nil || !slices.EqualFunc(known, found, sameServer)) {
		p.log.Info("the servers of a pool have changed", "pool", p.o.Name, "name", p.o.Discover.Name, "servers", len(found))
		v.replace(v.current.Load(), found)
	}
}

func sameServer(a, b Server) bool {
	return a.Address == b.Address && a.ServerName == b.ServerName && a.Weight == b.Weight && a.Backup == b.Backup
}

// replace puts a pool of what was found in the place of the one before.
func (v *discovery) replace(before *Pool, found []Server) {
	o := v.o
	o.Servers = append(slices.Clone(v.o.Servers), found...)
	if len(o.Servers) == 0 {
		return
	}
	next, err := build(o, before)
	if err != nil {
		return // the options are those of a pool that was made already
	}
	own := v.current.Swap(next)
	if own == nil {
		return // the one before is another pool's, which sees to it
	}
	own.Retire()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.old = append(slices.DeleteFunc(v.old, (*Pool).Closed), own)
}

// close closes the pools that were made.
func (v *discovery) close() {
	v.mu.Lock()
	all := v.old
	v.old = nil
	v.mu.Unlock()
	if p := v.current.Load(); p != nil {
		all = append(all, p)
	}
	for _, p := range all {
		p.Close()
	}
}

// unfound is the error of requests while nothing was found.
func (p *Pool) unfound() error {
	v := p.discovery
	v.mu.Lock()
	defer v.mu.Unlock()
	return &upstream.Error{Op: "queue", Address: p.o.Name, Err: errors.Join(ErrNoServer, v.err, upstream.ErrUnavailable)}
}

// found is the status of a pool that discovers.
func (p *Pool) found() []edge.UpstreamStatus {
	if c := p.discovery.current.Load(); c != nil {
		return c.Status()
	}
	return []edge.UpstreamStatus{{Pool: p.o.Name, Address: p.o.Discover.Name, State: "down", LastError: p.unfound().Error()}}
}

// resolve returns the servers that DNS has, in a fixed order.
func (v *discovery) resolve(ctx context.Context, d *Discover, template upstream.Options) (found []Server, err error) {
	if d.Type == "srv" {
		found, err = v.services(ctx, d, template)
	} else {
		found, err = v.addresses(ctx, Server{Options: template, Weight: 1}, d.Name, d.Port)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b Server) int { return strings.Compare(a.Address, b.Address) })
	found = slices.CompactFunc(found, func(a, b Server) bool { return a.Address == b.Address })
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("look up %s: an empty answer", d.Name)
	case len(found) > maxFound:
		return nil, fmt.Errorf("look up %s: %d servers, which is more than %d", d.Name, len(found), maxFound)
	}
	return found, nil
}

// addresses makes a server of each address that a host has.
func (v *discovery) addresses(ctx context.Context, s Server, host, port string) (found []Server, err error) {
	ips, err := v.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		s.Address = net.JoinHostPort(ip.Unmap().String(), port)
		if s.ServerName == "" {
			s.ServerName = strings.TrimSuffix(host, ".")
		}
		found = append(found, s)
	}
	return found, nil
}

// services makes servers of SRV records: those of the lowest priority, and the others
// as backups; weights in proportion (RFC 2782).
func (v *discovery) services(ctx context.Context, d *Discover, template upstream.Options) (found []Server, err error) {
	_, records, err := v.resolver.LookupSRV(ctx, "", "", d.Name)
	if err != nil {
		return nil, err
	}
	if len(records) > maxFound {
		return nil, fmt.Errorf("look up %s: %d records, which is more than %d", d.Name, len(records), maxFound)
	}
	first, most := uint16(65535), uint16(1)
	for _, r := range records {
		first, most = min(first, r.Priority), max(most, r.Weight)
	}
	var errs []error
	for _, r := range records {
		if r.Target == "." { // "decidedly not available"
			continue
		}
		s := Server{Options: template, Weight: max(1, int(r.Weight)*100/int(most)), Backup: r.Priority > first}
		port := strconv.Itoa(int(r.Port))
		if ip, err := netip.ParseAddr(strings.TrimSuffix(r.Target, ".")); err == nil {
			s.Address = net.JoinHostPort(ip.String(), port)
			found = append(found, s)
			continue
		}
		at, err := v.addresses(ctx, s, r.Target, port)
		found, errs = append(found, at...), append(errs, err)
	}
	if len(found) == 0 {
		return nil, errors.Join(errs...)
	}
	return found, nil
}

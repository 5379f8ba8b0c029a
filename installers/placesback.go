package installers

import (
	"context"
	"net"
	"slices"
)

// placesBack are where certificates have to be shown when it is done: the same ones as
// now where the checkpoints changed nothing, any where they did. What shows none now
// may go on like that.
func (u *run) placesBack(ctx context.Context, records []*record) {
	all := expectedBack(records)
	each(all, func(at *place) {
		at.before = probe(ctx, at.Endpoint, nil)
		if at.watch && at.before.err == nil {
			at.want, at.like = leafDigest(at.before.leaf), at.before.leaf
		}
	})
	u.places = slices.DeleteFunc(all, func(at *place) bool { return at.before.err != nil })
	for _, at := range u.places {
		u.record.Places = append(u.record.Places, placeBefore{at.Endpoint, at.watch})
	}
}

// expectedBack are the places of all checkpoints, the newest first, nil for those that
// certbot made. What a newer one found there may have come with an older one: a place
// counts only if each older one found it as well, or has nothing to do with its address.
func expectedBack(records []*record) []*place {
	var all []*place
	known := map[Endpoint]*place{}
	for _, r := range records {
		found := map[Endpoint]bool{}
		if r != nil {
			for _, b := range r.Places {
				found[b.Endpoint] = true
				at := known[b.Endpoint]
				if at == nil {
					at = &place{Endpoint: b.Endpoint, watch: b.Same}
					known[b.Endpoint], all = at, append(all, at)
				}
				at.watch, at.free = at.watch && b.Same, false
			}
		}
		for _, at := range all {
			if !found[at.Endpoint] && r.mayHaveOpened(at.Addr) {
				at.watch, at.free = false, true
			}
		}
	}
	return all
}

// mayHaveOpened reports whether a checkpoint was about an address. Of those that
// certbot made nobody knows.
func (r *record) mayHaveOpened(addr string) bool {
	return r == nil || slices.ContainsFunc(r.Looked, func(opened string) bool { return answers(opened, addr) })
}

// answers reports whether a server that binds to one address is reached at another one.
func answers(bound, addr string) bool {
	network, at := reachable(bound)
	if other, to := reachable(addr); other != network || at == to {
		return other == network
	}
	host, port, err := net.SplitHostPort(bound)
	_, other, oerr := net.SplitHostPort(addr)
	return err == nil && oerr == nil && port == other && slices.Contains([]string{"", "*", "0.0.0.0", "::"}, host)
}

package authenticator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"edge"
	"edge/acmeglue"
)

// DoorClient is the admin socket of a front door on this machine.
type DoorClient interface {
	// Listeners are the addresses that the door listens on, "[::]:80", without
	// TLS and with it. An error means that no door answers.
	Listeners(ctx context.Context) (http, https []string, err error)
	// PutChallenge has the door give an answer to a validating CA, RemoveChallenge
	// not any more.
	PutChallenge(ctx context.Context, a edge.Answer) error
	RemoveChallenge(ctx context.Context, a edge.Answer) error
}

// callTime bounds one call of the admin socket.
const callTime = 5 * time.Second

// Door has the front door of this machine answer: nothing is stopped, no port is
// bound. Safe for concurrent use.
type Door struct {
	client DoorClient
	types  []edge.ChallengeType

	mu  sync.Mutex
	put map[edge.Answer]int
}

// OpenDoor asks the door what it listens on. sni lets it do TLS-SNI-01, where
// that was asked for by name.
func OpenDoor(ctx context.Context, client DoorClient, sni bool) (*Door, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	plain, tls, err := client.Listeners(ctx)
	if err != nil {
		return nil, err
	}
	var types []edge.ChallengeType
	if len(plain) > 0 {
		types = append(types, edge.HTTP01)
	}
	if len(tls) > 0 {
		types = append(types, edge.TLSALPN01)
		if sni {
			types = append(types, edge.TLSSNI01)
		}
	}
	if len(types) == 0 {
		return nil, errors.New("the front door listens on no address that a CA could come to")
	}
	return newDoor(client, types), nil
}

func newDoor(client DoorClient, types []edge.ChallengeType) *Door {
	return &Door{client: client, types: types, put: map[edge.Answer]int{}}
}

// Name implements acmeglue.Authenticator.
func (d *Door) Name() string { return "edge" }

// Types implements acmeglue.Authenticator.
func (d *Door) Types() []edge.ChallengeType { return slices.Clone(d.types) }

// Present implements acmeglue.Authenticator.
func (d *Door) Present(ctx context.Context, batch []edge.Answer) error {
	for _, a := range batch {
		if !slices.Contains(d.types, a.Type) {
			return acmeglue.AnswerFailed(unable(d, a), a)
		}
		err := d.call(ctx, a, d.client.PutChallenge)
		if err != nil {
			return acmeglue.AnswerFailed(fmt.Errorf("the front door did not take the answer: %w", err), a)
		}
		d.mu.Lock()
		d.put[a]++
		d.mu.Unlock()
	}
	return nil
}

// Ready implements acmeglue.Authenticator: the door answers at once.
func (d *Door) Ready(context.Context, []edge.Answer) error { return nil }

// Cleanup implements acmeglue.Authenticator.
func (d *Door) Cleanup(ctx context.Context, batch []edge.Answer) error {
	var errs []error
	for _, a := range batch {
		d.mu.Lock()
		n := d.put[a]
		if n > 1 {
			d.put[a] = n - 1
		} else {
			delete(d.put, a)
		}
		d.mu.Unlock()
		if n == 0 {
			continue // it was not put, or not by us
		}
		if err := d.call(ctx, a, d.client.RemoveChallenge); err != nil {
			errs = append(errs, fmt.Errorf("the front door still answers %s for %s: %w", a.Type, a.Identifier, err))
		}
	}
	return errors.Join(errs...)
}

func (d *Door) call(ctx context.Context, a edge.Answer, f func(context.Context, edge.Answer) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return f(ctx, a)
}

// chosen is a Standalone on a machine that may have a door.
type chosen struct {
	*Standalone
	door *Door
}

// Choose answers through the front door what a CA comes to the door's ports for,
// and the rest on listeners of s. Which it is, is found out at each Present: where
// no door answers, s has it all. It is called standalone either way, as the
// lineages are that certbot obtained so.
func Choose(s *Standalone, client DoorClient) acmeglue.Authenticator {
	return &chosen{s, newDoor(client, s.Types())}
}

func (c *chosen) Present(ctx context.Context, batch []edge.Answer) error {
	plain, tls := c.listeners(ctx)
	own := slices.DeleteFunc(slices.Clone(batch), func(a edge.Answer) bool { return c.covered(a, plain, tls) })
	through := slices.DeleteFunc(slices.Clone(batch), func(a edge.Answer) bool { return !c.covered(a, plain, tls) })
	if err := c.Standalone.Present(ctx, own); err != nil {
		return err
	}
	return c.door.Present(ctx, through)
}

func (c *chosen) listeners(ctx context.Context) (plain, tls []string) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	plain, tls, err := c.door.client.Listeners(ctx)
	if err != nil {
		c.o.Log.Debug("no front door answers; own listeners are used", "error", err)
		return nil, nil
	}
	return plain, tls
}

func (c *chosen) covered(a edge.Answer, plain, tls []string) bool {
	key := c.at(a.Type)
	if key.tls {
		plain = tls
	}
	return slices.ContainsFunc(plain, func(address string) bool { return holds(address, key.Listen) })
}

// Cleanup takes back what either of them presented.
func (c *chosen) Cleanup(ctx context.Context, batch []edge.Answer) error {
	return errors.Join(c.Standalone.Cleanup(ctx, batch), c.door.Cleanup(ctx, batch))
}

// holds reports whether a listener of the door stands where a listener of our own
// would: on the same port, and on the same address or one of them on all.
func holds(address string, at Listen) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port != strconv.Itoa(at.Port) {
		return false
	}
	return isAll(host) || isAll(at.Address) || sameAddress(host, at.Address)
}

func isAll(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

func sameAddress(a, b string) bool {
	x, err := netip.ParseAddr(a)
	y, berr := netip.ParseAddr(b)
	if err != nil || berr != nil {
		return a == b
	}
	return x.Unmap() == y.Unmap()
}

package authenticator

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"edge"
	"edge/acmeglue"
)

// chosen is a Standalone on a machine that may have a door.
type chosen struct {
	*Standalone
	door     *Door
	patience time.Duration // with a door that died while it was needed
}

// Choose answers through the front door what a CA comes to the door's ports for,
// and the rest on listeners of s. Which it is, is found out at each Present: where
// no door answers, s has it all. It is called standalone either way, as the
// lineages are that certbot obtained so.
func Choose(s *Standalone, client DoorClient) acmeglue.Authenticator {
	return &chosen{s, newDoor(client, s.Types()), 2 * time.Second}
}

func (c *chosen) Present(ctx context.Context, batch []edge.Answer) error {
	plain, tls := c.listeners(ctx)
	own := slices.DeleteFunc(slices.Clone(batch), func(a edge.Answer) bool { return c.covered(a, plain, tls) })
	through := slices.DeleteFunc(slices.Clone(batch), func(a edge.Answer) bool { return !c.covered(a, plain, tls) })
	if err := c.Standalone.Present(ctx, own); err != nil {
		return err
	}
	return c.through(ctx, through)
}

// through presents by the door. Where that dies meanwhile, whoever looks after it
// has a moment to start it again: with its ports taken it could not. Then own
// listeners take over.
func (c *chosen) through(ctx context.Context, batch []edge.Answer) error {
	const pause = 100 * time.Millisecond
	for again, waited := false, time.Duration(0); ; waited += pause {
		err := c.door.Present(ctx, batch)
		dead := err != nil && c.door.dead(ctx)
		if err == nil || !dead && again || ctx.Err() != nil {
			return err
		}
		again = !dead // it may have come back just now
		_ = c.door.Cleanup(ctx, batch)
		if dead && waited >= c.patience {
			c.o.Log.Info("the front door has died; own listeners take over", "error", err)
			return c.Standalone.Present(ctx, batch)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// Ready sees to it that the door has not died since.
func (c *chosen) Ready(ctx context.Context, batch []edge.Answer) error {
	lost := c.door.held(batch)
	if len(lost) == 0 || !c.door.dead(ctx) {
		return nil
	}
	c.door.release(lost)
	return c.through(ctx, lost)
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

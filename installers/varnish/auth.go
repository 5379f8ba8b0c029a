package varnish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"edge"
	"edge/installers/target"
)

// Authenticator answers HTTP-01 in all nodes. Safe for concurrent use: batches that are
// there at the same time share a VCL.
type Authenticator struct {
	o     Options
	nodes []*node

	mu      sync.Mutex
	live    answers
	touched bool // something of ours may be in the nodes
	count   int  // of VCLs
}

var _ target.Authenticator = (*Authenticator)(nil)

// Name implements target.Authenticator.
func (a *Authenticator) Name() string { return "varnish" }

// Types implements target.Authenticator.
func (a *Authenticator) Types() []edge.ChallengeType { return []edge.ChallengeType{edge.HTTP01} }

// Present implements target.Authenticator: all nodes answer, or none does.
func (a *Authenticator) Present(ctx context.Context, batch []edge.Answer) error {
	for _, one := range batch {
		if err := check(one); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	all := maps.Clone(a.live)
	for _, one := range batch {
		all[one.Token] = one.KeyAuth
	}
	a.touched = true
	for i, n := range a.nodes {
		if err := n.bring(ctx, a.next(), all); err != nil {
			return errors.Join(err, a.back(ctx, a.nodes[:i+1]))
		}
	}
	a.live = all
	return nil
}

// next is the name of a VCL. Names of those that were discarded may be taken still.
func (a *Authenticator) next() string {
	a.count++
	return fmt.Sprintf("%s%x_%d", prefix, a.o.Now().UnixNano(), a.count)
}

// back brings nodes to what they answered before. That of the node that failed may fail
// too, for the same reason: it is told of once.
func (a *Authenticator) back(ctx context.Context, nodes []*node) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*a.o.Timeout)
	defer cancel()
	var errs []error
	for i, n := range nodes {
		if err := n.bring(ctx, a.next(), a.live); err != nil && i < len(nodes)-1 {
			errs = append(errs, fmt.Errorf("and it goes on answering: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Cleanup implements target.Authenticator. What cannot be taken away now, the next Present
// takes.
func (a *Authenticator) Cleanup(ctx context.Context, batch []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.touched {
		return nil
	}
	for _, one := range batch {
		delete(a.live, one.Token)
	}
	var errs []error
	for _, n := range a.nodes {
		errs = append(errs, n.bring(ctx, a.next(), a.live))
	}
	err := errors.Join(errs...)
	a.touched = len(a.live) > 0 || err != nil
	return err
}

// Ready implements target.Authenticator: Varnish itself is asked.
func (a *Authenticator) Ready(ctx context.Context, batch []edge.Answer) error {
	for _, n := range a.nodes {
		at, err := n.listens(ctx)
		if err != nil {
			return err
		}
		for _, one := range batch {
			if err := n.await(ctx, at, one); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	tries = 20
	pause = 250 * time.Millisecond // between them
)

// await asks until one of the addresses answers as a CA wants it; all of them, where they
// were named.
func (n *node) await(ctx context.Context, at []string, one edge.Answer) error {
	for try := 1; ; try++ {
		var errs []error
		for _, addr := range at {
			if err := n.get(ctx, addr, one); err != nil {
				errs = append(errs, err)
			}
		}
		if len(errs) == 0 || len(n.o.Listen) == 0 && len(errs) < len(at) {
			return nil
		}
		if try == tries || ctx.Err() != nil {
			return fmt.Errorf("varnish at %s does not answer the challenge for %s: %w; this has to be the first statement of sub vcl_recv of the active VCL: %s",
				n.addr, one.Identifier.Value, errors.Join(errs...), line)
		}
		if err := n.wait(ctx); err != nil {
			return err
		}
	}
}

func (n *node) wait(ctx context.Context) error {
	if n.o.Wait != nil {
		return n.o.Wait(ctx, pause)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

package authenticator

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		late, err := call(ctx, a, d.client.PutChallenge)
		if err == nil || late { // it may have come to the door all the same
			d.mu.Lock()
			d.put[a]++
			d.mu.Unlock()
		}
		if err != nil {
			return acmeglue.AnswerFailed(fmt.Errorf("the front door did not take the answer: %w", err), a)
		}
	}
	return nil
}

// Ready implements acmeglue.Authenticator: the door answers at once.
func (d *Door) Ready(context.Context, []edge.Answer) error { return nil }

// Cleanup implements acmeglue.Authenticator. A door that has died has taken its
// answers with it.
func (d *Door) Cleanup(ctx context.Context, batch []edge.Answer) error {
	var errs []error
	for _, a := range d.release(batch) {
		_, err := call(ctx, a, d.client.RemoveChallenge)
		switch {
		case err == nil:
		case d.dead(ctx):
			return errors.Join(errs...)
		default:
			errs = append(errs, fmt.Errorf("the front door still answers %s for %s: %w", a.Type, a.Identifier, err))
		}
	}
	return errors.Join(errs...)
}

// release lists those of a batch that the door has from us, and counts them as
// taken back.
func (d *Door) release(batch []edge.Answer) (put []edge.Answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range batch {
		n := d.put[a]
		if n > 1 {
			d.put[a] = n - 1
		} else {
			delete(d.put, a)
		}
		if n > 0 {
			put = append(put, a)
		}
	}
	return put
}

// held lists those of a batch that the door has from us.
func (d *Door) held(batch []edge.Answer) []edge.Answer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(batch), func(a edge.Answer) bool { return d.put[a] == 0 })
}

// dead reports whether no door answers; one that is slow is not dead.
func (d *Door) dead(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, _, err := d.client.Listeners(ctx)
	return err != nil && ctx.Err() == nil
}

// call is one call of the admin socket. late says that nobody knows whether it
// came to something.
func call(ctx context.Context, a edge.Answer, f func(context.Context, edge.Answer) error) (late bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err = f(ctx, a)
	return err != nil && ctx.Err() != nil, err
}

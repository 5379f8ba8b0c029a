package acmeglue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"edge"

	"golang.org/x/time/rate"
)

// caStates remembers, for each CA, how many orders it may still get and whether
// it could be reached. It outlives reloads.
type caStates struct {
	rate OrderRate
	now  func() time.Time

	mu sync.Mutex
	m  map[string]*caState
}

func (c *caStates) get(key string) *caState {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.m[key]
	if st == nil {
		st = &caState{now: c.now, orders: rate.NewLimiter(rate.Every(c.rate.Every), c.rate.Burst), every: c.rate.Every}
		c.m[key] = st
	}
	return st
}

// caState is one CA's. While the CA cannot be reached, one try at a time finds
// out whether it is back, and everybody else is told so at once: ten thousand
// due renewals do not each wait for a dead CA, nor does a client.
type caState struct {
	now    func() time.Time
	orders *rate.Limiter
	every  time.Duration

	mu       sync.Mutex
	missed   int // unreachable in a row
	retryAt  time.Time
	lastErr  error
	answered time.Time // the last time it was there
}

// Pauses between tries of a CA that cannot be reached.
const (
	firstOutagePause   = 5 * time.Second
	longestOutagePause = 5 * time.Minute
)

// down reports whether the CA is known not to answer.
func (c *caState) down() bool {
	_, reason, _ := c.closed()
	return reason == edge.ReasonConnection
}

// closed says why the CA should not be asked now, and until when.
func (c *caState) closed() (until time.Time, why edge.Reason, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.outLocked(now) {
		return c.retryAt, edge.ReasonConnection, fmt.Errorf("not asked before %s, since it could not be reached: %w",
			c.retryAt.UTC().Format(time.RFC3339), c.lastErr)
	}
	if missing := 1 - c.orders.TokensAt(now); missing > 0 {
		until = now.Add(max(time.Second, time.Duration(missing*float64(c.every))))
		return until, edge.ReasonRateLimited, errors.New("edge has sent this CA as many orders as it may for now")
	}
	return time.Time{}, "", nil
}

// outLocked reports whether the pause after an unanswered try lasts. One that
// is longer than it can be is of a clock that was set back.
func (c *caState) outLocked(now time.Time) bool {
	wait := c.retryAt.Sub(now)
	return c.missed > 0 && wait > 0 && wait <= longestOutagePause
}

// admit takes a token for one try. The first to come after an outage's pause is
// let through and makes the others wait for how that ends.
func (c *caState) admit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.outLocked(now) || !c.orders.AllowN(now, 1) {
		return false
	}
	if c.missed > 0 {
		c.retryAt = now.Add(c.pause())
	}
	return true
}

// Prober is a CA that can say in a moment whether it is there. An order for a
// client that waits in its handshake is only begun with a CA that is.
type Prober interface {
	Probe(ctx context.Context) error
}

// How long a client's handshake waits to learn that a CA is not there, and how
// long a CA that has answered is taken to be there.
const (
	probeTimeout = 2 * time.Second
	probeEvery   = 5 * time.Second
)

// probe finds out whether a CA is there, unless that is known.
func (c *caState) probe(ctx context.Context, ca CA) {
	p, ok := ca.(Prober)
	if !ok {
		return
	}
	c.mu.Lock()
	known := c.now().Sub(c.answered).Abs() < probeEvery || c.outLocked(c.now())
	c.mu.Unlock()
	if known {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := p.Probe(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = &net.OpError{Op: "probe", Net: "tcp", Err: err}
	}
	c.result(err)
}

// result notes how a try ended.
func (c *caState) result(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !unreachable(err) {
		c.missed, c.lastErr, c.answered = 0, nil, c.now()
		return
	}
	c.missed++
	c.lastErr = err
	c.retryAt = c.now().Add(c.pause())
}

func (c *caState) pause() time.Duration {
	return min(longestOutagePause, firstOutagePause<<min(c.missed, 10))
}

// unreachable reports whether err says that the CA gave no answer at all. A
// CA's complaint that it could not reach us is an answer.
func unreachable(err error) bool {
	if err == nil {
		return false
	}
	var ue *url.Error
	var ne *net.OpError
	return errors.As(err, &ue) || errors.As(err, &ne)
}

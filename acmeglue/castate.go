package acmeglue

import (
	"errors"
	"net"
	"net/url"
	"sync"
	"time"

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

	mu      sync.Mutex
	missed  int // unreachable in a row
	retryAt time.Time
	lastErr error
}

// Pauses between tries of a CA that cannot be reached.
const (
	firstOutagePause   = 5 * time.Second
	longestOutagePause = 5 * time.Minute
)

// order takes a token, or says how long to wait for one.
func (c *caState) order() (time.Duration, bool) {
	now := c.now()
	if c.orders.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - c.orders.TokensAt(now)
	return max(time.Second, time.Duration(missing*float64(c.every))), false
}

// down reports whether the CA is known not to answer.
func (c *caState) down() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.missed > 0 && c.now().Before(c.retryAt)
}

// admit lets a try through, unless the CA is known not to answer. The first to
// come after the pause is let through and makes the others wait on.
func (c *caState) admit() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.missed == 0 {
		return nil
	}
	wait := c.retryAt.Sub(now)
	if wait > 0 && wait <= longestOutagePause { // longer: the clock was set back
		return &outage{until: c.retryAt, err: c.lastErr}
	}
	c.retryAt = now.Add(c.pause())
	return nil
}

// result notes how a try ended.
func (c *caState) result(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !unreachable(err) {
		c.missed, c.lastErr = 0, nil
		return
	}
	c.missed++
	c.lastErr = err
	c.retryAt = c.now().Add(c.pause())
}

func (c *caState) pause() time.Duration {
	return min(longestOutagePause, firstOutagePause<<min(c.missed, 10))
}

// outage says that a CA was not asked, since it did not answer before.
type outage struct {
	until time.Time
	err   error
}

func (o *outage) Error() string {
	return "the CA is not asked again before " + o.until.UTC().Format(time.RFC3339) + ", since it could not be reached: " + o.err.Error()
}

func (o *outage) Unwrap() error { return o.err }

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

package target

import (
	"context"
	"time"

	"edge/installers/api"
	"edge/installers/delivery"
)

// Local makes a target of a server on this machine.
func (e *Env) Local(p delivery.Planner) *delivery.Local {
	return &delivery.Local{Planner: p, Runner: e.Runner, Lock: e.Lock, Verify: e.Verify, Within: e.Within}
}

// API fills in how a service is reached.
func (e *Env) API(o api.Options) (*api.Client, error) {
	o.Dial, o.Transport, o.Wait, o.Now = e.Dial, e.Transport, e.Wait, e.Now
	return api.New(o)
}

// Pause passes the time between two tries.
func (e *Env) Pause(ctx context.Context, d time.Duration) error {
	if e.Wait != nil {
		return e.Wait(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

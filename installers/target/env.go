package target

import (
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

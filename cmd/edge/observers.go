package main

import (
	"edge"
	"edge/proxy"
)

// observers hands each event of the data path to metrics and to the access log.
type observers struct {
	proxy.Observer
	access interface{ Request(*edge.RequestEvent) }
}

func (o observers) Request(e *edge.RequestEvent) {
	o.Observer.Request(e)
	o.access.Request(e)
}

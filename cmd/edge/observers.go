package main

import (
	"edge"
	"edge/internal/accesslog"
	"edge/internal/config"
	"edge/proxy"
)

// observers hands each event of the data path to metrics and to the logs.
type observers struct {
	proxy.Observer
	access interface{ Request(*edge.RequestEvent) }
	slow   *accesslog.Slow
}

func (o observers) Request(e *edge.RequestEvent) {
	o.Observer.Request(e)
	o.access.Request(e)
	o.slow.Request(e)
}

// accessOptions are those of the access log.
func accessOptions(a config.AccessLog) accesslog.Options {
	o := accesslog.Options{Path: a.Path, Format: a.Format, Sample: a.Sample, Sites: a.Only.Sites, Slower: a.Only.Slower, Query: a.Redact.Query, Hidden: a.Redact.Fields}
	for _, r := range a.Only.Status {
		o.Status = append(o.Status, [2]int{r.From, r.To})
	}
	return o
}

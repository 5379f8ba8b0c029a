package pool

import (
	"context"
	"errors"

	"edge"
	"edge/proxy/upstream"
)

// Pool is a set of upstream servers. Safe for concurrent use.
type Pool struct {
	o       Options
	servers []*upstream.Server
}

// New returns a pool. It connects when it is asked to; checks and lookups begin at once.
func New(o Options) (*Pool, error) {
	if len(o.Servers) == 0 {
		return nil, errors.New("pool " + o.Name + ": no server")
	}
	p := &Pool{o: o}
	for _, s := range o.Servers {
		p.servers = append(p.servers, upstream.New(s.Options))
	}
	return p, nil
}

// Of is a pool of one server with default options.
func Of(o upstream.Options) *Pool {
	p, err := New(Options{Name: o.Address, Servers: []Server{{Options: o}}})
	if err != nil {
		panic(err) // it has a server
	}
	return p
}

// RoundTrip sends a request to one of the servers, as upstream.Server.RoundTrip does.
func (p *Pool) RoundTrip(ctx context.Context, r *upstream.Request) (*upstream.Response, error) {
	return p.servers[0].RoundTrip(ctx, r)
}

// Status describes each server. Site is left to the caller.
func (p *Pool) Status() []edge.UpstreamStatus {
	out := make([]edge.UpstreamStatus, len(p.servers))
	for i, s := range p.servers {
		out[i] = s.Status()
		out[i].Pool = p.o.Name
	}
	return out
}

// Close ends checks and lookups, closes idle connections now and the others when
// their request is over.
func (p *Pool) Close() {
	for _, s := range p.servers {
		s.Close()
	}
}

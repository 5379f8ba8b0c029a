package pool

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"edge/proxy/upstream"
)

// RoundTrip sends a request to one of the servers, as upstream.Server.RoundTrip
// does, and to another where the first has failed and that is safe: nothing of
// the request was sent, or it may be repeated and nothing of an answer has come.
func (p *Pool) RoundTrip(ctx context.Context, r *upstream.Request) (*upstream.Response, error) {
	if p.single {
		return p.members[0].RoundTrip(ctx, r)
	}
	if p.discovery != nil {
		if found := p.discovery.current.Load(); found != nil {
			return found.RoundTrip(ctx, r)
		}
		return nil, p.unfound()
	}
	var end context.CancelFunc
	if p.o.Total > 0 {
		ctx, end = context.WithTimeout(ctx, p.o.Total)
	}
	res, err := p.tries(ctx, r)
	switch {
	case end == nil:
	case err != nil:
		end()
	case res.Upgraded != nil:
		res.Upgraded = &countedConn{Conn: res.Upgraded, put: end} // a tunnel has a time of its own
	default:
		res.Body = &endedBody{ReadCloser: res.Body, end: end}
	}
	return res, err
}

func (p *Pool) tries(ctx context.Context, r *upstream.Request) (*upstream.Response, error) {
	p.budget.deposit(p.o.Now())
	m, waited, err := p.take(ctx, r)
	if err != nil {
		return nil, err
	}
	var tried []*member
	for {
		res, err := m.RoundTrip(ctx, r)
		tried = append(tried, m)
		if err == nil && !p.unwell(res.Status) {
			p.succeeded(m)
		} else if ctx.Err() == nil && !clientsFault(err) {
			p.failed(m, err)
		}
		if next := p.another(ctx, r, res, err, tried); next != nil {
			if err == nil {
				_ = res.Body.Close()
			}
			p.put(m)
			m = next
			m.retries.Add(1)
			continue
		}
		if err != nil {
			p.put(m)
			return nil, err
		}
		res.Queued = waited
		res.Attempts = max(res.Attempts, len(tried))
		p.finish(res, m, r)
		return res, nil
	}
}

// clientsFault reports whether an error says nothing of the server: or clients could
// take servers out with bodies that they break off.
func clientsFault(err error) bool {
	ue, ok := errors.AsType[*upstream.Error](err)
	return ok && ue.Client
}

// another returns the server that a request is tried at next, counted in there, or nil:
// then the client gets what the last one brought. Nobody queues for a second try.
func (p *Pool) another(ctx context.Context, r *upstream.Request, res *upstream.Response, err error, tried []*member) *member {
	if ctx.Err() != nil || len(tried) >= p.o.Retry.Attempts || !p.repeatable(r, res, err) {
		return nil
	}
	m, perr := p.pick(r, tried)
	if perr != nil {
		return nil
	}
	if !p.budget.withdraw(p.o.Now(), p.o.Retry.Budget) {
		p.put(m)
		return nil
	}
	return m
}

// repeatable reports whether a request may be tried at another server after what
// one has made of it.
func (p *Pool) repeatable(r *upstream.Request, res *upstream.Response, err error) bool {
	if err == nil {
		return r.Replayable && r.Body == nil && res.Upgraded == nil && slices.Contains(p.o.Retry.Status, res.Status)
	}
	ue, ok := errors.AsType[*upstream.Error](err)
	switch {
	case !ok:
		return false
	case ue.Op == "connect":
		return true // a server that could not be reached has seen nothing
	case ue.Timeout:
		return false // one that was too slow has used up the time that there is for an answer
	}
	return r.Replayable && r.Body == nil && !ue.Malformed
}

// unwell are the answers that count as failures of a server.
func (p *Pool) unwell(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// finish hands the answer over: the server is busy until its body is closed.
func (p *Pool) finish(res *upstream.Response, m *member, r *upstream.Request) {
	if s := p.o.Sticky; s != nil {
		if v := s.value(m.address); v != r.Sticky {
			res.SetSticky = s.cookie(v)
		}
	}
	if res.Upgraded != nil {
		res.Upgraded = &countedConn{Conn: res.Upgraded, put: sync.OnceFunc(func() { p.put(m) })}
		return
	}
	if res.Body == nil {
		res.Body = http.NoBody
	}
	res.Body = &countedBody{ReadCloser: res.Body, put: sync.OnceFunc(func() { p.put(m) })}
}

package pool

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"edge/proxy/upstream"
)

// ErrBusy is wrapped by errors of requests that found no room.
var ErrBusy = errors.New("every server has as many requests as it may have")

// ErrNoServer is wrapped by errors of requests while all servers are out.
var ErrNoServer = errors.New("no server is well")

// take chooses a server and counts the request in, waiting for room where there
// is none, behind those that wait already.
func (p *Pool) take(ctx context.Context, r *upstream.Request) (*member, time.Duration, error) {
	if ctx.Err() != nil {
		return nil, 0, p.gaveUp(ctx) // nobody waits for an answer any more
	}
	if p.queue.len() == 0 {
		if m, err := p.pick(r, nil); !errors.Is(err, ErrBusy) {
			return m, 0, err
		}
	}
	start := time.Now()
	w := p.queue.join(p.o.Queue)
	if w == nil {
		return nil, 0, p.unavailable(ErrBusy)
	}
	defer p.queue.leave(w)
	timeout := time.NewTimer(p.o.QueueTimeout)
	defer timeout.Stop()
	for {
		select {
		case <-w.turn:
			if m, err := p.pick(r, nil); !errors.Is(err, ErrBusy) {
				return m, time.Since(start), err
			}
			p.queue.pass(w)
		case <-timeout.C:
			return nil, time.Since(start), p.unavailable(ErrBusy)
		case <-ctx.Done():
			return nil, time.Since(start), p.gaveUp(ctx)
		}
	}
}

func (p *Pool) gaveUp(ctx context.Context) error {
	return &upstream.Error{Op: "queue", Address: p.o.Name, Timeout: errors.Is(ctx.Err(), context.DeadlineExceeded), Err: ctx.Err()}
}

func (p *Pool) unavailable(cause error) error {
	return &upstream.Error{Op: "queue", Address: p.o.Name, Err: errors.Join(cause, upstream.ErrUnavailable)}
}

// pick chooses among the servers that may have the request: those that are well,
// else those that are only ejected, since a guess is better than a certain
// failure; backups where no other is left; the client's own server first.
func (p *Pool) pick(r *upstream.Request, tried []*member) (*member, error) {
	now := p.o.Now()
	for _, lenient := range []bool{false, true} {
		for _, backup := range []bool{false, true} {
			fit := p.fit(now, lenient, backup, tried)
			if len(fit) == 0 {
				continue
			}
			m, ok := p.enter(fit, r, now)
			if !ok {
				return nil, ErrBusy
			}
			return m, nil
		}
	}
	return nil, p.unavailable(ErrNoServer)
}

// fit lists the servers that may be asked.
func (p *Pool) fit(now time.Time, lenient, backup bool, tried []*member) []*member {
	fit := make([]*member, 0, len(p.members))
	for _, m := range p.members {
		if m.backup == backup && !m.down.Load() && (lenient || !m.ejected(now)) && !slices.Contains(tried, m) {
			fit = append(fit, m)
		}
	}
	return fit
}

// enter counts the request in at one of fit that has room.
func (p *Pool) enter(fit []*member, r *upstream.Request, now time.Time) (*member, bool) {
	if s := p.o.Sticky; s != nil && r.Sticky != "" {
		for _, m := range fit {
			if s.is(r.Sticky, m.address) && p.room(m) {
				return m, true
			}
		}
	}
	var late []*member // that start slowly, and are left out this time if others have room
	for len(fit) > 0 {
		m := p.choose(fit, r.HashKey)
		if admitted := p.admitted(m, now); admitted && p.room(m) {
			return m, true
		} else if !admitted {
			late = append(late, m)
		}
		fit = slices.DeleteFunc(fit, func(f *member) bool { return f == m })
	}
	for _, m := range late {
		if p.room(m) {
			return m, true
		}
	}
	return nil, false
}

// room counts a request in where the server may have it.
func (p *Pool) room(m *member) bool {
	if n := m.load.Add(1); p.o.MaxConnections > 0 && n > int64(p.o.MaxConnections) {
		m.load.Add(-1)
		return false
	}
	return true
}

// put counts a request out.
func (p *Pool) put(m *member) {
	m.load.Add(-1)
	p.queue.wake(1)
}

// countedBody counts the request out when the answer is closed.
type countedBody struct {
	io.ReadCloser
	put func()
}

func (b *countedBody) Close() error {
	defer b.put()
	return b.ReadCloser.Close()
}

// endedBody ends the time of the whole request.
type endedBody struct {
	io.ReadCloser
	end context.CancelFunc
}

func (b *endedBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// countedConn is a countedBody for tunnels.
type countedConn struct {
	net.Conn
	put func()
}

func (c *countedConn) Close() error {
	defer c.put()
	return c.Conn.Close()
}

// CloseWrite passes the end of one direction on.
func (c *countedConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

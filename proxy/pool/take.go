package pool

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"edge/proxy/upstream"
)

// ErrBusy is wrapped by errors of requests that found no room.
var ErrBusy = errors.New("every server has as many requests as it may have")

// ErrNoServer is wrapped by errors of requests while all servers are out.
var ErrNoServer = errors.New("no server is well")

// take chooses a server and counts the request in, waiting for room where there
// is none.
func (p *Pool) take(ctx context.Context, r *upstream.Request, tried []*member) (*member, time.Duration, error) {
	if ctx.Err() != nil {
		return nil, 0, p.gaveUp(ctx) // nobody waits for an answer any more
	}
	m, err := p.pick(r, tried)
	if !errors.Is(err, ErrBusy) {
		return m, 0, err
	}
	start := time.Now()
	timeout := time.NewTimer(p.o.QueueTimeout)
	defer timeout.Stop()
	turn, ok := p.queue.join()
	if !ok {
		return nil, 0, p.unavailable(ErrBusy)
	}
	for {
		if m, err = p.pick(r, tried); !errors.Is(err, ErrBusy) {
			p.queue.leave(turn)
			return m, time.Since(start), err
		}
		select {
		case <-turn:
			turn = p.queue.again()
		case <-timeout.C:
			p.queue.leave(turn)
			return nil, time.Since(start), p.unavailable(ErrBusy)
		case <-ctx.Done():
			p.queue.leave(turn)
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
	for len(fit) > 0 {
		m := p.choose(fit, r.HashKey)
		others := len(fit) > 1
		if (!others || p.admitted(m, now)) && p.room(m) {
			return m, true
		}
		fit = slices.DeleteFunc(fit, func(f *member) bool { return f == m })
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
	p.queue.wake()
}

// queue lines requests up that wait for room: first come, first served.
type queue struct {
	most int
	mu   sync.Mutex
	line []chan struct{}
}

func (q *queue) join() (chan struct{}, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.line) >= q.most {
		return nil, false
	}
	turn := make(chan struct{})
	q.line = append(q.line, turn)
	return turn, true
}

// again puts who was woken in vain back to the front.
func (q *queue) again() chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	turn := make(chan struct{})
	q.line = slices.Insert(q.line, 0, turn)
	return turn
}

// leave takes who waits no longer out of the line. Who had just been woken passes
// its turn on.
func (q *queue) leave(turn chan struct{}) {
	q.mu.Lock()
	i := slices.Index(q.line, turn)
	if i >= 0 {
		q.line = slices.Delete(q.line, i, i+1)
	}
	q.mu.Unlock()
	if i < 0 {
		q.wake()
	}
}

func (q *queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.line) > 0 {
		close(q.line[0])
		q.line = q.line[1:]
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.line)
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

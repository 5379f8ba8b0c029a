package pool

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"edge/proxy/upstream"
)

func (h Health) withDefaults() Health {
	def(&h.Type, "http")
	def(&h.Path, "/")
	def(&h.Interval, 10*time.Second)
	def(&h.Timeout, 5*time.Second)
	def(&h.Rise, 2)
	def(&h.Fall, 3)
	return h
}

// watch checks every server, each in a goroutine that ends with ctx.
func (p *Pool) watch(ctx context.Context) {
	h := p.o.Health.withDefaults()
	for _, m := range p.members {
		p.wg.Go(func() { p.checks(ctx, &h, m) })
	}
}

// checks looks at one server again and again. The first look decides at once, so
// that a server that is down at the start gets no requests; later ones take Rise
// or Fall in a row.
func (p *Pool) checks(ctx context.Context, h *Health, m *member) {
	good, bad := h.Rise-1, h.Fall-1
	if m.known {
		good, bad = 0, 0
	}
	for {
		err := p.check(ctx, h, m)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			good, bad = good+1, 0
		} else {
			good, bad = 0, bad+1
		}
		switch down := m.down.Load(); {
		case down && good >= h.Rise:
			m.mu.Lock()
			m.since, m.failures, m.until = p.o.Now(), 0, time.Time{}
			m.mu.Unlock()
			m.down.Store(false)
			p.queue.wake(max(1, p.o.MaxConnections))
			p.log.Info("an upstream server is well again", "pool", p.o.Name, "upstream", m.address)
		case !down && bad >= h.Fall:
			m.down.Store(true)
			p.log.Warn("an upstream server is down: it gets no requests until its checks succeed", "pool", p.o.Name, "upstream", m.address, "error", err)
		}
		// Not all pools look at the same moment.
		pause := time.NewTimer(h.Interval + time.Duration(rand.Int64N(int64(h.Interval)/10+1)))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// check looks at a server once.
func (p *Pool) check(ctx context.Context, h *Health, m *member) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	if h.Type == "tcp" {
		return m.Server.Connect(ctx)
	}
	host := h.Host
	if host == "" {
		host = m.Server.Host()
	}
	if h.Type == "grpc" {
		return checkGRPC(ctx, m.Server, host, strings.TrimPrefix(h.Path, "/"))
	}
	res, err := m.Server.RoundTrip(ctx, &upstream.Request{Method: http.MethodGet, Target: h.Path, Host: host, Replayable: true})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)); err != nil {
		return err
	}
	if well := len(h.Status) == 0 && res.Status >= 200 && res.Status < 400 || slices.Contains(h.Status, res.Status); !well {
		return fmt.Errorf("status %d", res.Status)
	}
	return nil
}

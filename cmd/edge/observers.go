package main

import (
	"log/slog"
	"reflect"
	"sync"

	"edge"
	"edge/internal/accesslog"
	"edge/internal/config"
	"edge/internal/otlp"
	"edge/proxy"
)

// observers hands each event of the data path to metrics and to the logs.
type observers struct {
	proxy.Observer
	access interface{ Request(*edge.RequestEvent) }
	slow   *accesslog.Slow
	spans  *spans
}

func (o observers) Request(e *edge.RequestEvent) {
	o.Observer.Request(e)
	o.access.Request(e)
	o.slow.Request(e)
	o.spans.Request(e)
}

// accessOptions are those of the access log.
func accessOptions(a config.AccessLog) accesslog.Options {
	o := accesslog.Options{Path: a.Path, Format: a.Format, Sample: a.Sample, Sites: a.Only.Sites, Slower: a.Only.Slower, Query: a.Redact.Query, Hidden: a.Redact.Fields}
	for _, r := range a.Only.Status {
		o.Status = append(o.Status, [2]int{r.From, r.To})
	}
	return o
}

// tracing is the part of requests that begin a trace; nil: no spans are made.
func tracing(t config.Tracing) *float64 {
	if t.OTLP == "" {
		return nil
	}
	return &t.Sample
}

// spans is the exporter of spans that is in force, if any. A reload may exchange it.
type spans struct {
	mu      sync.RWMutex
	now     *otlp.Exporter // nil: none
	tracing config.Tracing
}

// Request takes a finished request.
func (s *spans) Request(e *edge.RequestEvent) {
	if !e.Sampled {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.now != nil {
		s.now.Request(e)
	}
}

// set puts a configuration in force.
func (s *spans) set(t config.Tracing, log *slog.Logger) {
	s.mu.Lock()
	if reflect.DeepEqual(s.tracing, t) {
		s.mu.Unlock()
		return
	}
	old := s.now
	s.tracing, s.now = t, nil
	if t.OTLP != "" {
		s.now = otlp.New(otlp.Options{URL: t.OTLP, Headers: t.Headers, Version: version, Log: log.With("component", "tracing")})
	}
	s.mu.Unlock()
	if old != nil {
		go old.Close() // a collector that hangs must not hold up a reload
	}
}

func (s *spans) close() {
	s.mu.Lock()
	old := s.now
	s.now = nil
	s.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

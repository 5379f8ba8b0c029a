package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"edge"
	"edge/internal/config"
)

// A reload begins, moves and ends the export of spans.
func TestSpansFollowTheConfiguration(t *testing.T) {
	collect := func(into chan string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			if !json.Valid(b) {
				t.Errorf("%q", b)
			}
			into <- r.Header.Get("X-Key")
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	first, second := make(chan string, 9), make(chan string, 9)
	s := new(spans)
	ev := &edge.RequestEvent{Sampled: true, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7", Start: time.Now()}
	s.Request(ev) // nobody is interested
	a := config.Tracing{OTLP: collect(first), Sample: 0.5, Headers: map[string]string{"X-Key": "secret"}}
	s.set(a, slog.New(slog.DiscardHandler))
	s.Request(ev)
	s.set(a, slog.New(slog.DiscardHandler)) // the same: nothing happens
	s.set(config.Tracing{OTLP: collect(second)}, slog.New(slog.DiscardHandler))
	if got := <-first; got != "secret" {
		t.Errorf("header %q", got)
	}
	s.Request(ev)
	s.close()
	if len(second) != 1 || len(first) != 0 {
		t.Errorf("%d and %d batches", len(first), len(second))
	}
	if tracing(config.Tracing{}) != nil || *tracing(a) != 0.5 {
		t.Error("sample")
	}
}

// Package otlp sends spans of requests to an OpenTelemetry collector: OTLP over
// HTTP in its JSON form (opentelemetry.io/docs/specs/otlp), without an SDK. It
// never makes a request wait: what the collector does not take is dropped and
// counted.
package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"edge"
)

// Options describe an Exporter. Zero durations and numbers mean the default in
// the comment.
type Options struct {
	URL       string            // of the collector; /v1/traces is added
	Headers   map[string]string // secret
	Version   string            // of edge
	Instance  string            // service.instance.id; "": none
	Log       *slog.Logger
	Every     time.Duration     // 5 s between two batches
	Batch     int               // 512 spans at most in one
	Queue     int               // 4096 spans that wait; more are dropped
	Timeout   time.Duration     // 10 s for a batch
	Transport http.RoundTripper // nil: the default
}

// Exporter is an observer of requests. Safe for concurrent use. Close it.
type Exporter struct {
	o       Options
	client  *http.Client
	spans   chan span
	done    chan struct{}
	stop    context.CancelFunc
	once    sync.Once
	dropped atomic.Uint64
	failing bool // of the goroutine: the last batch was not taken
}

// New starts an exporter.
func New(o Options) *Exporter {
	def(&o.Every, 5*time.Second)
	def(&o.Timeout, 10*time.Second)
	def(&o.Batch, 512)
	def(&o.Queue, 4096)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &Exporter{o: o, spans: make(chan span, o.Queue), done: make(chan struct{}), stop: stop, client: &http.Client{Transport: o.Transport, Timeout: o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	go e.run(ctx)
	return e
}

func def[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Dropped returns how many spans were lost.
func (e *Exporter) Dropped() uint64 { return e.dropped.Load() }

// Request takes a finished request, if its trace is sampled.
func (e *Exporter) Request(ev *edge.RequestEvent) {
	if !ev.Sampled || ev.TraceID == "" || ev.SpanID == "" {
		return
	}
	select {
	case e.spans <- spanOf(ev):
	default:
		e.dropped.Add(1)
	}
}

// Close sends what waits, as far as the collector takes it, and ends.
func (e *Exporter) Close() {
	e.once.Do(func() {
		e.stop()
		<-e.done
		e.client.CloseIdleConnections()
	})
}

func (e *Exporter) run(ctx context.Context) {
	defer close(e.done)
	tick := time.NewTicker(e.o.Every)
	defer tick.Stop()
	var batch []span
	flush := func() {
		if len(batch) > 0 {
			e.send(batch)
			batch = batch[:0]
		}
	}
	for {
		select {
		case s := <-e.spans:
			if batch = append(batch, s); len(batch) >= e.o.Batch {
				flush()
			}
		case <-tick.C:
			flush()
		case <-ctx.Done():
			for len(e.spans) > 0 && !e.failing {
				if batch = append(batch, <-e.spans); len(batch) >= e.o.Batch {
					flush()
				}
			}
			flush()
			e.dropped.Add(uint64(len(e.spans)))
			return
		}
	}
}

// send posts a batch, and once more where the collector is only busy.
func (e *Exporter) send(batch []span) {
	body, err := json.Marshal(e.document(batch))
	if err != nil {
		panic(err) // it holds strings and numbers
	}
	again, err := e.post(body)
	if again {
		_, err = e.post(body)
	}
	if err != nil {
		e.dropped.Add(uint64(len(batch)))
		if !e.failing { // once, not for every batch of an outage
			e.o.Log.Warn("the collector takes no spans; they are dropped until it does", "collector", e.o.URL, "error", err)
		}
	}
	e.failing = err != nil
}

func (e *Exporter) post(body []byte) (again bool, err error) {
	req, err := http.NewRequest(http.MethodPost, strings.TrimSuffix(e.o.URL, "/")+"/v1/traces", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range e.o.Headers {
		req.Header.Set(k, v)
	}
	res, err := e.client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	switch {
	case res.StatusCode/100 == 2:
		return false, nil
	case res.StatusCode == 429 || res.StatusCode >= 502 && res.StatusCode <= 504:
		return true, fmt.Errorf("the collector answered %s", res.Status)
	}
	return false, fmt.Errorf("the collector answered %s", res.Status)
}

// The names of the JSON form of OTLP: IDs are hexadecimal, 64-bit numbers are text.
type (
	document struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resource     `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resource struct {
		Attributes []attribute `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope  `json:"scope"`
		Spans []span `json:"spans"`
	}
	scope struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	span struct {
		TraceID    string      `json:"traceId"`
		SpanID     string      `json:"spanId"`
		ParentID   string      `json:"parentSpanId,omitempty"`
		Name       string      `json:"name"`
		Kind       int         `json:"kind"` // 2: server
		Start      string      `json:"startTimeUnixNano"`
		End        string      `json:"endTimeUnixNano"`
		Attributes []attribute `json:"attributes"`
		Status     *status     `json:"status,omitempty"`
	}
	status struct {
		Code    int    `json:"code"` // 2: error
		Message string `json:"message,omitempty"`
	}
	attribute struct {
		Key   string `json:"key"`
		Value value  `json:"value"`
	}
	value struct {
		String *string `json:"stringValue,omitempty"`
		Int    *string `json:"intValue,omitempty"`
	}
)

func text(key, v string) attribute { return attribute{key, value{String: &v}} }

func number(key string, v int64) attribute {
	s := strconv.FormatInt(v, 10)
	return attribute{key, value{Int: &s}}
}

func (e *Exporter) document(batch []span) document {
	attrs := []attribute{text("service.name", "edge"), text("service.version", e.o.Version)}
	if e.o.Instance != "" {
		attrs = append(attrs, text("service.instance.id", e.o.Instance))
	}
	return document{[]resourceSpans{{resource{attrs}, []scopeSpans{{scope{"edge", e.o.Version}, batch}}}}}
}

// spanOf follows OpenTelemetry's conventions for HTTP servers. The query is left
// out: it may carry secrets.
func spanOf(e *edge.RequestEvent) span {
	name := e.Method
	if e.Route != "" {
		name += " " + e.Route
	}
	s := span{TraceID: e.TraceID, SpanID: e.SpanID, ParentID: e.ParentID, Name: clean(name), Kind: 2,
		Start: strconv.FormatInt(e.Start.UnixNano(), 10), End: strconv.FormatInt(e.Start.Add(e.Duration).UnixNano(), 10)}
	add := func(key, v string) {
		if v != "" {
			s.Attributes = append(s.Attributes, text(key, clean(v)))
		}
	}
	add("http.request.method", e.Method)
	add("url.scheme", e.Scheme)
	add("url.path", e.Path)
	add("server.address", e.Host)
	add("http.route", e.Route)
	add("network.protocol.version", strings.TrimPrefix(e.Proto, "HTTP/"))
	add("user_agent.original", e.UserAgent)
	if e.Client.IsValid() {
		add("client.address", e.Client.String())
	}
	s.Attributes = append(s.Attributes, number("http.response.status_code", int64(e.Status)), number("http.response.body.size", e.BytesOut), number("http.request.body.size", e.BytesIn))
	add("edge.site", e.Site)
	add("edge.request_id", e.RequestID)
	add("edge.decision", e.Decision)
	add("edge.limited", e.Limited)
	add("edge.upstream", e.Upstream)
	if e.Upstream != "" {
		s.Attributes = append(s.Attributes, number("edge.upstream.status_code", int64(e.UpstreamStatus)), number("edge.upstream.attempts", int64(e.Attempts)),
			number("edge.upstream.header_us", e.UpstreamDuration.Microseconds()))
	}
	if e.Status >= 500 {
		s.Status = &status{Code: 2}
		if e.Err != nil {
			s.Status.Message = clean(e.Err.Error())
		}
	}
	return s
}

// clean keeps what clients sent to text of a length that anybody can bear.
func clean(s string) string {
	const most = 512
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

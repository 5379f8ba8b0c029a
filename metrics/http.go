package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"edge"
)

// httpMetrics count requests. Every label is from a closed set or from the
// configuration: what clients send cannot make series.
type httpMetrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	in, out   *prometheus.CounterVec
	upstream  *prometheus.CounterVec
	upstreamT *prometheus.HistogramVec
	routes    *prometheus.CounterVec
	limited   *prometheus.CounterVec
	encoded   *prometheus.CounterVec
	queued    *prometheus.HistogramVec

	mu       sync.RWMutex
	children map[requestKey]*requestChild
}

// requestKey is what the labels of one request are made from.
type requestKey struct {
	site, route, method, proto, upstream string
	status, upstreamStatus               uint16
	proxied                              bool
}

// requestChild has the series of a key, looked up once.
type requestChild struct {
	requests, in, out prometheus.Counter
	route             prometheus.Counter // nil without one
	duration          prometheus.Observer
	upstream          prometheus.Counter
	upstreamT         prometheus.Observer
}

var durations = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func newHTTPMetrics(r register) *httpMetrics {
	m := &httpMetrics{
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_http_requests_total", Help: "Requests by configured site (_other: none), method, status code and protocol."}, []string{"site", "method", "code", "proto"}),
		duration:  prometheus.NewHistogramVec(histogram("edge_http_request_duration_seconds", "From the head of a request to the last byte of its answer.", durations), []string{"site", "proto"}),
		in:        prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_http_request_body_bytes_total", Help: "Bytes of request bodies."}, []string{"site"}),
		out:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_http_response_body_bytes_total", Help: "Bytes of response bodies."}, []string{"site"}),
		upstream:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_upstream_requests_total", Help: "Requests passed on, by site, upstream and its status code (0: no answer)."}, []string{"site", "upstream", "code"}),
		upstreamT: prometheus.NewHistogramVec(histogram("edge_upstream_request_duration_seconds", "Until the header of the upstream's answer.", durations), []string{"site", "upstream"}),
		routes:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_http_route_requests_total", Help: "Requests by site, route and status code, of sites that have routes with a name or a path."}, []string{"site", "route", "code"}),
		limited:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_http_limited_total", Help: "Requests that a limit refused, by site and limit."}, []string{"site", "limit"}),
		encoded:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_http_compressed_total", Help: "Answers that edge compressed, by site and encoding."}, []string{"site", "encoding"}),
		queued:    prometheus.NewHistogramVec(histogram("edge_upstream_queue_duration_seconds", "Time that requests waited for a server with room, of those that did.", durations), []string{"pool"}),
		children:  map[requestKey]*requestChild{},
	}
	r.MustRegister(m.routes, m.limited, m.encoded, m.queued)
	r.MustRegister(m.requests, m.duration, m.in, m.out, m.upstream, m.upstreamT)
	return m
}

// Request implements proxy.Observer.
func (m *Metrics) Request(e *edge.RequestEvent) {
	c := m.http.child(requestKey{e.Site, e.Route, method(e.Method), protocol(e.Proto), e.Upstream, clampStatus(e.Status), clampStatus(e.UpstreamStatus), e.Decision == "proxy"})
	c.requests.Inc()
	c.duration.Observe(e.Duration.Seconds())
	if e.BytesIn > 0 {
		c.in.Add(float64(e.BytesIn))
	}
	if e.BytesOut > 0 {
		c.out.Add(float64(e.BytesOut))
	}
	if c.route != nil {
		c.route.Inc()
	}
	if e.Limited != "" {
		m.http.limited.WithLabelValues(e.Site, e.Limited).Inc()
	}
	if e.Encoding != "" {
		m.http.encoded.WithLabelValues(e.Site, e.Encoding).Inc()
	}
	if e.QueueTime > 0 {
		m.http.queued.WithLabelValues(e.Pool).Observe(e.QueueTime.Seconds())
	}
	if c.upstream != nil {
		c.upstream.Inc()
		if e.UpstreamStatus != 0 {
			c.upstreamT.Observe(e.UpstreamDuration.Seconds())
		}
	}
}

// maxChildren bounds the memory of looked-up series. The sites, methods, codes,
// protocols and upstreams of a real configuration stay far below.
const maxChildren = 10000

func (h *httpMetrics) child(k requestKey) *requestChild {
	h.mu.RLock()
	c := h.children[k]
	h.mu.RUnlock()
	if c != nil {
		return c
	}
	c = &requestChild{
		requests: h.requests.WithLabelValues(k.site, k.method, code(k.status), k.proto),
		in:       h.in.WithLabelValues(k.site), out: h.out.WithLabelValues(k.site),
		duration: h.duration.WithLabelValues(k.site, k.proto),
	}
	if k.route != "" {
		c.route = h.routes.WithLabelValues(k.site, k.route, code(k.status))
	}
	if k.proxied {
		up := k.upstream
		if up == "" {
			up = "none"
		}
		c.upstream = h.upstream.WithLabelValues(k.site, up, code(k.upstreamStatus))
		c.upstreamT = h.upstreamT.WithLabelValues(k.site, up)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.children) < maxChildren {
		h.children[k] = c
	}
	return c
}

func method(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return m
	}
	return "other"
}

func protocol(p string) string {
	switch p {
	case "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0":
		return p
	}
	return "other"
}

func clampStatus(s int) uint16 {
	if s < 100 || s > 599 {
		return 0
	}
	return uint16(s)
}

func code(s uint16) string {
	if s == 0 {
		return "0"
	}
	return string([]byte{byte('0' + s/100), byte('0' + s/10%10), byte('0' + s%10)})
}

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"edge"
)

type acmeMetrics struct {
	orders    *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	success   *prometheus.GaugeVec
	requests  *prometheus.CounterVec
	decisions *prometheus.CounterVec
	asked     prometheus.Histogram
}

func newACMEMetrics(r register) acmeMetrics {
	m := acmeMetrics{
		orders:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_acme_orders_total", Help: "Attempts to obtain or renew a certificate, by CA, challenge, result and reason of failure."}, []string{"ca", "challenge", "result", "reason"}),
		duration:  prometheus.NewHistogramVec(histogram("edge_acme_order_duration_seconds", "Of attempts to obtain or renew a certificate.", []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}), []string{"ca", "challenge"}),
		success:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "edge_acme_last_success_timestamp_seconds", Help: "When the CA issued a certificate last."}, []string{"ca"}),
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_acme_requests_total", Help: "HTTP requests to the CA by its status code (0: no answer)."}, []string{"ca", "code"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_ondemand_decisions_total", Help: "Decisions on whether a name may have a certificate."}, []string{"decision"}),
		asked:     prometheus.NewHistogram(histogram("edge_ondemand_ask_duration_seconds", "Time that the permission endpoint took.", durations)),
	}
	for _, d := range []string{"allow", "deny", "error", "cached_allow", "cached_deny", "throttled"} {
		m.decisions.WithLabelValues(d)
	}
	r.MustRegister(m.orders, m.duration, m.success, m.requests, m.decisions, m.asked)
	return m
}

// Order implements acmeglue.Observer.
func (m *Metrics) Order(e *edge.OrderEvent) {
	result, reason := "success", "none"
	if e.Err != nil || e.Reason != "" {
		if result, reason = "failure", string(e.Reason); reason == "" {
			reason = string(edge.ReasonServer)
		}
	}
	challenge := string(e.Challenge)
	if challenge == "" {
		challenge = "none"
	}
	m.acme.orders.WithLabelValues(e.CA, challenge, result, reason).Inc()
	m.acme.duration.WithLabelValues(e.CA, challenge).Observe(e.Duration.Seconds())
	if result == "success" {
		m.acme.success.WithLabelValues(e.CA).SetToCurrentTime()
	}
}

// ACMERequest implements acmeglue.RequestObserver.
func (m *Metrics) ACMERequest(e *edge.ACMERequestEvent) {
	m.acme.requests.WithLabelValues(e.CA, code(clampStatus(e.Status))).Inc()
}

// OnDemand implements acmeglue.Observer.
func (m *Metrics) OnDemand(e *edge.OnDemandEvent) {
	m.acme.decisions.WithLabelValues(e.Decision).Inc()
	if e.Asked > 0 {
		m.acme.asked.Observe(e.Asked.Seconds())
	}
}

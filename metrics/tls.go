package metrics

import (
	"crypto/tls"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"edge"
)

type tlsMetrics struct {
	handshakes  *prometheus.CounterVec
	duration    prometheus.Histogram
	challenges  *prometheus.CounterVec
	connections *prometheus.GaugeVec
	refused     *prometheus.CounterVec
}

func newTLSMetrics(r register) tlsMetrics {
	m := tlsMetrics{
		handshakes:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_tls_handshakes_total", Help: "TLS handshakes by version, ALPN protocol, resumption and result."}, []string{"version", "alpn", "resumed", "result"}),
		duration:    prometheus.NewHistogram(histogram("edge_tls_handshake_duration_seconds", "Of handshakes that succeeded, a certificate obtained meanwhile included.", durations)),
		challenges:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_challenge_responses_total", Help: "Validations by CAs, by type and whether there was an answer."}, []string{"type", "result"}),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "edge_connections", Help: "Open client connections by listener and protocol (none: not known yet)."}, []string{"listener", "proto"}),
		refused:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_connections_refused_total", Help: "Connections refused over a limit."}, []string{"listener", "reason"}),
	}
	for _, l := range [][2]string{{"http", "http/1.1"}, {"https", "none"}, {"https", "http/1.1"}, {"https", "h2"}} {
		m.connections.WithLabelValues(l[0], l[1])
	}
	r.MustRegister(m.handshakes, m.duration, m.challenges, m.connections, m.refused)
	return m
}

// Conn implements proxy.Observer.
func (m *Metrics) Conn(e *edge.ConnEvent) {
	if e.Refused != "" {
		m.tls.refused.WithLabelValues(e.Listener, e.Refused).Inc()
		return
	}
	m.tls.connections.WithLabelValues(e.Listener, alpn(e.Proto)).Add(float64(e.Delta))
}

// Handshake implements proxy.Observer.
func (m *Metrics) Handshake(e *edge.HandshakeEvent) {
	version := "none"
	if e.Version != 0 {
		version = tls.VersionName(e.Version)
	}
	m.tls.handshakes.WithLabelValues(version, alpn(e.ALPN), strconv.FormatBool(e.Resumed), e.Result).Inc()
	if e.Result == "ok" {
		m.tls.duration.Observe(e.Duration.Seconds())
	}
}

func alpn(p string) string {
	switch p {
	case "h2", "http/1.1", "h3", edge.ALPNProto:
		return p
	case "":
		return "none"
	}
	return "other"
}

// Challenge implements proxy.Observer.
func (m *Metrics) Challenge(e *edge.ChallengeEvent) {
	m.tls.challenges.WithLabelValues(string(e.Type), e.Result).Inc()
}

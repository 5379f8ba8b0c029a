package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"edge"
)

// Options are what the metrics are made of. The functions are called at every scrape.
type Options struct {
	Version, Revision string
	Certificates      func() []edge.CertificateStatus
	Upstreams         func() []edge.UpstreamStatus
	OnDemandPending   func() int
	InFlight          func() map[string]int64 // requests in progress by site
	Panics            func() uint64           // requests that ended in one
	Ready             func() error            // nil: ready
	MaxCertificates   int                     // series for each certificate, soonest expiry first; 1000
}

// Metrics observes the data path and the certificates. Safe for concurrent use.
type Metrics struct {
	o        Options
	registry *prometheus.Registry
	own      []prometheus.Collector // all but those of the runtime
	http     *httpMetrics
	tls      tlsMetrics
	acme     acmeMetrics
	storage  storageMetrics
	reload   reloadMetrics
	Steward  *Steward // what runs of the steward reported
}

// New returns metrics with a registry of their own.
func New(o Options) *Metrics {
	if o.MaxCertificates <= 0 {
		o.MaxCertificates = 1000
	}
	m := &Metrics{o: o, registry: prometheus.NewRegistry()}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "edge_build_info", Help: "Always 1; the labels say which build this is.",
		ConstLabels: prometheus.Labels{"version": o.Version, "goversion": runtime.Version(), "revision": o.Revision},
	})
	build.Set(1)
	m.MustRegister(build)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.http = newHTTPMetrics(m)
	m.tls = newTLSMetrics(m)
	m.acme = newACMEMetrics(m)
	m.storage = newStorageMetrics(m)
	m.reload = newReloadMetrics(m)
	m.Steward = NewSteward()
	m.MustRegister(m.Steward)
	m.MustRegister(&snapshot{o: m.o})
	return m
}

// register is how the parts add their metrics.
type register interface{ MustRegister(...prometheus.Collector) }

// histogram has the classic buckets for everybody, and native ones (10 % wide)
// for a Prometheus that asks for them.
func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	}
}

// MustRegister adds metrics of ours.
func (m *Metrics) MustRegister(cs ...prometheus.Collector) {
	m.own = append(m.own, cs...)
	m.registry.MustRegister(cs...)
}

// Handler serves /metrics, /healthz and /readyz.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: 20 * time.Second}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if m.o.Ready != nil {
			if err := m.o.Ready(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	return mux
}

// reloadMetrics are named as Prometheus names its own.
type reloadMetrics struct {
	ok      prometheus.Gauge
	when    prometheus.Gauge
	success prometheus.Counter
	failure prometheus.Counter
}

func newReloadMetrics(r register) reloadMetrics {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_config_reloads_total", Help: "Configurations applied or refused, the first one included."}, []string{"result"})
	m := reloadMetrics{
		ok:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "edge_config_last_reload_successful", Help: "Whether the last configuration was applied."}),
		when:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "edge_config_last_reload_success_timestamp_seconds", Help: "When a configuration was applied last."}),
		success: total.WithLabelValues("success"), failure: total.WithLabelValues("failure"),
	}
	r.MustRegister(total, m.ok, m.when)
	return m
}

// ConfigReload reports the outcome of a start or a reload.
func (m *Metrics) ConfigReload(ok bool, t time.Time) {
	if !ok {
		m.reload.ok.Set(0)
		m.reload.failure.Inc()
		return
	}
	m.reload.ok.Set(1)
	m.reload.when.Set(float64(t.UnixNano()) / 1e9)
	m.reload.success.Inc()
}

package metrics

import (
	"context"
	"errors"
	"io/fs"

	"github.com/prometheus/client_golang/prometheus"

	"edge"
)

type storageMetrics struct {
	operations *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	lockWait   prometheus.Histogram
}

func newStorageMetrics(r register) storageMetrics {
	m := storageMetrics{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "edge_storage_operations_total", Help: "Operations on the storage of certificates, by kind and result (ok, not_found, canceled, error)."}, []string{"op", "result"}),
		duration:   prometheus.NewHistogramVec(histogram("edge_storage_operation_duration_seconds", "Of operations on the storage of certificates, but the wait for locks.", []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 10}), []string{"op"}),
		lockWait:   prometheus.NewHistogram(histogram("edge_lock_wait_seconds", "Until a lock in storage was got or given up: other processes may work on the same name.", durations)),
	}
	// Failures are alerted on by their increase: it has to begin at none.
	for _, op := range []string{"store", "load", "delete", "list", "stat", "lock", "unlock"} {
		m.operations.WithLabelValues(op, "error")
	}
	r.MustRegister(m.operations, m.duration, m.lockWait)
	return m
}

// Storage implements acmeglue.StorageObserver.
func (m *Metrics) Storage(e *edge.StorageEvent) {
	m.storage.operations.WithLabelValues(e.Op, storageResult(e.Err)).Inc()
	if e.Op == "lock" {
		m.storage.lockWait.Observe(e.Duration.Seconds())
		return
	}
	m.storage.duration.WithLabelValues(e.Op).Observe(e.Duration.Seconds())
}

func storageResult(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, fs.ErrNotExist):
		return "not_found"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	}
	return "error"
}

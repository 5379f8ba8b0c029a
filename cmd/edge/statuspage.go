package main

import (
	"net/http"
	"sync/atomic"
	"time"

	"edge/internal/statuspage"
)

// sideHandler serves metrics and health, and the status page where it is wanted.
type sideHandler struct {
	metrics http.Handler
	page    *statuspage.Page
	shown   atomic.Bool
}

func newSideHandler(d *door) *sideHandler {
	return &sideHandler{metrics: d.metrics.Handler(), page: statuspage.New(d.Status, func() map[string]int64 { return d.server.InFlight() }, time.Now)}
}

// ServeHTTP implements http.Handler.
func (h *sideHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/status" && h.shown.Load() {
		h.page.ServeHTTP(w, r)
		return
	}
	h.metrics.ServeHTTP(w, r)
}

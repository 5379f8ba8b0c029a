package main

import (
	"net/http"
	"strings"
	"testing"

	"edge/internal/edgetest"
)

// What each package reports arrives in the metrics of the door: requests to the
// CA, storage, locks, requests in progress, connections by protocol.
func TestMetricsAreWired(t *testing.T) {
	begun, goOn := make(chan bool), make(chan bool)
	r := newRig(t, edgetest.CAOptions{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun <- true
		<-goOn
	}))
	r.configure("  - hosts: [www.example.test]\n    proxy: BACKEND\n")
	r.start()
	r.eventually(func() error { _, err := r.handshake("www.example.test"); return err })
	done := make(chan error, 1)
	go func() {
		res, err := r.client(true).Get("https://www.example.test/")
		if err == nil {
			err = res.Body.Close()
		}
		done <- err
	}()
	<-begun
	_, body := r.get(http.DefaultClient, "http://"+r.metrics+"/metrics")
	ca := strings.TrimPrefix(r.ca.URL(), "https://")
	ca = ca[:strings.IndexByte(ca, '/')]
	for _, want := range []string{
		`edge_acme_requests_total{ca="` + ca + `",code="201"} 2`,
		`edge_acme_orders_total{ca="` + ca + `",challenge="tls-alpn-01",reason="none",result="success"} 1`,
		`edge_storage_operations_total{op="store",result="ok"}`, `edge_storage_operations_total{op="lock",result="ok"}`,
		`edge_storage_operation_duration_seconds_count{op="store"}`, "edge_lock_wait_seconds_count",
		`edge_http_requests_in_flight{site="www.example.test"} 1`, `edge_http_requests_in_flight{site="_other"} 0`,
		`edge_connections{listener="https",proto="h2"} 1`, "edge_http_panics_total 0",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

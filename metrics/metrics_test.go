package metrics

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"edge"
)

func scrape(t testing.TB, m *Metrics, path, accept string) (int, string, string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", path, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	m.Handler().ServeHTTP(w, r)
	return w.Code, w.Header().Get("Content-Type"), w.Body.String()
}

// Whatever clients send makes no series of its own.
func TestLabelsAreBounded(t *testing.T) {
	m := New(Options{})
	for i := range 5000 {
		s := fmt.Sprint(i)
		m.Request(&edge.RequestEvent{Site: edge.OtherSite, Method: "M" + s, Proto: "P" + s, Host: s, Path: "/" + s, Status: 10000 + i, UserAgent: s, SNI: s})
		m.Handshake(&edge.HandshakeEvent{SNI: s, ALPN: "p" + s, Result: "error"})
		m.OnDemand(&edge.OnDemandEvent{Name: s, Decision: "deny"})
		m.ACMERequest(&edge.ACMERequestEvent{CA: "ca.test", Status: 1000 + i})
		m.Storage(&edge.StorageEvent{Op: "load", Err: errors.New(s)})
	}
	if n := testutil.CollectAndCount(m.http.requests); n != 1 {
		t.Errorf("%d series of requests, want 1", n)
	}
	if n := testutil.CollectAndCount(m.tls.handshakes); n != 1 {
		t.Errorf("%d series of handshakes, want 1", n)
	}
	if n := testutil.CollectAndCount(m.acme.requests); n != 1 {
		t.Errorf("%d series of requests to a CA, want 1", n)
	}
	if n := testutil.CollectAndCount(m.storage.operations); n != 7 {
		t.Errorf("%d series of operations on storage, want the 7 that there are from the start", n)
	}
	if n := len(m.http.children); n > maxChildren {
		t.Errorf("%d children kept", n)
	}
	_, _, body := scrape(t, m, "/metrics", "")
	if !strings.Contains(body, `edge_http_requests_total{code="0",method="other",proto="other",site="_other"} 5000`) {
		t.Error("the requests were not counted")
	}
}

// Series of certificates follow the snapshot, and those that end soonest are
// never cut off.
func TestCertificateSeries(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var certs []edge.CertificateStatus
	for i := range 50 {
		certs = append(certs, edge.CertificateStatus{Name: fmt.Sprintf("n%02d.test", i), Issuer: "X", Source: edge.SourceSite, State: edge.StateValid,
			NotBefore: now, NotAfter: now.Add(time.Duration(100-i) * time.Hour), RenewAfter: now})
	}
	certs[3].State, certs[3].Failures, certs[3].CA, certs[3].NextAttempt = edge.StateFailing, 4, "https://ca.test/dir", now.Add(time.Minute)
	m := New(Options{MaxCertificates: 10, Certificates: func() []edge.CertificateStatus { return append([]edge.CertificateStatus(nil), certs...) }})
	_, _, body := scrape(t, m, "/metrics", "")
	if n := strings.Count(body, "\nedge_certificate_not_after_timestamp_seconds{"); n != 10 {
		t.Errorf("%d series, want 10", n)
	}
	for _, want := range []string{
		`edge_certificate_not_after_timestamp_seconds{issuer="X",name="n49.test",source="site"}`,
		`edge_certificates{source="site",state="valid"} 49`, `edge_certificates{source="site",state="failing"} 1`,
		fmt.Sprintf("edge_certificates_earliest_not_after_timestamp_seconds %v", float64(now.Add(51*time.Hour).Unix())),
		`edge_acme_backoff_until_timestamp_seconds{ca="ca.test"}`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	certs = certs[:1]
	if _, _, body = scrape(t, m, "/metrics", ""); strings.Contains(body, "n49.test") {
		t.Error("a certificate that is gone still has series")
	}
}

// Two pools to one address: the worse one is seen.
func TestUpstreamsOfOneAddress(t *testing.T) {
	m := New(Options{OnDemandPending: func() int { return 7 }, Upstreams: func() []edge.UpstreamStatus {
		return []edge.UpstreamStatus{{Address: "a:1", Healthy: true, Idle: 3, Failures: 1}, {Address: "a:1", Idle: 1, Failures: 5}, {Address: "b:1", Healthy: true}}
	}})
	_, _, body := scrape(t, m, "/metrics", "")
	for _, want := range []string{`edge_upstream_healthy{upstream="a:1"} 0`, `edge_upstream_healthy{upstream="b:1"} 1`, `edge_upstream_failures_total{upstream="a:1"} 5`,
		`edge_upstream_connections{state="idle",upstream="a:1"} 3`, "edge_ondemand_pending 7"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(body, "\nedge_certificates_earliest") {
		t.Error("an earliest end without any certificate")
	}
}

func TestEndpoints(t *testing.T) {
	ready := errors.New("draining")
	m := New(Options{Version: "1", Ready: func() error { return ready }})
	if code, _, body := scrape(t, m, "/readyz", ""); code != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
		t.Errorf("readyz: %d %q", code, body)
	}
	ready = nil
	if code, _, _ := scrape(t, m, "/readyz", ""); code != 200 {
		t.Errorf("readyz: %d", code)
	}
	if code, _, _ := scrape(t, m, "/healthz", ""); code != 200 {
		t.Errorf("healthz: %d", code)
	}
	if code, _, _ := scrape(t, m, "/other", ""); code != 404 {
		t.Errorf("other: %d", code)
	}
	m.ConfigReload(true, time.Unix(5, 0))
	m.ConfigReload(false, time.Unix(6, 0))
	m.Order(&edge.OrderEvent{CA: "ca.test", Challenge: edge.HTTP01, Err: errors.New("x"), Reason: edge.ReasonDNS})
	code, typ, body := scrape(t, m, "/metrics", "application/openmetrics-text; version=1.0.0")
	if code != 200 || !strings.HasPrefix(typ, "application/openmetrics-text") {
		t.Errorf("metrics: %d %s", code, typ)
	}
	for _, want := range []string{`edge_config_last_reload_successful 0`, `edge_config_last_reload_success_timestamp_seconds 5`, `edge_build_info{`,
		`edge_acme_orders_total{ca="ca.test",challenge="http-01",reason="dns",result="failure"} 1`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}

// What goes on inside: storage, locks, requests to CAs, requests in progress.
func TestInside(t *testing.T) {
	m := New(Options{InFlight: func() map[string]int64 { return map[string]int64{"a.test": 3, edge.OtherSite: 0} }, Panics: func() uint64 { return 2 }})
	for _, e := range []edge.StorageEvent{
		{Op: "store", Duration: 2 * time.Millisecond}, {Op: "load", Err: fmt.Errorf("x: %w", fs.ErrNotExist)}, {Op: "store", Err: syscall.ENOSPC},
		{Op: "lock", Duration: 300 * time.Millisecond}, {Op: "lock", Duration: time.Second, Err: context.DeadlineExceeded},
	} {
		m.Storage(&e)
	}
	m.ACMERequest(&edge.ACMERequestEvent{CA: "ca.test", Status: 201})
	m.ACMERequest(&edge.ACMERequestEvent{CA: "ca.test", Err: errors.New("refused")})
	m.Conn(&edge.ConnEvent{Listener: "https", Delta: 1})
	m.Conn(&edge.ConnEvent{Listener: "https", Delta: -1})
	m.Conn(&edge.ConnEvent{Listener: "https", Proto: "h2", Delta: 1})
	_, _, body := scrape(t, m, "/metrics", "")
	for _, want := range []string{
		`edge_storage_operations_total{op="store",result="ok"} 1`, `edge_storage_operations_total{op="store",result="error"} 1`,
		`edge_storage_operations_total{op="load",result="not_found"} 1`, `edge_storage_operations_total{op="lock",result="canceled"} 1`,
		`edge_storage_operation_duration_seconds_count{op="store"} 2`, "edge_lock_wait_seconds_count 2", `edge_lock_wait_seconds_bucket{le="0.5"} 1`,
		`edge_acme_requests_total{ca="ca.test",code="201"} 1`, `edge_acme_requests_total{ca="ca.test",code="0"} 1`,
		`edge_http_requests_in_flight{site="a.test"} 3`, `edge_http_requests_in_flight{site="_other"} 0`, "edge_http_panics_total 2",
		`edge_connections{listener="https",proto="none"} 0`, `edge_connections{listener="https",proto="h2"} 1`, `edge_connections{listener="http",proto="http/1.1"} 0`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(body, `operation_duration_seconds_count{op="lock"}`) {
		t.Error("waiting for a lock counts as an operation that takes long")
	}
}

func TestRequestAllocatesNothing(t *testing.T) {
	m := New(Options{})
	e := &edge.RequestEvent{Site: "example.org", Method: "GET", Proto: "HTTP/2.0", Status: 200, Upstream: "127.0.0.1:1", UpstreamStatus: 200, BytesOut: 10, Decision: "proxy", Duration: time.Millisecond}
	if n := testing.AllocsPerRun(100, func() { m.Request(e) }); n > 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	m := New(Options{})
	e := &edge.RequestEvent{Site: "example.org", Method: "GET", Proto: "HTTP/2.0", Status: 200, Upstream: "127.0.0.1:1", UpstreamStatus: 200, BytesOut: 10, Decision: "proxy", Duration: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		m.Request(e)
	}
}

func TestRoutesLimitsAndQueues(t *testing.T) {
	m := New(Options{Upstreams: func() []edge.UpstreamStatus {
		return []edge.UpstreamStatus{{Address: "a:1", Pool: "p", Queued: 3, Ejections: 2, Retries: 7}}
	}})
	m.Request(&edge.RequestEvent{Site: "s", Route: "api", Method: "GET", Proto: "HTTP/3.0", Status: 429, Limited: "rate"})
	m.Request(&edge.RequestEvent{Site: "s", Method: "GET", Proto: "HTTP/3.0", Status: 200, Encoding: "br", Pool: "p", QueueTime: time.Millisecond})
	_, _, text := scrape(t, m, "/metrics", "")
	for _, want := range []string{
		`edge_http_route_requests_total{code="429",route="api",site="s"} 1`, `edge_http_limited_total{limit="rate",site="s"} 1`,
		`edge_http_compressed_total{encoding="br",site="s"} 1`, `edge_upstream_queue_duration_seconds_count{pool="p"} 1`,
		`edge_upstream_ejections_total{upstream="a:1"} 2`, `edge_upstream_retries_total{upstream="a:1"} 7`, `edge_upstream_queue{pool="p"} 3`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}

package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"edge"
)

// Names that clients asked for, and that could not be had, take no series away
// from certificates that may expire or from configured names that have none.
func TestUnobtainedNamesComeLast(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	certs := []edge.CertificateStatus{
		{Name: "served.test", Source: edge.SourceSite, State: edge.StateExpiring, NotBefore: now, NotAfter: now.Add(time.Hour), RenewAfter: now},
		{Name: "wanted.test", Source: edge.SourceSite, State: edge.StateFailing, Failures: 3},
	}
	for i := range 50 {
		certs = append(certs, edge.CertificateStatus{Name: fmt.Sprintf("asked%02d.test", i), Source: edge.SourceOnDemand, State: edge.StateFailing, Failures: 1})
	}
	m := New(Options{MaxCertificates: 10, Certificates: func() []edge.CertificateStatus { return append([]edge.CertificateStatus(nil), certs...) }})
	_, _, body := scrape(t, m, "/metrics", "")
	for _, want := range []string{
		`edge_certificate_not_after_timestamp_seconds{issuer="",name="served.test",source="site"}`,
		`edge_certificate_renewal_failures{name="wanted.test"} 3`,
		`edge_certificates{source="on_demand",state="failing"} 50`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	if n := strings.Count(body, "\nedge_certificate_renewal_failures{"); n != 10 {
		t.Errorf("%d names have series, want 10", n)
	}
}

// Requests that differ in the decision alone do not share what is counted.
func TestDecisionsAreApart(t *testing.T) {
	for _, order := range [][2]string{{"refused", "proxy"}, {"proxy", "refused"}} {
		m := New(Options{})
		for _, d := range order {
			m.Request(&edge.RequestEvent{Site: "a.test", Method: "POST", Proto: "HTTP/1.1", Status: 413, Decision: d})
		}
		_, _, body := scrape(t, m, "/metrics", "")
		if want := `edge_upstream_requests_total{code="0",site="a.test",upstream="none"} 1`; !strings.Contains(body, want) {
			t.Errorf("%v: no %s", order, want)
		}
	}
}

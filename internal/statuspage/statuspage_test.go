package statuspage

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/internal/admin"
)

func TestPage(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	requests := uint64(100)
	p := New(func() admin.Status {
		return admin.Status{
			Version: "1.0", Started: now.Add(-time.Hour), Loaded: now, LastReload: &admin.ReloadResult{Error: "line 3: <b>bad</b>"},
			Sites: []admin.Site{{Name: "a.test", TLS: "managed", Proxy: "http://127.0.0.1:1"}},
			Certificates: []edge.CertificateStatus{
				{Name: "well.test", State: edge.StateValid, NotAfter: now.Add(60 * 24 * time.Hour)},
				{Name: "evil.test", State: edge.StateFailing, NotAfter: now.Add(36 * time.Hour), LastError: `<script>alert(1)</script>`},
			},
			Upstreams: []edge.UpstreamStatus{{Site: "a.test", Address: "127.0.0.1:1", Pool: "p", State: "ejected", Requests: requests, LastError: "refused"}},
		}
	}, func() map[string]int64 { return map[string]int64{"a.test": 7} }, func() time.Time { return now })
	get := func() string {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest("GET", "/status", nil))
		if w.Code != 200 || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		return w.Body.String()
	}
	get()
	now, requests = now.Add(10*time.Second), 150
	got := get()
	for _, want := range []string{"1 of 2 certificates need attention", "evil.test", "1.5", "60.0", "&lt;script&gt;alert(1)", "line 3: &lt;b&gt;bad", `<td class="n">7</td>`, "5.0", "ejected", `class="bad"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(got, "<script") || strings.Index(got, "evil.test") > strings.Index(got, "well.test") {
		t.Error("something runs, or what needs attention is not first")
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("POST", "/status", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

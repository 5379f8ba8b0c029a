package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"edge"
)

func TestTopPicture(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	p := &picture{Time: now, Version: "1", PID: 7, Total: 12,
		Upstreams:    []measured{{edge.UpstreamStatus{Address: "127.0.0.1:1", Site: "a.test", State: "ejected", LastError: "refused\x1b[2J\nnext"}, 12.34}},
		Certificates: []edge.CertificateStatus{{Name: "a.test", State: edge.StateFailing, NotAfter: now.Add(36 * time.Hour), LastError: strings.Repeat("x", 200)}}}
	var b bytes.Buffer
	p.print(&b)
	got := b.String()
	for _, want := range []string{"PID 7", "ejected", "12.3", "refused [2J next", "1.5", "and 11 more", "xxx…"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Error("an error message moves the cursor")
	}
}

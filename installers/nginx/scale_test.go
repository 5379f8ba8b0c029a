package nginx

import (
	"context"
	"fmt"
	"testing"
	"time"

	"edge/installers"
)

// idle is a server that is asked for nothing: what is left is our own time.
type idle struct{ *Nginx }

func (idle) Test(context.Context) error     { return nil }
func (idle) Activate(context.Context) error { return nil }

// A thousand sites take no more than a second of ours; a noisy machine has three times that.
func TestThousandSites(t *testing.T) {
	files := map[string]string{}
	for i := range 1000 {
		files[fmt.Sprintf("sites/s%d", i)] = fmt.Sprintf("server {\n    listen HTTP;\n    listen [::]:HTTP;\n    server_name s%d.test www.s%d.test;\n    location / { return 200 s%d; }\n}\n", i, i, i)
	}
	l, http, https := newTwo(t, files)
	n := l.detect(t)
	r := l.request("s500.test", "www.s500.test")
	r.HTTPPort, r.HTTPSPort, r.Enhance.Redirect = http, https, true
	makeCertificate(t, r)
	begin := time.Now()
	if err := n.compare(t.Context(), loadOnly(t, n)); err != nil {
		t.Fatal(err)
	}
	theirs := time.Since(begin) // loading once is in it, too
	begin = time.Now()
	p, err := n.Plan(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	planned := time.Since(begin)
	p.Serves, p.Watch, p.Checks = nil, nil, nil
	begin = time.Now()
	if _, err := l.runner().Apply(t.Context(), idle{n}, p, r); err != nil {
		t.Fatal(err)
	}
	applied := time.Since(begin)
	begin = time.Now()
	if _, err := n.planAnswers(t.Context(), http01(r.Names...), AuthenticatorOptions{HTTPPort: http, HTTPSPort: https, ConfigDir: l.dir + "/le", WorkDir: l.dir + "/work"}); err != nil {
		t.Fatal(err)
	}
	answered := time.Since(begin)
	t.Logf("nginx -T and loading %v, plan %v, apply %v, plan of answers %v", theirs, planned, applied, answered)
	if planned+applied > 3*time.Second || answered > 3*time.Second {
		t.Error("that is too long")
	}
	all := l.request("s0.test")
	for i := range 100 {
		all.Names = append(all.Names, fmt.Sprintf("s%d.test", i+1))
	}
	all.HTTPPort, all.HTTPSPort, all.Enhance = http, https, installers.Enhancements{Redirect: true, HSTS: true}
	begin = time.Now()
	if _, err := n.Plan(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	t.Logf("a plan for 101 names %v", time.Since(begin))
	if time.Since(begin) > 6*time.Second {
		t.Error("that is too long for 101 names")
	}
}

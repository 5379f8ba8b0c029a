package nginx

import (
	"fmt"
	"strings"
	"testing"

	"edge"
	"edge/installers"
)

// two is a configuration of two sites, HTTP on the first port and HTTPS on the second.
const two = `pid @/work/nginx.pid;
error_log @/work/error.log;
events { worker_connections 64; }
http {
    access_log off;
    server {
        listen HTTP default_server;
        listen [::]:HTTP default_server;
        server_name _;
        root @/html;
    }
    include sites/*;
}
`

const site1 = `server {
    listen HTTP;
    listen [::]:HTTP;
    server_name one.test www.one.test; # ours
    location / { return 200 "one"; }
}
`

// newTwo makes a lab of it.
func newTwo(t testing.TB, more map[string]string) (l *lab, http, https uint16) {
	t.Helper()
	p := ports(t, 2)
	files := map[string]string{"nginx.conf": two, "sites/one": site1}
	for name, src := range more {
		files[name] = src
	}
	for name, src := range files {
		files[name] = strings.NewReplacer("HTTPS", fmt.Sprint(p[1]), "HTTP", fmt.Sprint(p[0])).Replace(src)
	}
	return newLab(t, files), p[0], p[1]
}

func TestInstallLive(t *testing.T) {
	t.Parallel()
	l, http, https := newTwo(t, nil)
	l.start(t)
	before := snapshot(t, l.root)
	r := l.request("one.test", "www.one.test", "new.test")
	r.HTTPPort, r.HTTPSPort, r.Enhance = http, https, installers.Enhancements{Redirect: true, HSTS: true}
	makeCertificate(t, r)
	runner := l.runner()
	p := l.plan(t, r)
	if len(p.Serves) != 6 || len(p.Checks) != 12 {
		t.Errorf("served at %v, checked by %v", p.Serves, p.Checks)
	}
	out, err := runner.Apply(t.Context(), l.nginx, p, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(out.Verified, p.Notes, out.Warnings)
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		for _, name := range r.Names {
			if got := leaf(t, fmt.Sprintf("%s:%d", host, https), name); got != wanted(t, r) {
				t.Errorf("%s shows another certificate for %s", host, name)
			}
			if status, _, location := get(t, fmt.Sprintf("%s:%d", host, http), name, "/x?y"); status != 301 || location != "https://"+name+"/x?y" {
				t.Errorf("%s: %d %s", name, status, location)
			}
		}
	}
	if p := l.plan(t, r); !p.Empty() || len(p.Serves) != 6 {
		t.Errorf("the second plan: %+v", p)
	}
	l.rollback(t, runner)
	same(t, l.root, before)
	if status, body, _ := get(t, fmt.Sprintf("127.0.0.1:%d", http), "one.test", "/"); status != 200 || body != "one" {
		t.Errorf("after rollback: %d %s", status, body)
	}
}

func TestChallengesLive(t *testing.T) {
	t.Parallel()
	l, http, https := newTwo(t, map[string]string{"sites/closed": "server { listen HTTP; server_name closed.test; return 444; }\n", "sites/size": "server_names_hash_bucket_size 64;\n"})
	l.start(t)
	before := snapshot(t, l.root)
	le := snapshot(t, l.dir+"/le")
	runner := l.runner()
	a := l.detect(t).Authenticator(AuthenticatorOptions{Runner: runner, HTTPPort: http, HTTPSPort: https, ConfigDir: l.dir + "/le", WorkDir: l.dir + "/work", TLSSNI: true})
	batch := http01("one.test", "www.one.test", "closed.test", "new.test")
	sni := edge.Answer{Type: edge.TLSSNI01, Identifier: edge.Identifier{Type: edge.DNS, Value: "one.test"}, Token: "sni", KeyAuth: "sni.thumb"}
	if err := a.Present(t.Context(), append(batch, sni)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, l.root+"/sites/size"); got != "server_names_hash_bucket_size 128;\n" {
		t.Errorf("the size of buckets: %s", got)
	}
	for _, answer := range batch {
		for _, host := range []string{"127.0.0.1", "[::1]"} {
			status, body, _ := get(t, fmt.Sprintf("%s:%d", host, http), answer.Identifier.Value, edge.HTTP01Prefix+answer.Token)
			if status != 200 || body != answer.KeyAuth {
				t.Errorf("%s: %d %q", answer.Identifier.Value, status, body)
			}
		}
	}
	if leaf(t, fmt.Sprintf("127.0.0.1:%d", https), edge.SNI01Name(sni.KeyAuth)) == [32]byte{} {
		t.Error("TLS-SNI-01 is not answered")
	}
	if err := a.Present(t.Context(), batch); err == nil {
		t.Error("a second batch while the first one is there")
	}
	for range 2 {
		if err := a.Cleanup(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	same(t, l.root, before)
	same(t, l.dir+"/le", le)
	wait(t, "nginx has forgotten the answers", func() bool {
		status, _, _ := get(t, fmt.Sprintf("127.0.0.1:%d", http), "one.test", edge.HTTP01Prefix+batch[0].Token)
		return status == 200 && leaf(t, fmt.Sprintf("127.0.0.1:%d", https), "") == [32]byte{}
	})
}

package nginx

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"edge/installers"
)

// A wildcard socket is asked at an address that no other socket has.
func TestReach(t *testing.T) {
	for listens, want := range map[string]string{ // of the first socket
		"listen 80;": "0.0.0.0:80",
		"listen 80; listen 127.0.0.1:81; listen unix:/x;":               "0.0.0.0:80",
		"listen 80; listen 127.0.0.1:80;":                               "127.0.0.2:80",
		"listen 80; listen 127.0.0.2:80; listen 127.0.0.1:80;":          "127.0.0.3:80",
		"listen 127.0.0.1:80; listen 80;":                               "127.0.0.1:80",
		"listen [::]:80; listen 80;":                                    "[::]:80",
		"listen [::]:80; listen [::1]:80;":                              "",
		"listen [::]:80 ipv6only=off; listen [::1]:80;":                 "127.0.0.1:80",
		"listen [::]:80 ipv6only=off; listen [::1]:80; listen *:80;":    "",
		"listen unix:/x; listen 80;":                                    "",
		"listen 80; listen 127.0.0.1:80 quic; listen 127.0.0.1:443 ssl": "0.0.0.0:80",
	} {
		l := newLab(t, map[string]string{"nginx.conf": "http { server { " + strings.TrimSuffix(listens, ";") + "; } }"})
		n := &Nginx{conf: l.root + "/nginx.conf"}
		s, err := n.meaning(loadOnly(t, n))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := reach(s.http.Sockets[0], s.http); got != want || ok != (want != "") {
			t.Errorf("%s: %q, not %q", listens, got, want)
		}
	}
}

// status is a block on an address of its own beside those on all addresses.
const status = "server { listen 127.0.0.1:HTTP; listen [::1]:HTTP; server_name localhost; location / { return 200 status; } }\n" +
	"server { listen 127.0.0.1:HTTPS ssl; server_name localhost;" + tlsLines + "}\n"

func TestReachLive(t *testing.T) {
	t.Parallel()
	site := "server {\n    listen HTTP;\n    listen [::]:HTTP;\n    listen HTTPS ssl;\n    server_name one.test;" + tlsLines + "    location / { return 200 one; }\n}\n"
	other := "server {\n    listen HTTPS ssl;\n    server_name old.test;" + tlsLines + "}\n"
	l, http, https := newTwo(t, map[string]string{"sites/one": site + other, "sites/a": status})
	l.snakeoil(t)
	earlier := time.Now().Add(-time.Hour) // than nginx read it, by any clock
	if err := os.Chtimes(l.dir+"/le/c.pem", earlier, earlier); err != nil {
		t.Fatal(err)
	}
	l.start(t)
	a := l.authenticator(t, http, https)
	batch := http01("one.test")
	if err := a.Present(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := a.Cleanup(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	r := l.request("one.test")
	r.HTTPPort, r.HTTPSPort, r.Enhance = http, https, installers.Enhancements{Redirect: true, HSTS: true}
	makeCertificate(t, r)
	p := l.plan(t, r)
	if _, err := l.runner().Apply(t.Context(), l.nginx, p, r); err != nil {
		t.Fatal(err)
	}
	if len(p.Serves) != 1 || p.Serves[0].Addr != fmt.Sprintf("127.0.0.2:%d", https) || len(p.Checks) != 2 {
		t.Errorf("served %v, checked %v", p.Serves, p.Checks)
	}
	asked := map[string]bool{}
	for _, e := range p.Watch {
		asked[e.String()] = true
	}
	if !asked[fmt.Sprintf("127.0.0.2:%d (old.test)", https)] || !asked[fmt.Sprintf("127.0.0.1:%d", https)] {
		t.Errorf("watched %v", p.Watch)
	}
	want := fmt.Sprintf("[::]:%d cannot be asked for one.test: no address of the loopback arrives there", http)
	if len(p.Warnings) != 1 || p.Warnings[0] != want {
		t.Errorf("warnings %q", p.Warnings)
	}
	if status, _, location := get(t, fmt.Sprintf("127.0.0.2:%d", http), "one.test", "/"); status != 301 || location != "https://one.test/" {
		t.Errorf("got %d %s", status, location)
	}
	if got := leaf(t, fmt.Sprintf("127.0.0.3:%d", https), "one.test"); got != wanted(t, r) {
		t.Error("another certificate is shown")
	}
}

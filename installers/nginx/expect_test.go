package nginx

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"edge/installers"
	"edge/installers/nginx/conf"
)

// What is said to people about what is not changed, and what is looked at afterwards.
func TestWarnings(t *testing.T) {
	block := func(addr, name, more string) string {
		return "server {\n    listen " + addr + ":HTTPS ssl;\n    server_name " + name + ";" + tlsLines + "    " + more + "\n}\n"
	}
	hsts := func(r *installers.Request) { r.Enhance.HSTS = true }
	for name, c := range map[string]struct {
		src     string
		request func(*installers.Request)
		want    []string // in the warnings; as many as there are
		serves  int
		checks  int
		watch   []string
	}{
		"a wildcard elsewhere": {
			block("127.0.0.1", "one.test", "") + block("127.0.0.2", "*.test", ""), nil,
			[]string{"the server block at ROOT/sites/one:8:1 answers one.test, and keeps its certificate"}, 1, 0, []string{""},
		},
		"others in the same block": {
			block("127.0.0.1", "one.test other.test", "") + block("127.0.0.1", "third.test .fourth.test ~^x", ""),
			func(r *installers.Request) { r.Overwrite = true },
			[]string{"the server block at ROOT/sites/one:1:1 also answers other.test, for which this certificate is not: obtain one for all of its names (-d one.test -d other.test), or give one.test a block of its own"}, 1, 0, []string{"fourth.test", "third.test"},
		},
		"others with the same certificate": {
			block("127.0.0.1", "one.test", "") + strings.Replace(strings.Replace(block("127.0.0.1", "third.test", ""), "@/le/c.pem", "@/le/live/one.test/fullchain.pem", 1), "@/le/k.pem", "@/le/live/one.test/privkey.pem", 1),
			nil, nil, 1, 0, nil,
		},
		"an expression that only nginx knows, elsewhere": {
			block("127.0.0.1", "one.test", "") + block("127.0.0.2", "~^(?>one)", "") + block("127.0.0.2", "~^(?>on)", ""), nil,
			nil, 1, 0, []string{""},
		},
		"HSTS":                {block("127.0.0.1", "one.test", "root /x;"), hsts, nil, 1, 1, nil},
		"HSTS of backends":    {block("127.0.0.1", "one.test", "location / { proxy_pass http://127.0.0.1:1; }"), hsts, nil, 1, 0, nil},
		"HSTS, silence":       {block("127.0.0.1", "one.test", "return 444;"), hsts, nil, 1, 0, nil},
		"HSTS, other headers": {block("127.0.0.1", "one.test", "location / { add_header a b; }"), hsts, []string{"ROOT/sites/one:6:18: this add_header hides"}, 1, 0, nil},
		"HSTS, headers of http": {"add_header a b;\n" + block("127.0.0.1", "one.test", ""), hsts,
			[]string{"the add_header of http at ROOT/sites/one:1:1 no longer counts there"}, 1, 1, nil},
		"stapling without a responder": {block("127.0.0.1", "one.test", ""), func(r *installers.Request) { r.Enhance.Staple = true },
			[]string{"names no OCSP responder"}, 1, 0, nil},
		"a certificate from a file that is included": {
			"server {\n    listen 127.0.0.1:HTTPS ssl;\n    server_name one.test;\n    include @/nginx/snippet;\n}\n", nil,
			[]string{"gets a certificate beside the one that it includes at ROOT/snippet:1:1"}, 1, 0, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, http, https := newTwo(t, map[string]string{"sites/one": c.src, "snippet": strings.TrimSpace(tlsLines)})
			l.snakeoil(t, "other.test")
			r := l.request("one.test")
			r.HTTPPort, r.HTTPSPort = http, https
			if c.request != nil {
				c.request(&r)
			}
			makeCertificate(t, r)
			p := l.plan(t, r)
			if len(p.Warnings) != len(c.want) {
				t.Errorf("warnings: %q", p.Warnings)
			}
			for i, want := range c.want {
				if i < len(p.Warnings) && !strings.Contains(p.Warnings[i], strings.ReplaceAll(want, "ROOT", l.root)) {
					t.Errorf("%q, not %q", p.Warnings[i], want)
				}
			}
			for _, change := range p.Changes {
				if !strings.HasPrefix(change.Path, l.root) { // these blocks need no options
					t.Errorf("%s is changed, too", change.Path)
				}
			}
			var watch []string
			for _, e := range p.Watch {
				watch = append(watch, e.Name)
			}
			slices.Sort(watch)
			if len(p.Serves) != c.serves || len(p.Checks) != c.checks || !slices.Equal(watch, c.watch) {
				t.Errorf("served %v, checked %v, watched %q", p.Serves, p.Checks, watch)
			}
		})
	}
}

// A block whose listen stands in a file that others may include as well is not split.
func TestIncludedListen(t *testing.T) {
	l, http, https := newTwo(t, map[string]string{"sites/one": "server {\n    include @/nginx/snippet;\n    server_name one.test;\n}\n", "snippet": "listen HTTP;\n"})
	r := l.request("one.test")
	r.HTTPPort, r.HTTPSPort, r.Enhance.Redirect = http, https, true
	_, err := l.detect(t).Plan(t.Context(), r)
	if err == nil || !strings.Contains(err.Error(), l.root+"/snippet:1:1: this listen belongs to the server block at "+l.root+"/sites/one:1:1") {
		t.Errorf("got %v", err)
	}
}

// The default block is the one of the port, or the only one, or none.
func TestDefaultServer(t *testing.T) {
	for src, want := range map[string][2]int{ // numbers of blocks, from 1; for the port alone, and for any
		"server { listen 80 default_server; }":                                                          {0, 1},
		"server { listen 443 ssl default_server; } server { listen 80 default_server; }":                {1, 1},
		"server { listen 443 ssl default; } server { listen [::]:443 ssl default; }":                    {0, 0},
		"server { listen 80 default_server; } server { listen 81 default_server; }":                     {0, 0},
		"server { listen 80 default_server; listen 443 default_server; } server { listen 81 default; }": {1, 1},
		"server { listen unix:/x default_server; }":                                                     {0, 0},
		"server { listen 443 ssl; }":                                                                    {0, 0},
	} {
		l := newLab(t, map[string]string{"nginx.conf": "http { " + src + " }"})
		n := &Nginx{conf: l.root + "/nginx.conf"}
		s, err := n.meaning(loadOnly(t, n))
		if err != nil {
			t.Fatal(err)
		}
		number := func(server *conf.Server) int { return slices.Index(s.http.Servers, server) + 1 }
		if got := [2]int{number(defaultServer(s.http, 443, false)), number(defaultServer(s.http, 443, true))}; got != want {
			t.Errorf("%s: %v, not %v", src, got, want)
		}
	}
	l, _, https := newTwo(t, nil)
	r := l.request("new.test")
	r.HTTPSPort, r.UseDefault = https, false
	_, err := l.detect(t).Plan(t.Context(), r)
	if err == nil || err.Error() != fmt.Sprint(noMatch("new.test")) {
		t.Errorf("without permission: %v", err)
	}
}

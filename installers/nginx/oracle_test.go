package nginx

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"edge"
	"edge/installers/nginx/conf"
)

// picked are server blocks by file and number in it.
type picked struct{ Deploy, Redirect, Auth []string }

// certbotPicks asks certbot's plugin.
func certbotPicks(t *testing.T, root string, http, https uint16, names []string) map[string]picked {
	t.Helper()
	if err := exec.Command("/usr/bin/python3", "-c", "import certbot_nginx").Run(); err != nil && os.Getenv("CI") != "true" {
		t.Skip("not run: python3-certbot-nginx is not installed")
	}
	cmd := exec.Command("/usr/bin/python3", "testdata/oracle.py", root, fmt.Sprint(http), fmt.Sprint(https))
	cmd.Stdin = strings.NewReader(strings.Join(names, "\n"))
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	picks := map[string]picked{}
	if err := json.Unmarshal(out, &picks); err != nil {
		t.Fatal(err)
	}
	return picks
}

// ourPicks are edge's.
func ourPicks(t *testing.T, n *Nginx, s *site, http, https uint16, name string) picked {
	t.Helper()
	p := &planner{Nginx: n, site: s, http: http, https: https}
	p.request.Deploy = true
	number := map[*conf.Server]string{}
	seen := map[string]int{}
	byFile := slices.Clone(s.http.Servers)
	slices.SortStableFunc(byFile, func(a, b *conf.Server) int { return cmp.Compare(a.Directive.Start, b.Directive.Start) })
	for _, server := range byFile {
		f := server.Directive.File.Path
		number[server] = fmt.Sprintf("%s#%d", f, seen[f])
		seen[f]++
	}
	ids := func(servers []*conf.Server) []string {
		out := []string{}
		for _, server := range servers {
			out = append(out, number[server])
		}
		slices.Sort(out)
		return out
	}
	var out picked
	deploy, _ := p.serversFor(t.Context(), name) // none is an answer, too
	out.Deploy = ids(deploy)
	redirect, err := p.plainServers(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	out.Redirect = ids(redirect)
	a := &answerer{Nginx: n, http: http, https: https, site: s, blocks: map[*conf.Server][]edge.Answer{}}
	if err := a.pick(http01(name)[0]); err != nil {
		t.Fatal(err)
	}
	out.Auth = ids(a.blockList)
	return out
}

// The same blocks as certbot picks, for every name and some that none has.
func TestPicksAsCertbot(t *testing.T) {
	t.Parallel()
	for tree := range trees {
		t.Run(tree, func(t *testing.T) {
			t.Parallel()
			l, http, https := newTree(t, tree)
			l.detect(t)
			s, err := l.nginx.load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			comparePicks(t, l.nginx, s, l.root, http, https, "x.test", "sub.random666.example.org")
		})
	}
	t.Run("unit", func(t *testing.T) {
		t.Parallel()
		l, s := unitTree(t)
		comparePicks(t, l.nginx, s, l.root, 80, 5001, "alias", "example.com", "www.example.com", "example.com.uk.test", "test.www.example.com", "abc.www.foo.com",
			"localhost", "www.bar.co.uk", "www.foo.com", "example", "t.www.bar.co", "sub.both.com", "a.b.both.com")
	})
	t.Run("made", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, map[string]string{"nginx.conf": made})
		l.snakeoil(t)
		l.detect(t)
		s, err := l.nginx.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		comparePicks(t, l.nginx, s, l.root, 80, 443, "a.w.test", "b.w.test", "x.b.w.test", "w.test", "deep.x.b.w.test", "t.com", "t.net", "r1.test", "r2.test", "none.test", "dual.test")
	})
}

// made has what the trees lack: wildcards and regular expressions on both kinds of sockets.
const made = `events {}
pid @/work/nginx.pid;
http {
    server { listen 80 default_server; server_name _; }
    server { listen 80; server_name a.w.test; }
    server { listen 80; server_name *.w.test; }
    server { listen 127.0.0.1:443 ssl; server_name *.b.w.test; ssl_certificate @/le/c.pem; ssl_certificate_key @/le/k.pem; }
    server { listen 80; server_name .b.w.test; }
    server { listen 80; server_name t.*; }
    server { listen 80; server_name ~^r\d\.test$; }
    server { listen 80; server_name r2.test; }
    server { listen 127.0.0.1:443 ssl; server_name dual.test; ssl_certificate @/le/c.pem; ssl_certificate_key @/le/k.pem; }
    server { listen 80; listen [::1]:443 ssl; server_name dual.test; ssl_certificate @/le/c.pem; ssl_certificate_key @/le/k.pem; }
}
`

// meant are the differences from certbot, by name.
var meant = map[string]string{
	"headers.com": "ssl on counts in the default block of a socket only (ngx_http_init_connection): plain HTTP is spoken",
	"sslon.com":   "as headers.com",
	"dual.test":   "certbot leaves the block for the other family, which answers the same name, without the certificate",
}

func comparePicks(t *testing.T, n *Nginx, s *site, root string, http, https uint16, more ...string) {
	t.Helper()
	names, err := n.Names(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("EDGE_SOAK") == "" && len(names) > 40 {
		names = slices.DeleteFunc(names, func(n string) bool { return len(n)%3 != 0 })
	}
	names = append(names, more...)
	left := map[string]bool{}
	for _, name := range names {
		left[name] = meant[name] != ""
	}
	theirs := certbotPicks(t, root, http, https, names)
	for _, name := range names {
		got := ourPicks(t, n, s, http, https, name)
		want := theirs[name]
		for _, what := range []struct {
			kind      string
			got, want []string
		}{{"deploy", got.Deploy, want.Deploy}, {"redirect", got.Redirect, want.Redirect}, {"auth", got.Auth, want.Auth}} {
			if !slices.Equal(what.got, what.want) {
				if meant[name] != "" {
					delete(left, name)
					continue
				}
				rel := func(list []string) (out []string) {
					for _, id := range list {
						r, _ := filepath.Rel(root, id)
						out = append(out, r)
					}
					return out
				}
				t.Errorf("%s for %s: %v, certbot picks %v", what.kind, name, rel(what.got), rel(what.want))
			}
		}
	}
	for name, same := range left {
		if same {
			t.Errorf("%s is picked for as by certbot: it is not meant to be", name)
		}
	}
	t.Logf("%d names", len(names))
}

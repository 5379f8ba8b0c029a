package nginx

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/installers"
)

var update = flag.Bool("update", false, "write what comes out into testdata")

// What certbot made of a configuration, and what edge makes of it. Each word and comment
// is the same; edge keeps the indentation and puts a block behind the one that it was
// made of, so that the first of a socket stays the first.
func TestGoldenInstall(t *testing.T) {
	for name, enhance := range map[string]installers.Enhancements{
		"install-redirect":             {Redirect: true},
		"install-redirect-hsts-staple": {Redirect: true, HSTS: true, Staple: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			p := ports(t, 2)
			http, https := fmt.Sprint(p[0]), fmt.Sprint(p[1])
			local := strings.NewReplacer("/lab/ngx2", l.dir+"/work", "/lab/le", l.dir+"/le", "listen 80", "listen "+http, "[::]:80", "[::]:"+http, "443", https)
			back := strings.NewReplacer(l.dir, "@", http, "80", https, "443")
			write(t, l.root+"/nginx.conf", local.Replace(read(t, shared(t, "golden/nginx/install.before.conf"))))
			r := l.request("n1.example.test", "www.n1.example.test", "new.example.test")
			r.Enhance, r.HTTPPort, r.HTTPSPort = enhance, p[0], p[1]
			makeCertificate(t, r)
			l.write(t, l.plan(t, r))
			got := read(t, l.root+"/nginx.conf")
			want := local.Replace(read(t, shared(t, "golden/nginx/"+name+".after.conf")))
			if g, w := canonical(t, got), canonical(t, want); g != w {
				t.Errorf("got\n%s\n\nwant\n%s", g, w)
			}
			sameAsFile(t, filepath.Join("testdata", name+".conf"), back.Replace(got))
			if err := l.nginx.Test(t.Context()); err != nil {
				t.Error(err)
			}
			if again := l.plan(t, r); !again.Empty() {
				t.Errorf("a second plan: %+v", again.Changes)
			}
			write(t, l.root+"/nginx.conf", want)
			if again := l.plan(t, r); !again.Empty() {
				t.Errorf("where certbot was: %s", again.Changes[0].New)
			}
		})
	}
}

func sameAsFile(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		write(t, path, got)
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s differs (%v):\n%s", path, err, got)
	}
}

// What certbot does to a configuration while a CA looks. edge writes the rewrite once
// a block, and includes no file for challenges where there is no block in it.
func TestGoldenHTTP01(t *testing.T) {
	l := newLab(t, nil)
	local := strings.NewReplacer("/lab/nginx", l.dir+"/work", "/lab/le", l.dir+"/le")
	write(t, l.root+"/nginx.conf", local.Replace(read(t, shared(t, "golden/nginx/http01-challenge.before.conf"))))
	during := local.Replace(read(t, shared(t, "golden/nginx/http01-challenge.during.conf")))
	batch := http01("n1.example.test", "www.n1.example.test", "new.example.test")
	for i, token := range []string{"7fEdwBLin2LfdMKrTRfrK7P0ZWWoQXXBqJo8wao70zM", "Bjo8iH9LL6L4FmDmP22AcGhBY_cGiqyNCxek49jjgDE", "ZHs1YkPjJV_ibp0OcEq0WIUIMS2vronqfO0VDfGuuAU"} {
		batch[i].Token, batch[i].KeyAuth = token, "TOKEN.THUMBPRINT"
	}
	rewrite := "rewrite ^(/.well-known/acme-challenge/.*) $1 break; # managed by Certbot\n\n"
	during = strings.Replace(during, rewrite+rewrite, rewrite, 1)
	during = strings.Replace(during, "include "+l.dir+"/le/le_http_01_cert_challenge.conf;\n", "", 1)
	during = strings.ReplaceAll(during, "<TOKEN>.<THUMBPRINT>", "TOKEN.THUMBPRINT")
	p, err := l.detect(t).planAnswers(t.Context(), batch, AuthenticatorOptions{HTTPPort: 25002, ConfigDir: l.dir + "/le", WorkDir: l.dir + "/work"})
	if err != nil {
		t.Fatal(err)
	}
	l.write(t, p)
	if g, w := canonical(t, read(t, l.root+"/nginx.conf")), canonical(t, during); g != w {
		t.Errorf("got\n%s\n\nwant\n%s", g, w)
	}
	if err := l.nginx.Test(t.Context()); err != nil {
		t.Error(err)
	}
}

package nginx

import (
	"flag"
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
			local := strings.NewReplacer("/lab/ngx2", l.dir+"/work", "/lab/le", l.dir+"/le")
			write(t, l.root+"/nginx.conf", local.Replace(read(t, shared(t, "golden/nginx/install.before.conf"))))
			r := l.request("n1.example.test", "www.n1.example.test", "new.example.test")
			r.Enhance = enhance
			makeCertificate(t, r)
			l.write(t, l.plan(t, r))
			got := read(t, l.root+"/nginx.conf")
			want := local.Replace(read(t, shared(t, "golden/nginx/"+name+".after.conf")))
			if g, w := canonical(t, got), canonical(t, want); g != w {
				t.Errorf("got\n%s\n\nwant\n%s", g, w)
			}
			sameAsFile(t, filepath.Join("testdata", name+".conf"), strings.ReplaceAll(got, l.dir, "@"))
			if err := l.nginx.Test(t.Context()); err != nil {
				t.Error(err)
			}
			if again := l.plan(t, r); !again.Empty() {
				t.Errorf("a second plan: %+v", again.Changes)
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

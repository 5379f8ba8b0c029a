package nginx

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/nginx/conf"
	"edge/internal/edgetest"
)

// trees are whole configurations of real servers.
var trees = map[string]string{"great-nginx-config": "great-nginx-config/stuff", "site-10033": "site-10033/nginx"}

// newTree makes a lab of one that a real nginx can run here: paths lead into the lab,
// ports are free ones, missing certificates are made.
func newTree(t testing.TB, name string) (l *lab, http, https uint16) {
	t.Helper()
	l = newLab(t, nil)
	corpus(t, "trees/"+trees[name], l.root)
	r := strings.NewReplacer("/etc/nginx", l.root, "/var/log/nginx", l.dir+"/work", "/run/nginx.pid", l.dir+"/work/nginx.pid", "worker_processes auto", "worker_processes 1")
	err := filepath.WalkDir(l.root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			write(t, p, r.Replace(read(t, p)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	free := ports(t, 10)
	movePorts(t, l, free)
	return l, free[0], free[1]
}

// movePorts gives every listen a free port: the first two are those of HTTP and HTTPS.
func movePorts(t testing.TB, l *lab, free []uint16) {
	t.Helper()
	set, err := conf.Load(l.root + "/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	http, err := set.HTTP(conf.Env{})
	if err != nil {
		t.Fatal(err)
	}
	moved := map[uint16]uint16{80: free[0], 443: free[1]}
	next := 2
	e := &conf.Edits{}
	for _, s := range http.Servers {
		for _, ln := range s.Listens {
			if moved[ln.Port] == 0 {
				moved[ln.Port] = free[next]
				next++
			}
			port := fmt.Sprint(moved[ln.Port])
			switch {
			case ln.Directive == nil:
				e.InsertFirst(s.Directive.Block, "listen "+port+";")
			case ln.Addr.Is6():
				e.ReplaceWord(ln.Directive, 1, "["+ln.Addr.String()+"]:"+port)
			default:
				e.ReplaceWord(ln.Directive, 1, port)
			}
		}
		for _, c := range s.Certificates() {
			b := edgetest.NewChain(t, time.Now().Add(time.Hour), "old.test")
			write(t, c.CertFile, string(b.Chain))
			write(t, c.KeyFile, string(b.Key))
		}
	}
	set, err = set.With(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range set.Changes() {
		write(t, c.Path, c.New)
	}
}

// What certbot's compatibility tests ask for, on whole servers, with nginx: every name
// answers HTTP-01, and shows its certificate, and is redirected; and then everything is
// as it was.
func TestTrees(t *testing.T) {
	t.Parallel()
	for name := range trees {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, http, https := newTree(t, name)
			l.start(t)
			names, err := l.detect(t).Names(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d names", len(names))
			before := snapshot(t, l.root)
			answerAll(t, l, append(names, "unheard-of.test"), http, https)
			same(t, l.root, before)
			r := l.request(names...)
			installAll(t, l, r, http, https)
			l.rollback(t, l.runner())
			same(t, l.root, before)
			if os.Getenv("EDGE_SOAK") == "" {
				names = nil // one by one takes long
			}
			for _, n := range append(names, "unheard-of.test") {
				installAll(t, l, l.request(n), http, https)
				l.rollback(t, l.runner())
			}
			same(t, l.root, before)
		})
	}
}

func answerAll(t *testing.T, l *lab, names []string, http, https uint16) {
	t.Helper()
	a := l.nginx.Authenticator(AuthenticatorOptions{Runner: l.runner(), HTTPPort: http, HTTPSPort: https, ConfigDir: l.dir + "/le", WorkDir: l.dir + "/work"})
	batch := http01(names...)
	if err := a.Present(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for _, answer := range batch {
		status, body, _ := get(t, fmt.Sprintf("127.0.0.1:%d", http), answer.Identifier.Value, edge.HTTP01Prefix+answer.Token)
		if status != 200 || body != answer.KeyAuth {
			t.Errorf("%s: %d %q", answer.Identifier.Value, status, body)
		}
	}
	if err := a.Cleanup(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func installAll(t *testing.T, l *lab, r installers.Request, http, https uint16) {
	t.Helper()
	r.HTTPPort, r.HTTPSPort, r.Enhance.Redirect = http, https, true
	makeCertificate(t, r)
	p := l.plan(t, r)
	if _, err := l.runner().Apply(t.Context(), l.nginx, p, r); err != nil {
		t.Fatal(err)
	}
	want := wanted(t, r)
	var redirected []string
	for _, c := range p.Checks {
		redirected = append(redirected, c.Host)
	}
	for _, name := range r.Names {
		if got := leaf(t, fmt.Sprintf("127.0.0.1:%d", https), name); got != want {
			t.Errorf("%s shows another certificate", name)
		}
		status, _, location := get(t, fmt.Sprintf("127.0.0.1:%d", http), name, "/a?b")
		if slices.Contains(redirected, name) && (status != 301 || location != "https://"+name+"/a?b") {
			t.Errorf("%s is not redirected: %d %s", name, status, location)
		}
	}
	if len(redirected) < len(r.Names)*2/3 {
		t.Errorf("%d of %d names are redirected", len(redirected), len(r.Names))
	}
	if again := l.plan(t, r); !again.Empty() {
		t.Errorf("a second plan for %v changes %v", r.Names, again.Notes)
	}
}
